"""Levels after a burst of updates: cells are differences from chunks of the level before, and nobody can tell.

Rule: one server makes five levels, once: all, some rows, which are patches, a burst, some rows of cells that are
differences now, and another burst. What a level holds was read from the server's files, which stand still while it is
made.
"""

import io
import os
import re
from typing import NamedTuple

import pytest

from siltstone.engine import Budget, Entry, Level, entries, list_levels, sync_stores, verify_store
from siltstone.engine.archive import cat
from siltstone.engine.entry import EXTENT, unpack_extents
from siltstone.engine.forgotten import forget_level
from siltstone.engine.manifest import packed_extents
from siltstone.engine.postgres.grid import CELL, packed_by
from siltstone.store import KeyFile, Store, export_key, pack_object, unlock
from tests.backed_up import KEY, copied, flip, ignore, new_store, reopened
from tests.backing_up import content_of
from tests.garbage import run
from tests.store.backends import MemoryBackend

from .clusters import Backups, restore
from .servers import Templates

RELATION = re.compile(r"/base/[0-9]+/[0-9]+(_[a-z]+)?$")
ROWS = "SELECT count(*), sum(n), md5(string_agg(text, ',' ORDER BY n)) FROM changing"
BURST = "UPDATE changing SET n = n WHERE n % 10 = {}"
FEW = "UPDATE changing SET n = n WHERE n % 6000 = 4"
VERSION = 15


Rows = list[tuple[str | None, ...]]


class Made(NamedTuple):
    """The store, its levels, what files of relations each has, and its rows."""

    backend: MemoryBackend
    levels: list[Level]
    files: list[dict[str, bytes]]
    rows: list[Rows]


@pytest.fixture(scope="module")
def made(servers: Templates) -> Made:
    backend = MemoryBackend()
    new_store(backend)
    with servers.server(VERSION) as server:
        server.start()
        server.sql(
            "CREATE TABLE changing AS SELECT n, repeat(md5(n::text), 10) AS text FROM generate_series(1, 30000) n",
            "VACUUM changing",
            "CHECKPOINT",
        )
        backups, levels, files, rows = Backups(server, "local"), [], [], []
        for change in ("SELECT 1", FEW, BURST.format(1), FEW, BURST.format(2)):
            server.sql(change, "CHECKPOINT")
            backups.store = reopened(backend)
            rows.append(server.sql(ROWS))
            server.sql("CHECKPOINT")
            levels.append(backups.level())
            found = (path for path in server.data.rglob("*") if RELATION.search(str(path)))
            files.append({str(path): path.read_bytes() for path in found})
        assert backups.warned == []
    return Made(backend, levels, files, rows)


@pytest.fixture
def backend(made: Made) -> MemoryBackend:
    return copied(made.backend)


def cells_of(level: Level, store: Store) -> list[bool]:
    """Of each cell of the large table: whether it is a difference."""
    (entry,) = [entry for entry in entries(store, level) if is_large(entry)]
    return [next(unpack_extents(cell)).is_difference for cell in packed_by(packed_extents(store, entry), CELL)]


def is_large(entry: Entry) -> bool:
    return bool(RELATION.search(os.fsdecode(entry.path))) and entry.size > 8 << 20


def holds(store: Store, level: Level, files: dict[str, bytes]) -> None:
    """Whether a level has these files."""
    found = {os.fsdecode(entry.path): entry for entry in entries(store, level)}
    for path, content in files.items():
        assert content_of(store, found[path]) == content


def test_a_burst_is_stored_as_differences(made: Made) -> None:
    """They are few bytes; a cell that changes again is a difference from the same chunk; what grew is stored."""
    store = reopened(made.backend)
    for level, files in zip(made.levels, made.files, strict=True):
        holds(store, level, files)
    first, patched, burst, few, again = (cells_of(level, store) for level in made.levels)
    assert not any(first + patched)
    assert sum(burst) > 0.9 * len(first)
    assert sum(few) >= sum(burst)
    assert sum(again) > 0.9 * len(first)
    new = [level.stats["new_bytes"] for level in made.levels]
    assert max(new[1:]) < new[0] / 4
    assert new[3] < new[2] / 4


