"""Connections to real servers: what they say of themselves, and what each refusal is turned into."""

import signal
import socket
import struct
import threading
import time

import pytest
from psycopg.pq import ExecStatus

from siltstone.engine import ConfigError
from siltstone.engine.postgres.connection import Connection, connect
from siltstone.engine.postgres.errors import PostgresError, ServerAway, Silent
from siltstone.engine.postgres.facts import server_facts

from .quiet import QuietServer
from .servers import Server


def refusal(dsn: str) -> PostgresError:
    with pytest.raises(PostgresError) as caught:
        connect(dsn, replication=True)
    return caught.value


def take_copy(connection: Connection, timeout: float) -> None:
    while connection.copy_data(timeout) is not None:
        pass


class TestAnswers:
    def test_rows_are_text_or_none(self, quiet: QuietServer) -> None:
        with connect(quiet.dsn, replication=True) as connection:
            assert connection.query("SELECT 1, NULL, 'ä', '' UNION ALL SELECT 2, '', NULL, 'b'") == [
                ("1", None, "ä", ""),
                ("2", "", None, "b"),
            ]
            assert connection.query("CREATE TEMPORARY TABLE t (n int)") == []

    def test_the_facts_are_the_servers(self, quiet: QuietServer) -> None:
        with connect(quiet.dsn, replication=True) as connection:
            facts = server_facts(connection)
        assert facts.version_num // 10000 == quiet.version
        assert facts.wal_segment_size == 1 << 20
        assert facts.block_size == 8192
        assert facts.timeline == 1
        assert not facts.in_recovery
        assert facts.data_checksums
        assert {space.oid: space.location for space in facts.tablespaces} == {
            oid: str(place) for oid, place in quiet.tablespaces.items()
        }
        assert facts.data_directory is None
        with connect(quiet.server.dsn(), replication=True) as connection:
            seen = server_facts(connection)
        assert seen.data_directory == str(quiet.server.data)
        assert seen.system_identifier == facts.system_identifier
        assert 0 <= seen.xlog_position - facts.xlog_position < 4096  # it notes by itself, now and then, what runs

    def test_a_wrong_command_is_the_servers_own_error(self, quiet: QuietServer) -> None:
        with connect(quiet.dsn, replication=True) as connection:
            with pytest.raises(PostgresError, match='relation "nowhere" does not exist') as caught:
                connection.query("SELECT * FROM nowhere")
            assert caught.value.sqlstate == "42P01"
            assert connection.query("SELECT 1") == [("1",)], "and the connection is good for more"

    def test_what_a_server_notes_is_kept(self, quiet: QuietServer) -> None:
        with connect(quiet.dsn, replication=False) as connection:
            connection.query("DO $$ BEGIN RAISE WARNING 'mind the gap'; END $$")
            assert [(each.severity, each.message) for each in connection.notices] == [("WARNING", "mind the gap")]

    def test_a_name_is_given_and_can_be_changed(self, quiet: QuietServer) -> None:
        for words, name in (("", "siltstone"), (" application_name=mine", "mine")):
            with connect(quiet.dsn + words, replication=True) as connection:
                assert connection.query("SHOW application_name") == [(name,)]

    def test_both_sides_can_copy(self, server: Server) -> None:
        """As streaming of WAL does: data when there are some, silence otherwise, an orderly end."""
        with connect(server.dsn(), replication=True) as connection:
            ((_, _, position, _),) = connection.query("IDENTIFY_SYSTEM")
            connection.send(f"START_REPLICATION PHYSICAL {position} TIMELINE 1")
            result = connection.result()
            assert result is not None
            assert result.status == ExecStatus.COPY_BOTH
            with pytest.raises(Silent):
                take_copy(connection, timeout=0.3)
            server.sql("CREATE TABLE t (n int)")
            message = connection.copy_data(timeout=10)
            assert message is not None
            assert message[0] in b"wk"
            connection.put_copy(struct.pack("!cqqqqb", b"r", 0, 0, 0, 0, 0))
            connection.end_copy()
            take_copy(connection, timeout=10)
            connection.drain()
            assert connection.query("SELECT 1") == [("1",)]

    def test_a_copy_that_fails_at_its_start_says_why(self, server: Server) -> None:
        with connect(server.dsn(), replication=True) as connection:
            connection.send("START_REPLICATION PHYSICAL 0/0 TIMELINE 1")
            assert connection.result() is not None
            take_copy(connection, timeout=10)
            with pytest.raises(PostgresError, match="has already been removed"):
                connection.drain()


