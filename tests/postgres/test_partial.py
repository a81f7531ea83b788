"""Two `.partial` of one segment: the same WAL up to the switch is the same, whatever void bytes follow."""

import random

import pytest

from siltstone.engine.entry import EXTENT
from siltstone.engine.postgres.archive_names import object_name
from siltstone.engine.postgres.archive_record import ArchivedFile, digest_of, to_root
from siltstone.engine.postgres.history import Ancestor, History, format_history
from siltstone.engine.postgres.partial import same_partial
from siltstone.engine.postgres.wal_names import WalSegment, history_name
from siltstone.store import Store
from tests.backed_up import new_store

SIZE = 1 << 20
SEGMENT = WalSegment(1, 7)
LEFT = 5000
WAL = random.Random(3).randbytes(9000)


@pytest.fixture
def store() -> Store:
    return new_store()


def archived(store: Store, used: bytes) -> ArchivedFile:
    with store.writer() as writer:
        (chunk,) = writer.store_run(memoryview(used), [len(used)])
        file = ArchivedFile(
            name=SEGMENT.partial_name(SIZE),
            system_identifier=1,
            timeline=1,
            start=SEGMENT.start(SIZE),
            size=SIZE,
            used=len(used),
            digest=digest_of(memoryview(used), SIZE),
            extents=EXTENT.pack(chunk, 0, len(used)),
        )
        writer.flush()
        writer.commit(object_name(1, file.name), to_root(file))
    return file


def archive_history(store: Store, left: int) -> None:
    content = format_history(History(2, (Ancestor(1, left),)))
    digest = digest_of(memoryview(content), len(content))
    file = ArchivedFile(
        name=history_name(2),
        system_identifier=1,
        timeline=2,
        size=len(content),
        used=len(content),
        digest=digest,
        content=content,
    )
    with store.writer() as writer:
        writer.commit(object_name(1, file.name), to_root(file))


def test_before_the_history_is_known_the_new_bytes_must_be_there(store: Store) -> None:
    known = archived(store, WAL[:LEFT])
    assert same_partial(store, known, memoryview(WAL[:LEFT]))
    assert same_partial(store, known, memoryview(WAL[: LEFT - 100]))
    assert not same_partial(store, known, memoryview(WAL)), "nobody says that the rest is void"
    assert not same_partial(store, known, memoryview(b"x" + WAL[1:LEFT]))


def test_what_is_behind_the_switch_does_not_count(store: Store) -> None:
    known = archived(store, WAL[:LEFT])
    archive_history(store, SEGMENT.start(SIZE) + LEFT)
    assert same_partial(store, known, memoryview(WAL))
    assert same_partial(store, known, memoryview(WAL[:LEFT] + bytes(100) + b"void"))
    assert not same_partial(store, known, memoryview(WAL[: LEFT - 1])), "WAL that counts is not in it"
    assert not same_partial(store, known, memoryview(WAL[: LEFT - 1] + b"x" + WAL[LEFT:]))


def test_the_archived_one_must_reach_the_switch(store: Store) -> None:
    known = archived(store, WAL[: LEFT - 100])
    archive_history(store, SEGMENT.start(SIZE) + LEFT)
    assert not same_partial(store, known, memoryview(WAL))
