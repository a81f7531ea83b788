"""archive_command and restore_command of real servers, and what goes wrong around them."""

import fcntl
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from siltstone.engine.postgres.connection import connect

from . import archiving
from .archiving import Archive, all_archived, cold_copy, content, load, prepare, recovered, until
from .servers import Server, Templates


@pytest.fixture
def archive() -> Iterator[Archive]:
    with archiving.archive() as archive:
        yield archive


@pytest.fixture
def base(server: Server, archive: Archive) -> Iterator[Path]:
    """A cold copy of `server`, which archives from then on; it goes down before the archive does."""
    prepare(server)
    server.stop()
    copy = cold_copy(server, archive.folder)
    server.start(**archive.settings)
    yield copy
    server.stop()


class TestRecovery:
    def test_to_a_name_to_the_end_and_on_a_new_timeline(
        self, servers: Templates, version: int, server: Server, base: Path, archive: Archive
    ) -> None:
        load(server, 0, 14)
        server.sql("SELECT pg_create_restore_point('half')")
        half = content(server)
        load(server, 30, 14)
        all_archived(server)
        whole = content(server)
        with recovered(servers, version, base, archive.restore_command) as copy:
            assert content(copy) == whole
        target = {"recovery_target_name": "half", "recovery_target_action": "promote", **archive.settings}
        with recovered(servers, version, base, archive.restore_command, **target) as copy:
            assert content(copy) == half
            load(copy, 100, 5)
            all_archived(copy)
            branch = content(copy)
        with recovered(servers, version, base, archive.restore_command) as copy:
            assert content(copy) == branch
        status = archive.status()
        assert status["gaps"] == []
        assert [each["timeline"] for each in status["timelines"]] == [1, 2]

    @pytest.mark.parametrize("version", [18])
    def test_a_gap_at_a_border_stops_it(
        self, servers: Templates, version: int, server: Server, base: Path, archive: Archive
    ) -> None:
        load(server, 0, 30)
        all_archived(server)
        segments = sorted(name for name in archive.objects() if len(name) == 24)
        lost = segments[-2]
        archive.objects()[lost].unlink()
        with servers.empty(version) as copy:
            archiving.recover(copy, base, archive.restore_command, hot_standby="off")
            with pytest.raises(AssertionError, match="did not start"):
                copy.start()
            assert f"{lost} is missing in the archive" in archive.log
            assert "archive recovery complete" not in copy.log()
        (gap,) = archive.status()["gaps"]
        assert (gap["first"], gap["last"]) == (lost, lost)
        assert archive.run("wal", "status", code=3).stdout.count("GAP") == 1

    @pytest.mark.parametrize("version", [18])
    def test_exit_codes(self, server: Server, base: Path, archive: Archive) -> None:
        load(server, 0, 12)
        all_archived(server)
        segments = sorted(name for name in archive.objects() if len(name) == 24)
        for name, code in [
            (segments[0], 0),
            (segments[1], 0),  # out of the spool
            ("0000000100000000000000F0", 44),
            ("00000002.history", 44),
            ("0000000100000000000000.partial", 203),
        ]:
            done = archive.run("wal", "fetch", name, "pg_wal/RECOVERYXLOG", cwd=server.data, code=None)
            assert done.returncode == code or (code > 200 and done.returncode > 200), done.stderr
            if code == 0:
                assert (server.data / "pg_wal/RECOVERYXLOG").read_bytes() == (
                    server.data / "pg_wal" / name
                ).read_bytes()
        (lock,) = (archive.folder / "state").glob("silt/wal/*/.lock")
        with lock.open() as filling:  # by somebody who stands still, as silt-wal has found out
            fcntl.flock(filling, fcntl.LOCK_EX)
            archive.run("wal", "fetch", segments[0], "pg_wal/RECOVERYXLOG", "--waited", cwd=server.data)
        broken = archive.folder / "broken"
        (broken / "msgpack").mkdir(parents=True)
        (broken / "msgpack" / "__init__.py").write_text("raise ImportError('no such library')")
        fetch = ("wal", "fetch", "00000002.history", "pg_wal/RECOVERYHISTORY")
        path = {"PYTHONPATH": f"{broken}:{archive.environment.get('PYTHONPATH', '')}"}
        assert archive.run(*fetch, cwd=server.data, code=None, **path).returncode >= 200
        assert archive.run(*fetch, cwd=server.data, code=None, SILT_STORE="/nowhere").returncode >= 200
        assert archive.run(*fetch, cwd=server.data, code=None, SILT_PASSPHRASE="wrong").returncode >= 200
        assert archive.run(*fetch, cwd=archive.folder, code=None).returncode >= 200  # no data directory
        assert archive.run(*fetch, "--system", "1", cwd=server.data, code=None).returncode >= 200  # another cluster
        assert archive.run("wal", "fetch", code=None).returncode >= 200
        ending = archive.restore_command.rpartition("||")[2]
        for program, code in (("true", 0), ("exit 44", 1), ("exit 1", 255), ("exit 2", 255), ("nowhere/silt", 255)):
            assert subprocess.run(["sh", "-c", f"({program}) 2>/dev/null || {ending}"]).returncode == code


