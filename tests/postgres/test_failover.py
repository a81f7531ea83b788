"""Failover with everything at work: the primary dies, its standby is promoted, WAL is streamed and pushed by both.

Rule: nothing is set up anew. The stream finds the new primary by its dsn and makes its slot there; the new primary
pushes into the same archive; the deployment goes on with its groups and levels.
"""

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import archiving
from .archiving import Archive, all_archived, cold_copy, content, load, prepare, promoted, until
from .installations import hand_over
from .servers import Server, Templates
from .test_wal_stream import flushed, streaming


@pytest.fixture
def archive() -> Iterator[Archive]:
    with archiving.archive() as made:
        yield made


def dsn_of(*servers: Server) -> str:
    """Whichever of them can be written to."""
    ports = ",".join(str(server.port) for server in servers)
    hosts = ",".join("127.0.0.1" for _ in servers)
    return f"host={hosts} port={ports} user=postgres target_session_attrs=read-write"


def follow(standby: Server, primary: Server, base: Path, settings: dict[str, str]) -> None:
    """Start a standby of a cold copy."""
    shutil.copytree(base, standby.data, symlinks=True)
    subprocess.run(["chown", "-R", "--reference", standby.folder, standby.data], check=True)
    (standby.data / "standby.signal").touch()
    hand_over(standby.data / "standby.signal")
    quoted = primary.dsn().replace("'", "''")
    standby.configure(f"primary_conninfo = '{quoted}'")
    standby.start(**settings)


@pytest.mark.slow
@pytest.mark.parametrize("version", [15])
def test_stream_and_push_go_on_together(servers: Templates, version: int, archive: Archive) -> None:
    with servers.server(version) as primary, servers.empty(version) as standby, servers.empty(version) as copy:
        primary.start()
        prepare(primary)
        primary.stop()
        base = cold_copy(primary, archive.folder)
        primary.start(**archive.settings, wal_keep_size="100MB")
        follow(standby, primary, base, archive.settings)
        dsn = dsn_of(primary, standby)
        conf = archive.folder / "deployment.toml"
        conf.write_text(f'name = "x"\n[postgres]\ndsn = "{dsn}"\nmode = "wire"\n')
        with streaming(archive, primary, "--create-slot", "--open-every", "0.2", "--dsn", dsn):
            until(lambda: primary.sql("SELECT 1 FROM pg_replication_slots WHERE active") != [], "no slot")
            archive.run("backup", "-c", conf, "-q")
            load(primary, 0, 14)
            flushed(primary)
            ((end,),) = primary.sql("SELECT pg_current_wal_flush_lsn()")
            caught_up = f"SELECT pg_last_wal_replay_lsn() >= '{end}'"
            until(lambda: standby.sql(caught_up) == [("t",)], "the standby lags")
            primary.stop(signal.SIGQUIT)
            standby.sql("SELECT pg_promote()")
            promoted(standby)
            load(standby, 20, 14)
            until(lambda: standby.sql("SELECT 1 FROM pg_replication_slots WHERE active") != [], "no second slot")
            all_archived(standby)
            flushed(standby)
            archive.run("backup", "-c", conf, "-q")
            load(standby, 40, 3)
            all_archived(standby)
            flushed(standby)
            whole = content(standby)
        status = archive.status()
        assert (status["gaps"], status["lost_histories"]) == ([], [])
        assert [each["timeline"] for each in status["timelines"]] == [1, 2]
        for level in ("0/0", "0/1"):
            archive.run("restore", level, "--to", copy.data, "--until", "latest")
            hand_over(copy.data)
            copy.start(restore_command=archive.restore_command)
            assert content(promoted(copy)) == whole, level
            copy.stop()
            shutil.rmtree(copy.data)


@pytest.mark.slow
@pytest.mark.parametrize("version", [15])
def test_an_upgrade_needs_no_new_setup(servers: Templates, version: int, archive: Archive) -> None:
    """A new version is a new cluster under the old address: it goes on with the levels, and loses no history."""
    conf = archive.folder / "deployment.toml"
    rows = {}
    for number, major in enumerate((version, 18)):
        with servers.server(major) as server:
            server.start(**archive.settings)
            conf.write_text(f'name = "x"\n[postgres]\ndsn = "{server.dsn()}"\n')
            prepare(server)
            load(server, number, 12)
            archive.run("backup", "-c", conf, "-q")
            load(server, 10, 3)
            all_archived(server)
            rows[major] = content(server)
    clusters = json.loads(archive.run("wal", "status", "--json").stdout)["clusters"]
    assert len(clusters) == 2
    assert [each["gaps"] for each in clusters] == [[], []]
    for number, major in enumerate(rows):
        with servers.empty(major) as copy:
            archive.run("restore", f"0/{number}", "--to", copy.data, "--until", "latest")
            hand_over(copy.data)
            copy.start(restore_command=archive.restore_command)
            assert content(promoted(copy)) == rows[major]