def test_they_restore_by_themselves_and_over_each_other(made: Made, servers: Templates) -> None:
    """Where nothing is, and pages of another level are; also when what was written is read back."""
    with servers.empty(VERSION) as other:
        backups = Backups(other, "local")
        backups.store, backups.read_back = reopened(made.backend), True
        for number in (4, 0, 1, 2, 3, 4):
            level = made.levels[number]
            assert level.database is not None
            assert not restore(backups, level, other).failures
            for path, content in made.files[number].items():
                inside = os.path.relpath(path, os.fsdecode(level.database.data_directory))
                assert (other.data / inside).read_bytes() == content
        other.start()
        assert other.sql(ROWS) == made.rows[4]


def test_an_archive_has_the_cells(made: Made) -> None:
    store = reopened(made.backend)
    for path, content in made.files[4].items():
        out = io.BytesIO()
        cat(store, made.levels[4], os.fsencode(path), out)
        assert out.getvalue() == content


def test_they_are_the_same_under_other_keys(made: Made) -> None:
    target = MemoryBackend()
    other = KeyFile(bytes(range(1, 33)))
    sync_stores(reopened(made.backend), Store.init(target, [(other, "other")]), report=ignore)
    store = Store.open(target, other)
    for level, files in zip(list_levels(store), made.files, strict=True):
        holds(store, level, files)
    assert verify_store(store, budget=Budget.parse("all"), report=ignore).damaged == []


def test_old_chunks_stay_as_long_as_a_level_differs_from_them(made: Made, backend: MemoryBackend) -> None:
    for level in made.levels[:4]:
        forget_level(reopened(backend), level.ref, "test", window_ns=0)
    for _ in range(3):
        run(backend)
    store = reopened(backend)
    holds(store, made.levels[4], made.files[4])
    found = verify_store(store, budget=Budget.parse("all"), report=ignore)
    assert (found.damaged, found.unreferenced) == ([], 0)


@pytest.mark.parametrize("which", ["difference", "old chunk"])
def test_what_is_damaged_is_named_and_the_rest_restores(
    made: Made, backend: MemoryBackend, servers: Templates, which: str
) -> None:
    store = reopened(backend)
    (entry,) = [entry for entry in entries(store, made.levels[4]) if is_large(entry)]
    cell = next(cell for cell in packed_by(packed_extents(store, entry), CELL) if len(cell) == 2 * EXTENT.size)
    difference, old = unpack_extents(cell)
    chunk = difference.id if which == "difference" else old.id
    assert chunk is not None
    place = store.find(chunk)
    assert place is not None
    frame = store.footer(place.pack).frames[place.frame]
    flip(backend, pack_object(place.pack), frame.offset + frame.stored // 2)
    found = verify_store(reopened(backend), budget=Budget.parse("all"), report=ignore)
    assert any(
        os.fsdecode(entry.path) in map(os.fsdecode, paths) for each in found.damaged for paths in each.levels.values()
    )
    with servers.empty(VERSION) as other:
        backups = Backups(other, "local")
        backups.store = reopened(backend)
        result = restore(backups, made.levels[4], other)
    assert entry.path in [path for path, _ in result.failures]
    assert len(result.failures) < 60


@pytest.mark.parametrize("version", [VERSION])
def test_a_host_that_reads_nothing_back_stores_pages(backups: Backups) -> None:
    backend = MemoryBackend()
    new_store(backend)
    for change in ("SELECT 1", BURST.format(1), FEW):
        backups.server.sql(change, "CHECKPOINT")
        only = export_key(unlock(backend, KEY), KeyFile(b"w" * 32), label="w", role="write")
        backups.store = Store.open(backend, only)
        backups.level()
    store = reopened(backend)
    level = list_levels(store)[-1]
    assert not any(cells_of(level, store))
    found = (path for path in backups.server.data.rglob("*") if RELATION.search(str(path)))
    holds(store, level, {str(path): path.read_bytes() for path in found})