@pytest.mark.parametrize("version", [18])
class TestPush:
    def test_it_waits_for_a_store_that_is_away(self, server: Server, base: Path, archive: Archive) -> None:
        load(server, 0, 3)
        all_archived(server)
        away = archive.store.rename(archive.folder / "away")
        load(server, 3, 12)
        server.sql("SELECT pg_switch_wal()")
        status = server.data / "pg_wal" / "archive_status"
        until(lambda: len(list(status.glob("*.ready"))) > 1, "nothing to archive")
        name = min(path.stem for path in status.glob("*.ready"))
        said = archive.run("wal", "push", f"pg_wal/{name}", cwd=server.data, code=6)
        assert "is the right disk mounted there?" in said.stderr
        assert len(list(status.glob("*.ready"))) > 1
        away.rename(archive.store)
        waiting = sorted(path.stem for path in status.glob("*.ready"))
        done = archive.run("wal", "push", f"pg_wal/{name}", cwd=server.data)
        assert name in done.stdout
        for each in waiting:  # by the process that this call left behind, or by the call itself
            archive.run("wal", "push", f"pg_wal/{each}", "--quiet", cwd=server.data)
            assert each in archive.objects()
        all_archived(server)
        assert archive.status()["gaps"] == []

    def test_notes_never_lie(self, server: Server, base: Path, archive: Archive) -> None:
        load(server, 0, 3)
        all_archived(server)
        name = min(name for name in archive.objects() if len(name) == 24)
        push = ("wal", "push", f"pg_wal/{name}", "--quiet")
        archive.run(*push, cwd=server.data)
        objects = archive.objects()
        shutil.copytree(archive.store, archive.folder / "kept")
        objects[name].unlink()  # the note says that it is there
        archive.run(*push, cwd=server.data)
        assert name in archive.objects()
        archive.store.rename(archive.folder / "away")
        archive.run(*push, cwd=server.data, code=6)

    def test_other_bytes_are_kept_aside(self, server: Server, base: Path, archive: Archive) -> None:
        load(server, 0, 3)
        all_archived(server)
        name = min(name for name in archive.objects() if len(name) == 24)
        before = archive.objects()[name].read_bytes()
        path = server.data / "pg_wal" / name
        data = bytearray(path.read_bytes())
        data[len(bytes(data).rstrip(b"\0")) - 1] ^= 1
        path.write_bytes(data)
        for _ in range(2):
            said = archive.run("wal", "push", f"pg_wal/{name}", cwd=server.data, code=1).stderr
            assert "the archive holds other bytes under this name" in said
        assert archive.objects()[name].read_bytes() == before
        (aside,) = archive.status()["other_bytes"]
        assert aside.startswith(f"{name}.other-")

    def test_notes_of_a_backup_and_the_store_is_sound(self, server: Server, base: Path, archive: Archive) -> None:
        with connect(server.dsn(), replication=False) as connection:
            connection.query("SELECT pg_backup_start('notes', true)")
            connection.query("SELECT pg_backup_stop(false)")
        all_archived(server)
        (name,) = (name for name in archive.objects() if name.endswith(".backup"))
        archive.run("wal", "fetch", name, "pg_wal/notes", cwd=server.data)
        assert b"LABEL: notes" in (server.data / "pg_wal" / "notes").read_bytes()
        archive.run("verify", "--read-data", "all")
        assert archive.status()["gaps"] == []

    def test_wal_of_another_cluster_is_refused(
        self, servers: Templates, version: int, server: Server, base: Path, archive: Archive
    ) -> None:
        load(server, 0, 3)
        all_archived(server)
        name = min(name for name in archive.objects() if len(name) == 24)
        with servers.server(version) as other:
            (other.data / "global" / "pg_control").write_bytes(b"\1" + bytes(8191))
            shutil.copy(server.data / "pg_wal" / name, other.data / "pg_wal")
            (other.data / "pg_wal" / name).chmod(0o644)
            said = archive.run("wal", "push", f"pg_wal/{name}", cwd=other.data, code=1).stderr
        assert "is WAL of the cluster" in said
        assert len(list((archive.store / "wal").iterdir())) == 1
