"""To whom a restored data directory belongs, and what a dry run tells of one."""

import grp
import os
import pwd
from pathlib import Path

import pytest

from siltstone.engine import Noted, restore_cluster
from siltstone.engine.postgres.restore_cluster import owner_of

from .clusters import Backups, restore
from .servers import Server

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files away: run as root")


class TestOwner:
    def test_without_root_it_is_ones_own(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 1234)
        monkeypatch.setattr(os, "getegid", lambda: 1235)
        assert owner_of(os.fsencode(tmp_path), ("daemon", "daemon")) == (1234, 1235)

    @needs_root
    def test_root_gives_it_to_whom_the_folder_belongs(self, tmp_path: Path) -> None:
        os.chown(tmp_path, 4321, 4322)
        assert owner_of(os.fsencode(tmp_path), ("daemon", "daemon")) == (4321, 4322)

    @needs_root
    def test_root_gives_it_to_the_same_name(self, tmp_path: Path) -> None:
        daemon = pwd.getpwnam("daemon").pw_uid, grp.getgrnam("daemon").gr_gid
        assert owner_of(os.fsencode(tmp_path), ("daemon", "daemon")) == daemon, "root's own folder is nobody's wish"
        assert owner_of(os.fsencode(tmp_path / "new"), ("daemon", "daemon")) == daemon
        assert owner_of(os.fsencode(tmp_path / "new"), ("nobody-knows-him", "daemon")) is None


@needs_root
def test_what_came_over_the_wire_gets_no_names_of_this_host(backups: Backups, other: Server, version: int) -> None:
    level = backups.level()
    assert level.database is not None
    name = pwd.getpwuid(backups.server.data.stat().st_uid).pw_name
    assert level.database.account[0] == (name if backups.mode == "local" else "")
    assert bool(level.owners) == (backups.mode == "local")
    other.data.mkdir()
    os.chown(other.data, 4321, 4322)
    restore_cluster(backups.store, level, os.fsencode(other.data), tablespaces={}, report=backups.events.append)
    found = {(path.stat().st_uid, path.stat().st_gid) for path in [other.data, *other.data.rglob("*")]}
    assert found == {(4321, 4322)}


def test_a_dry_run_writes_nothing_and_tells_it_all(backups: Backups, other: Server) -> None:
    level = backups.level()

    def tried() -> int:
        result = restore_cluster(
            backups.store, level, os.fsencode(other.data), tablespaces={}, dry_run=True, report=backups.events.append
        )
        assert result.dry_run
        assert result.files > 250
        return result.written_bytes

    everything = tried()
    assert not other.data.exists()
    written = restore(backups, level, other).written_bytes
    assert abs(written - everything) < 1 << 20
    (other.data / "global" / "99999").write_bytes(bytes(8192))
    before = {path: path.stat().st_mtime_ns for path in other.data.rglob("*")}
    assert tried() < everything / 10
    assert {path: path.stat().st_mtime_ns for path in other.data.rglob("*")} == before
    notes = [event.message for event in backups.events if isinstance(event, Noted)]
    assert any("would be removed" in note for note in notes)
