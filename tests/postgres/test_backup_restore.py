"""A level's database, backed up from a real server and restored: another server runs on it, and has every row.

Rule: both ends are real servers of one version. What was restored is judged by pg_verifybackup and pg_checksums where
the version at hand has them, by the rows that a server on it gives, and byte for byte where nothing may differ.
"""

import os
import re
import shutil
import signal
import stat
from pathlib import Path

import pytest

from siltstone.engine import (
    EngineError,
    entries,
    parse_deployment,
    verify_store,
)
from siltstone.engine.postgres.errors import Malformed, PostgresError
from siltstone.engine.postgres.gather import Gatherer
from siltstone.engine.postgres.local import LocalBackup
from siltstone.engine.verify_result import Budget
from tests.backing_up import content_of

from .clusters import Backups, restore
from .installations import run_as_user
from .quiet import fill
from .servers import Server, Templates

ITS_OWN = re.compile(
    rb"/(pg_wal/|backup_(label|manifest)$|tablespace_map$|global/pg_control$|pg_xact/|pg_logical/|base/[0-9]+/pg_internal)"
)
ROWS = "SELECT count(*), sum(n), md5(string_agg(text, ',' ORDER BY n)) FROM changing"


def verify(server: Server) -> None:
    """What PostgreSQL's own programs say of a data directory that no server runs on."""
    programs = server.programs.bin
    if (programs / "pg_checksums").exists():
        run_as_user(programs / "pg_checksums", "--check", "-D", server.data)


def test_each_level_restores_by_itself(backups: Backups, servers: Templates, version: int) -> None:
    """Also one whose cells are patched; the server goes on in between. A second full one takes them over, and costs no
    more than an incremental one.
    """
    levels, rows = [], []
    for number in range(4):
        levels.append(backups.level("full" if number == 3 else "auto"))
        rows.append(backups.server.sql(ROWS))
        backups.server.sql(f"UPDATE changing SET text = 'changed {number}' WHERE n % 5000 = {number}", "CHECKPOINT")
    assert backups.warned == []
    assert [level.kind for level in levels] == ["full", "incr", "incr", "full"]
    assert max(level.stats["new_bytes"] for level in levels[1:]) < levels[0].stats["new_bytes"] / 10
    assert levels[3].stats["read_bytes"] > levels[0].stats["new_bytes"] / 2
    for level, expected in [(levels[0], rows[0]), (levels[3], rows[3])]:
        with servers.empty(version) as other:
            assert not restore(backups, level, other).failures
            other.start()
            assert other.sql(ROWS) == expected
            assert other.sql("SHOW archive_mode") == [("off",)]
            other.stop()
            verify(other)
    found = verify_store(backups.store, budget=Budget.parse("all"), report=lambda event: None)
    assert not found.damaged
    assert found.unreferenced == 0