class TestRefusals:
    def test_a_wrong_password(self, quiet: QuietServer) -> None:
        error = refusal(quiet.server.dsn(quiet.role, password="not this one"))
        assert error.sqlstate == "28P01"
        assert ".pgpass" in error.hint
        assert "not this one" not in str(error) + error.hint

    def test_no_password(self, quiet: QuietServer) -> None:
        error = refusal(quiet.server.dsn(quiet.role))
        assert error.sqlstate == "28P01"
        assert ".pgpass" in error.hint

    def test_no_line_in_pg_hba(self, quiet: QuietServer) -> None:
        error = refusal(quiet.server.dsn(quiet.role, password=quiet.password, host=str(quiet.server.folder)))
        assert error.sqlstate == "28000"
        assert "pg_hba.conf" in error.hint
        assert quiet.role in error.hint

    def test_a_role_that_may_not_replicate(self, quiet: QuietServer) -> None:
        quiet.server.sql("DROP ROLE IF EXISTS plain", "CREATE ROLE plain LOGIN PASSWORD 'p'")
        error = refusal(quiet.server.dsn("plain", password="p"))
        assert error.sqlstate == "42501"
        assert 'ALTER ROLE "plain" REPLICATION' in error.hint

    def test_an_unknown_database(self, quiet: QuietServer) -> None:
        error = refusal(quiet.dsn + " dbname=nowhere")
        assert error.sqlstate == "3D000"
        assert "dbname=postgres" in error.hint

    def test_tls_where_there_is_none(self, quiet: QuietServer) -> None:
        error = refusal(quiet.dsn + " sslmode=require")
        assert "SSL" in str(error)
        assert "sslmode" in error.hint

    @pytest.mark.parametrize(
        "dsn",
        ["host=h password=open sesame", "postgresql://u:open%ses@h/", "host=h 'sesame", "password='sesame"],
    )
    def test_a_dsn_that_is_none_repeats_no_part_of_it(self, dsn: str) -> None:
        with pytest.raises(ConfigError) as caught:
            connect(dsn, replication=True)
        assert "sesame" not in str(caught.value) + caught.value.hint
        assert caught.value.__cause__ is None


class TestAway:
    def test_nobody_listens(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        error = refusal(f"host=127.0.0.1 port={port}")
        assert isinstance(error, ServerAway)
        assert "listen_addresses" in error.hint

    def test_a_host_that_keeps_silent_is_given_up(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            start = time.monotonic()
            error = refusal(f"host=127.0.0.1 port={silent.getsockname()[1]} connect_timeout=1")
        assert isinstance(error, ServerAway)
        assert "timeout expired" in str(error)
        assert time.monotonic() - start < 5

    def test_after_a_host_that_keeps_silent_the_next_is_tried(self, quiet: QuietServer) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            words = f"host=127.0.0.1,127.0.0.1 port={port},{quiet.server.port} user=postgres connect_timeout=1"
            with connect(words, replication=True) as connection:
                assert connection.query("SELECT 1") == [("1",)], "the next host of the list"

    def test_a_question_that_takes_too_long(self, quiet: QuietServer) -> None:
        with (
            connect(quiet.dsn, replication=True) as connection,
            pytest.raises(Silent, match=r"no answer within 0\.1 seconds"),
        ):
            connection.query("SELECT pg_catalog.pg_sleep(30)", timeout=0.1)
        rows = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)' AND pid <> pg_backend_pid()"
        end = time.monotonic() + 10
        while quiet.server.sql(rows) != [("0",)]:
            assert time.monotonic() < end, "closing did not cancel it"
            time.sleep(0.02)

    def test_ctrl_c_is_heard_while_waiting(self, quiet: QuietServer) -> None:
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it
        with connect(quiet.dsn, replication=True) as connection:
            main = threading.main_thread().ident
            assert main is not None
            timer = threading.Timer(0.2, lambda: signal.pthread_kill(main, signal.SIGINT))
            timer.start()
            start = time.monotonic()
            with pytest.raises(KeyboardInterrupt):
                connection.query("SELECT pg_catalog.pg_sleep(20)")
            timer.join()
            assert time.monotonic() - start < 10
        signal.signal(signal.SIGINT, before)

    def test_a_server_that_crashes(self, server: Server) -> None:
        with connect(server.dsn(), replication=True) as connection:
            server.stop(signal.SIGQUIT)
            for _ in range(2):
                with pytest.raises(ServerAway):
                    connection.query("SELECT 1")
