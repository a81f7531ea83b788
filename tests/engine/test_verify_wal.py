"""Damage that concerns archived WAL: named by file, and by what recovery cannot reach any more.

Rule: levels and segments are put together by hand, each segment in a pack of its own; that a real archive verifies is
seen with real servers (postgres/test_wal_archive.py).
"""

import random

import pytest

from siltstone.engine import Level, LevelRef, Shortened, VerifyResult, verify_store
from siltstone.engine.database_info import DatabaseInfo
from siltstone.engine.entry import EXTENT
from siltstone.engine.levels import to_root
from siltstone.engine.postgres.archive_names import object_name
from siltstone.engine.postgres.archive_record import ArchivedFile, digest_of, read_object
from siltstone.engine.postgres.archive_record import to_root as wal_root
from siltstone.engine.postgres.history import Ancestor, History, format_history
from siltstone.engine.postgres.wal_names import WalSegment, history_name
from siltstone.engine.verify_result import ALL_DATA, NO_DATA
from siltstone.store import ChunkId, Store, pack_object
from tests.backed_up import copied, delete, flip_middle, ignore, new_store, reopened, truncate
from tests.store.backends import MemoryBackend

SIZE = 1 << 20
SYSTEM = 77
LEVEL = "app:0/0"
FORK = 6 * SIZE + 500


def commit_level(store: Store) -> None:
    info = DatabaseInfo(
        system_identifier=SYSTEM,
        version_num=180000,
        catalog_version=1,
        timeline=1,
        start_lsn=2 * SIZE + 40,
        stop_lsn=2 * SIZE + 400,
        wal_segment_size=SIZE,
        data_checksums=True,
        from_standby=False,
        data_directory=b"/data",
        tablespaces=(),
    )
    level = Level(LevelRef("app", 0, 0), "full", None, 0, 0, "", "", "", (), {}, (), {}, {}, info)
    with store.writer() as writer:
        writer.commit(level.name, to_root(level))


