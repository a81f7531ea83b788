"""A host that reads nothing back, beside PostgreSQL: its WAL is archived once and refused where that is not proved; its
levels of a real server restore.
"""

import json
from pathlib import Path

import pytest
import zstandard

from siltstone.engine.postgres.archive import Outcome, archive_files
from siltstone.engine.postgres.archive_catalog import read_catalog
from siltstone.engine.postgres.archive_errors import OtherBytes
from siltstone.engine.postgres.archive_marks import NotProved
from siltstone.engine.postgres.archive_read import fetch_wal
from siltstone.engine.postgres.incoming import incoming_bytes
from siltstone.engine.postgres.wal_segment import identify_segment
from siltstone.store import KeyFile, NoKey, Store, export_key, unlock
from tests.backed_up import KEY, new_store, reopened
from tests.store.backends import FaultyBackend, Killed, MemoryBackend

from .clusters import Backups, restore
from .servers import Templates
from .wal_making import SIZE

GOLDEN = Path(__file__).parent / "golden"
HISTORY, TEXT = "00000002.history", b"1\t0/3000000\tno recovery target specified\n"
ROWS = "SELECT count(*), sum(n), md5(string_agg(text, ',' ORDER BY n)) FROM changing"


@pytest.fixture(scope="module")
def segment() -> tuple[str, bytes, int]:
    """Name and bytes of a real segment, and its cluster."""
    name: str = json.loads((GOLDEN / "wal_18.json").read_text())["name"]
    data = zstandard.decompress((GOLDEN / "wal_18.zst").read_bytes()).ljust(SIZE, b"\0")
    return name, data, identify_segment(name, data)[0].system_identifier


@pytest.fixture
def backend() -> MemoryBackend:
    backend = MemoryBackend()
    new_store(backend)
    return backend


def writer(backend: MemoryBackend | FaultyBackend) -> Store:
    """The store as a host opens it that only adds."""
    return Store.open(backend, export_key(unlock(backend, KEY), KeyFile(b"w" * 32), label="w", role="write"))


def push(store: Store, segment: tuple[str, bytes, int], history: bytes = TEXT) -> list[Outcome]:
    """Archive the segment and a history."""
    name, data, system = segment
    return archive_files(store, system, [incoming_bytes(name, data), incoming_bytes(HISTORY, history)])


def test_what_it_archives_comes_back_to_who_reads(backend: MemoryBackend, segment: tuple[str, bytes, int]) -> None:
    name, data, system = segment
    assert [outcome.error for outcome in push(writer(backend), segment)] == [None, None]
    assert fetch_wal(reopened(backend), system, name)[1] == data
    assert fetch_wal(reopened(backend), system, HISTORY)[1] == TEXT


def test_asked_again_it_knows_its_own(backend: MemoryBackend, segment: tuple[str, bytes, int]) -> None:
    push(writer(backend), segment)
    objects = set(backend.objects)
    again = push(writer(backend), segment)
    assert [(outcome.known, outcome.error) for outcome in again] == [(True, None)] * 2
    assert set(backend.objects) == objects


def test_other_bytes_are_refused_and_nothing_is_overwritten(
    backend: MemoryBackend, segment: tuple[str, bytes, int]
) -> None:
    push(writer(backend), segment)
    roots = {name: content for name, content in backend.objects.items() if name.startswith("wal/")}
    _, refused = push(writer(backend), segment, TEXT.replace(b"3000000", b"5000000"))
    assert isinstance(refused.error, NotProved)
    assert refused.error.hint
    assert {name: content for name, content in backend.objects.items() if name.startswith("wal/")} == roots
    _, told = push(reopened(backend), segment, TEXT.replace(b"3000000", b"5000000"))
    assert isinstance(told.error, OtherBytes)


def test_what_another_host_archived_is_not_proved(backend: MemoryBackend, segment: tuple[str, bytes, int]) -> None:
    push(reopened(backend), segment)
    assert all(isinstance(outcome.error, NotProved) for outcome in push(writer(backend), segment))


def test_killed_at_any_change_nothing_is_called_archived_that_is_not(segment: tuple[str, bytes, int]) -> None:
    """After a crash a file is archived, or not proved; it is never said to be there while it is not."""
    whole = MemoryBackend()
    new_store(whole)
    made = dict(whole.objects)
    counting = FaultyBackend(whole)
    push(writer(counting), segment)
    assert len(counting.changes) > 4
    for at in range(len(counting.changes)):
        backend = MemoryBackend()
        backend.objects = dict(made)
        with pytest.raises(Killed):
            push(writer(FaultyBackend(backend, at)), segment)
        for outcome in push(writer(backend), segment):
            assert outcome.error is None or isinstance(outcome.error, NotProved)
            assert outcome.object in backend.objects


def test_the_archive_is_read_with_a_key_that_reads(backend: MemoryBackend, segment: tuple[str, bytes, int]) -> None:
    push(writer(backend), segment)
    with pytest.raises(NoKey, match="looking into the WAL archive is refused"):
        read_catalog(writer(backend), segment[2])


@pytest.mark.parametrize("version", [18])
def test_levels_of_a_server(backups: Backups, servers: Templates, version: int) -> None:
    """Each reads the whole cluster, stores what changed, and restores."""
    backend = MemoryBackend()
    new_store(backend)
    backups.store = writer(backend)
    first = backups.level()
    backups.server.sql("UPDATE changing SET text = 'changed' WHERE n % 5000 = 1", "CHECKPOINT")
    rows = backups.server.sql(ROWS)
    backups.store = writer(backend)
    second = backups.level()
    assert second.kind == "incr"
    assert second.stats["new_bytes"] < first.stats["new_bytes"] / 2
    backups.store = reopened(backend)
    with servers.empty(version) as other:
        assert not restore(backups, second, other).failures
        other.start()
        assert other.sql(ROWS) == rows
