"""Base backups that break off: left by their consumer, ended by the server, refused in the middle."""

import os
import signal
import time
from contextlib import closing

import pytest

from siltstone.engine.postgres.backup_command import BackupOptions
from siltstone.engine.postgres.base_backup import ArchiveBegins, Started, base_backup
from siltstone.engine.postgres.connection import connect
from siltstone.engine.postgres.errors import PostgresError, ServerAway

from .quiet import QuietServer
from .receiving import receive
from .servers import Server

BACKENDS = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender'"


def wait_for(server: Server, query: str, value: str) -> None:
    end = time.monotonic() + 20
    while server.sql(query) != [(value,)]:
        assert time.monotonic() < end, query
        time.sleep(0.02)


def test_leaving_early_ends_it_on_the_server(quiet: QuietServer) -> None:
    with connect(quiet.dsn, replication=True) as connection:
        events = base_backup(connection, BackupOptions(max_rate=32))
        assert isinstance(next(events), Started)
        assert isinstance(next(events), ArchiveBegins)
        assert isinstance(next(events), memoryview)
        events.close()
        with pytest.raises(ServerAway):
            connection.query("SELECT 1")
    wait_for(quiet.server, BACKENDS, "0")


def test_leaving_while_the_checkpoint_is_spread(server: Server) -> None:
    server.sql("CREATE TABLE t AS SELECT n FROM generate_series(1, 100000) n")
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    with (
        connect(server.dsn(), replication=True) as connection,
        closing(base_backup(connection, BackupOptions(fast=False))) as events,
    ):
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            next(events)
    signal.signal(signal.SIGALRM, previous)
    wait_for(server, BACKENDS, "0")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_a_server_that_goes_down_in_the_middle(server: Server, how: signal.Signals) -> None:
    with connect(server.dsn(), replication=True) as connection:
        events = base_backup(connection, BackupOptions(max_rate=1024))
        while not isinstance(next(events), memoryview):
            pass
        server.stop(how)
        with pytest.raises(ServerAway) as caught:
            for _ in events:
                pass
        if how == signal.SIGQUIT:
            assert "terminat" in str(caught.value) or "closed the connection" in str(caught.value)


def test_what_the_server_cannot_read_is_its_error(server: Server) -> None:
    (server.data / "base" / "unreadable").write_bytes(b"x")
    (server.data / "base" / "unreadable").chmod(0)
    os.chown(server.data / "base" / "unreadable", os.geteuid(), -1)
    with connect(server.dsn(), replication=True) as connection, pytest.raises(PostgresError, match="unreadable"):
        receive(connection)


def test_a_name_too_long_for_tar_is_the_servers_error(server: Server) -> None:
    (server.data / ("n" * 120)).write_bytes(b"x")
    os.chmod(server.data / ("n" * 120), 0o644)
    with (
        connect(server.dsn(), replication=True) as connection,
        pytest.raises(PostgresError, match="too long for tar"),
    ):
        receive(connection)