def archive(store: Store, segment: WalSegment) -> str:
    """Archive random bytes as a segment; its object. Its last commit was at second <number> of 1970."""
    data = memoryview(random.Random(str(segment)).randbytes(SIZE))
    with store.writer() as writer:
        chunks = writer.store_run(data, [SIZE // 2, SIZE])
        commits = b"index of %d %d" % (segment.timeline, segment.number)
        (index,) = writer.store_run(memoryview(commits), [len(commits)])
        file = ArchivedFile(
            name=segment.name(SIZE),
            system_identifier=SYSTEM,
            timeline=segment.timeline,
            start=segment.start(SIZE),
            size=SIZE,
            used=SIZE,
            digest=digest_of(data, SIZE),
            extents=b"".join(EXTENT.pack(chunk, 0, SIZE // 2) for chunk in chunks),
            index=(index, len(commits)),
            times=(0, segment.number * 1_000_000),
        )
        name = object_name(SYSTEM, file.name)
        writer.flush()
        writer.commit(name, wal_root(file))
    return name


def archive_history(store: Store, history: History) -> str:
    content = format_history(history)
    file = ArchivedFile(
        name=history_name(history.timeline),
        system_identifier=SYSTEM,
        timeline=history.timeline,
        size=len(content),
        used=len(content),
        digest=digest_of(memoryview(content), len(content)),
        content=content,
    )
    with store.writer() as writer:
        writer.commit(object_name(SYSTEM, file.name), wal_root(file))
    return object_name(SYSTEM, file.name)


@pytest.fixture(scope="module")
def intact() -> MemoryBackend:
    """A level that ends in segment 2, the WAL from there on, and a timeline that branches off in segment 6."""
    backend = MemoryBackend()
    store = new_store(backend)
    commit_level(store)
    for number in range(2, 9):
        archive(store, WalSegment(1, number))
    for number in range(6, 9):
        archive(store, WalSegment(2, number))
    archive_history(store, History(2, (Ancestor(1, FORK),)))
    return backend


@pytest.fixture
def backend(intact: MemoryBackend) -> MemoryBackend:
    return copied(intact)


def name_of(timeline: int, number: int) -> str:
    return object_name(SYSTEM, WalSegment(timeline, number).name(SIZE))


def pack_of(backend: MemoryBackend, timeline: int, number: int) -> str:
    """The pack that holds a segment."""
    store = reopened(backend)
    ((chunk, _, _), *_) = EXTENT.iter_unpack(read_object(store, name_of(timeline, number)).extents)
    place = store.find(ChunkId(chunk))
    assert place is not None
    return pack_object(place.pack)


def verified(backend: MemoryBackend, *, data: bool = False) -> VerifyResult:
    return verify_store(reopened(backend), budget=ALL_DATA if data else NO_DATA, report=ignore)


def shown(timeline: int, number: int) -> str:
    return f"{SYSTEM}/{WalSegment(timeline, number).name(SIZE)}"


def test_a_sound_archive(intact: MemoryBackend) -> None:
    result = verified(intact, data=True)
    assert (result.damaged, result.wal_files, result.wal_gaps, result.unreferenced) == ([], 11, [], 0)
    assert result.chunks == 30


def test_a_damaged_pack_names_its_segment_and_what_cannot_be_reached(backend: MemoryBackend) -> None:
    pack = pack_of(backend, 1, 4)
    flip_middle(backend, pack)
    assert verified(backend).damaged == [], "contents are not read"
    (damage,) = verified(backend, data=True).damaged
    assert (damage.object, damage.wal, damage.levels) == (pack, [shown(1, 4)], {})
    assert damage.reach == {
        LEVEL: [Shortened(1, 4 * SIZE, 9 * SIZE, 3_000_000), Shortened(2, 4 * SIZE, 9 * SIZE, 3_000_000)]
    }


def test_wal_of_a_branch(backend: MemoryBackend) -> None:
    delete(backend, pack := pack_of(backend, 2, 7))
    (damage,) = verified(backend).damaged
    assert (damage.object, damage.wal) == (pack, [shown(2, 7)])
    assert damage.reach == {LEVEL: [Shortened(2, 7 * SIZE, 9 * SIZE, 6_000_000)]}


def test_the_segment_in_which_the_backup_ends_is_its_own(backend: MemoryBackend) -> None:
    delete(backend, pack_of(backend, 1, 2))
    (damage,) = verified(backend).damaged
    assert (damage.wal, damage.reach) == ([shown(1, 2)], {})


@pytest.mark.parametrize("damaging", [flip_middle, truncate])
def test_a_damaged_root(backend: MemoryBackend, damaging: type) -> None:
    damaging(backend, name_of(1, 3))
    (damage,) = verified(backend).damaged
    assert (damage.object, damage.wal) == (name_of(1, 3), [shown(1, 3)])
    assert damage.reach == {LEVEL: [Shortened(each, 3 * SIZE, 9 * SIZE, 2_000_000) for each in (1, 2)]}


def test_a_damaged_history(backend: MemoryBackend) -> None:
    name = object_name(SYSTEM, history_name(2))
    flip_middle(backend, name)
    (damage,) = verified(backend).damaged
    assert (damage.object, damage.wal) == (name, [f"{SYSTEM}/00000002.history"])
    assert damage.reach == {}, "nothing else says that the level led there"


def test_a_root_that_is_gone_is_a_gap(backend: MemoryBackend) -> None:
    for number in (4, 5):
        delete(backend, name_of(1, number))
    result = verified(backend)
    assert result.damaged == []
    assert result.wal_gaps == [f"{shown(1, 4)} to {WalSegment(1, 5).name(SIZE)}"]
    assert result.unreferenced == 0


def test_more_of_a_chunk_than_it_holds(backend: MemoryBackend) -> None:
    store = reopened(backend)
    root = store.read_root(name_of(1, 5))
    ((chunk, _, _), second) = EXTENT.iter_unpack(root["extents"])
    longer = EXTENT.pack(chunk, 0, SIZE // 2 + 1) + EXTENT.pack(*second)
    delete(backend, name_of(1, 5))
    with store.writer() as writer:
        writer.commit(name_of(1, 5), {**root, "extents": longer})
    (damage,) = verified(backend).damaged
    assert (damage.object, damage.wal) == (name_of(1, 5), [shown(1, 5)])


def test_a_name_that_is_none_of_wal(backend: MemoryBackend) -> None:
    with reopened(backend).writer() as writer:
        writer.commit("wal/strange", {"format": 1})
    (damage,) = verified(backend).damaged
    assert (damage.object, damage.error) == ("wal/strange", "it is no root of a WAL file")
    assert damage.wal == []