def test_cells_are_patched_and_hold_what_the_server_has(backups: Backups) -> None:
    """Byte for byte, in a server that stands still."""
    backups.level()
    backups.server.sql("UPDATE changing SET text = 'x' WHERE n % 3000 = 7", "CHECKPOINT")
    level = backups.level()
    patched = 0
    for entry in entries(backups.store, level, set_name="postgres"):
        if not entry.cells:
            continue
        patched += len(entry.extents) > -(-entry.size // (128 << 10))
        assert content_of(backups.store, entry) == Path(os.fsdecode(entry.path)).read_bytes()
    assert patched


def test_tablespaces_go_where_they_are_told(backups: Backups, other: Server) -> None:
    _, spaces = fill(backups.server, "backup", "pw")
    before = backups.server.sql("SELECT count(*), sum(n) FROM there")
    level = backups.level()
    assert level.database is not None
    assert dict(level.database.tablespaces) == {oid: os.fsencode(place) for oid, place in spaces.items()}
    with pytest.raises(EngineError, match="needs a place"):
        restore(backups, level, other)
    assert not other.data.exists()
    moves = {str(place): other.make_folder(f"moved {oid}") for oid, place in spaces.items()}
    assert not restore(backups, level, other, **moves).failures
    # Over what is there already: its own places are known again, also before a server made links of the map.
    assert not restore(backups, level, other, **moves).failures
    backups.server.stop()
    for place in spaces.values():
        shutil.rmtree(place)
    other.start()
    assert other.sql("SELECT count(*), sum(n) FROM there") == before
    rows = other.sql("SELECT pg_tablespace_location(oid) FROM pg_tablespace WHERE oid > 16383 ORDER BY oid")
    assert [place for (place,) in rows] == list(map(str, moves.values()))


def test_over_an_older_copy_only_what_differs_is_written(backups: Backups, other: Server) -> None:
    restore(backups, backups.level(), other)
    other.start()
    other.sql("CREATE TABLE newer AS SELECT 1 AS n", "DELETE FROM changing WHERE n < 100", "CHECKPOINT")
    other.stop()
    backups.server.sql("UPDATE changing SET text = 'x' WHERE n = 7", "CHECKPOINT")
    level, expected = backups.level(), backups.server.sql(ROWS)
    result = restore(backups, level, other)
    assert result.written_bytes < result.bytes / 2
    other.start()
    assert other.sql(ROWS) == expected
    assert other.sql("SELECT count(*) FROM pg_class WHERE relname = 'newer'") == [("0",)]


def test_pages_are_changed_where_they_stand(backups: Backups, other: Server) -> None:
    """Also from a level whose cells are patched, forward and back; a file that has another name is written anew."""
    first = backups.level()
    backups.server.sql("UPDATE changing SET text = 'x' WHERE n % 9000 = 7", "CHECKPOINT")
    second, expected = backups.level(), backups.server.sql(ROWS)
    restore(backups, first, other)
    (path, *_), *_ = backups.server.sql("SELECT pg_relation_filepath('changing')")
    file = other.data / str(path)
    inode = file.stat().st_ino
    for level in (second, first, second):
        assert file.stat().st_size > 1 << 20
        result = restore(backups, level, other)
        assert result.written_bytes < 2 << 20  # a WAL segment of 1 MiB is among it
        assert file.stat().st_ino == inode
    (other.folder / "twin").hardlink_to(file)
    restore(backups, first, other)
    assert file.stat().st_ino != inode
    restore(backups, second, other)
    other.start()
    assert other.sql(ROWS) == expected


def test_damaged_pages_are_told(backups: Backups) -> None:
    (path, *_), *_ = backups.server.sql("SELECT pg_relation_filepath('changing')")
    backups.server.stop()
    file = backups.server.data / str(path)
    content = bytearray(file.read_bytes())
    content[3 * 8192 + 5000] ^= 1
    file.write_bytes(content)
    backups.server.start()
    backups.level()
    (warned,) = backups.warned
    assert (warned.kind, warned.path) == ("checksum", str(file))
    assert "of block 3" in warned.message


def test_both_ways_give_the_same_files(backups: Backups) -> None:
    """But for what each backup is by itself: its label, its WAL, and what a server writes while it goes on."""
    fill(backups.server, "backup", "pw")
    found = []
    for mode in ("wire", "local"):
        one = Backups(backups.server, mode)
        one.store = backups.store
        level = one.level("full")
        found.append(
            {
                entry.path: (entry.mode, entry.uid, entry.gid, entry.size, entry.mtime_ns // 10**9, entry.extents)
                for entry in entries(one.store, level, set_name="postgres")
                if stat.S_ISREG(entry.mode) and not ITS_OWN.search(entry.path)
            }
        )
    assert found[0] == found[1]


def test_files_and_database_share_a_level(backups: Backups, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("content")
    database = f'[postgres]\ndsn = "{backups.server.dsn()}"\nmode = "{backups.mode}"\n'
    backups.deployment = parse_deployment(f'name = "x"\n{database}[file-sets.f]\npaths = ["{tmp_path}"]\n')
    level = backups.level()
    assert [files.name for files in level.sets] == ["f", "postgres"]


@pytest.mark.parametrize("version", [15])
def test_a_copy_that_does_not_meet_what_the_catalog_names(
    backups: Backups, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is there and was not read is no level; one that the server has lost itself is told."""
    server = backups.server
    ((path,),) = server.sql("SELECT pg_relation_filepath('changing')")
    real = LocalBackup._file

    def skip(self: LocalBackup, place: bytes, name: bytes) -> None:
        if name != str(path).encode():
            real(self, place, name)

    monkeypatch.setattr(LocalBackup, "_file", skip)
    with pytest.raises(Malformed, match=f"{path}: the server has this file"):
        backups.level()
    assert list(backups.store.root_names()) == []
    monkeypatch.undo()
    (server.data / str(path)).rename(server.folder / "lost")
    backups.level()
    assert [(each.kind, each.path) for each in backups.warned] == [("missing", str(server.data / str(path)))]
    (server.folder / "lost").rename(server.data / str(path))


def test_a_server_that_dies_in_the_middle_leaves_no_level(backups: Backups, monkeypatch: pytest.MonkeyPatch) -> None:
    real, ended = Gatherer.end, []

    def die(self: Gatherer) -> None:
        real(self)
        ended.append(1)
        if len(ended) == 100:
            backups.server.stop(signal.SIGQUIT)

    monkeypatch.setattr(Gatherer, "end", die)
    with pytest.raises(PostgresError):
        backups.level()
    assert list(backups.store.root_names()) == []
