"""`silt wal stream` beside real servers: killed, promoted under it, and what the archive then knows."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from . import archiving
from .archiving import PROGRAM, Archive, cold_copy, content, load, prepare, promoted, recovered, until
from .installations import hand_over
from .servers import Server, Templates


@pytest.fixture
def archive() -> Iterator[Archive]:
    with archiving.archive() as archive:
        yield archive


@pytest.fixture
def base(server: Server, archive: Archive) -> Path:
    """A cold copy of `server`, whose slot exists."""
    prepare(server)
    server.sql("SELECT pg_create_physical_replication_slot('siltstone', true)")
    server.stop()
    copy = cold_copy(server, archive.folder)
    server.start()
    return copy


@contextmanager
def streaming(archive: Archive, server: Server, *words: str) -> Iterator["subprocess.Popen[bytes]"]:
    """The service, ended by SIGTERM if it still runs; then it ends well, and all is durable."""
    with (archive.folder / "stream").open("ab") as log:
        process = subprocess.Popen(
            [*PROGRAM, "wal", "stream", "--dsn", server.dsn(), "--json", *words],
            env=archive.environment,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0, (archive.folder / "stream").read_text()


def flushed(server: Server) -> None:
    """Wait until all that is written now is durable in the store, as far as the server was told."""
    ((lsn,),) = server.sql("SELECT pg_current_wal_flush_lsn()")
    question = f"SELECT restart_lsn >= '{lsn}' FROM pg_replication_slots WHERE slot_name = 'siltstone'"
    until(lambda: server.sql(question) == [("t",)], "the slot does not move")


def test_killed_and_begun_again_nothing_is_lost(
    servers: Templates, version: int, server: Server, base: Path, archive: Archive
) -> None:
    with streaming(archive, server, "--open-every", "0.2") as first:
        load(server, 0, 14)
        flushed(server)
        load(server, 25, 3)
        first.kill()
        first.wait()
    load(server, 30, 10)
    with streaming(archive, server, "--open-every", "0.2"):
        load(server, 40, 10)
        server.sql("SELECT pg_create_restore_point('here')")
        server.sql("INSERT INTO rows VALUES (1000, 1, 'last')")
        flushed(server)
        whole = content(server)
        server.stop(signal.SIGQUIT)
    assert any(".open-" in name for name in archive.objects())
    with recovered(servers, version, base, archive.restore_command) as copy:
        assert content(copy) == whole
    assert archive.status()["gaps"] == []
    events = [json.loads(line) for line in (archive.folder / "stream").read_text().splitlines()]
    assert {"started", "archived", "stopped"} <= {event.get("event") for event in events}
    check_times(archive)


def check_times(archive: Archive) -> None:
    """The restore point is found, with commits on both sides of it."""

    def near(moment: str, count: int) -> list[dict[str, object]]:
        done = archive.run("pg", "times", moment, "--count", str(count), "--json")
        return list(json.loads(done.stdout)["moments"])

    last = near("2100-01-01", 1)
    assert len(last) == 1
    everything = near("2100-01-01", 100)
    (point,) = [each for each in everything if each.get("restore_point") == "here"]
    around = near(str(point["time"]), 2)
    assert [each["before"] for each in around] == [True, True, False]
    assert around[1] == point
    assert around[2] == {**last[0], "before": False}
    assert len(everything) > 38  # a commit a transaction, the point, and what initdb left
    assert near("2000-01-01", 3) == [{**each, "before": False} for each in everything[:3]]


@pytest.mark.parametrize("version", [18])
def test_a_promotion_is_followed(servers: Templates, version: int, archive: Archive) -> None:
    with servers.server(version) as server:
        server.start()
        prepare(server)
        server.stop()
        base = cold_copy(server, archive.folder)
        (server.data / "standby.signal").touch()
        hand_over(server.data / "standby.signal")
        server.start()
        with streaming(archive, server, "--no-slot"):
            until(lambda: '"started"' in (archive.folder / "stream").read_text(), "the stream does not begin")
            server.sql("SELECT pg_promote()")
            promoted(server)
            load(server, 0, 12)
            whole = content(server)
            ((segment,),) = server.sql("SELECT pg_walfile_name(pg_current_wal_lsn())")
            server.sql("SELECT pg_switch_wal()")
            until(lambda: {"00000002.history", segment} <= archive.objects().keys(), "the new timeline does not come")
        timelines = [each["timeline"] for each in archive.status()["timelines"]]
        assert timelines == [1, 2]
        assert archive.status()["lost_histories"] == []
    with recovered(servers, version, base, archive.restore_command) as copy:
        assert content(copy) == whole


@pytest.mark.parametrize("version", [18])
def test_without_the_slot_it_says_so(server: Server, archive: Archive) -> None:
    done = archive.run("wal", "stream", "--dsn", server.dsn(), code=1)
    assert "there is no replication slot siltstone" in done.stderr
    assert "--create-slot" in done.stderr
    with streaming(archive, server, "--create-slot"):
        until(lambda: len(server.sql("SELECT 1 FROM pg_replication_slots WHERE active")) == 1, "no slot in use")
    record = json.loads(archive.run("wal", "status", "--json", "--dsn", server.dsn()).stdout)
    assert record["server"]["slot"]["name"] == "siltstone"


@pytest.mark.parametrize("version", [18])
def test_wal_that_the_server_threw_away_is_a_gap(server: Server, archive: Archive) -> None:
    prepare(server)
    with streaming(archive, server, "--no-slot"):
        until(lambda: '"started"' in (archive.folder / "stream").read_text(), "the stream does not begin")
        load(server, 0, 12)
        server.sql("SELECT pg_switch_wal()")
        until(lambda: any(len(name) == 24 for name in archive.objects()), "nothing is archived")
    for first in range(20, 80, 20):
        load(server, first, 20)
        server.sql("CHECKPOINT")
    with streaming(archive, server, "--no-slot"):
        until(lambda: '"gap"' in (archive.folder / "stream").read_text(), "the gap is not noticed")
        load(server, 100, 12)
        until(lambda: archive.status()["gaps"] != [], "the stream does not go on behind it")
    assert "GAP" in archive.run("wal", "status", code=3).stdout
