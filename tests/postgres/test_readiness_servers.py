"""Readiness of real servers: what is wrong with one is found, and what is said to mend it does."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from siltstone.engine import ConfigError, Finding, check_cluster
from siltstone.engine.postgres.backup_command import BackupOptions
from siltstone.engine.postgres.connection import connect
from siltstone.engine.postgres.errors import ServerAway

from .quiet import QuietServer
from .receiving import receive, unpack
from .servers import Server, Templates

SLOT = "siltstone"
WAIT = 40  # seconds: an archiver waits one second between its tries, and tells its statistics when it likes


def check(server: Server, role: str = "postgres", **words: str) -> dict[str, Finding]:
    found = check_cluster(server.dsn(role, **words), slot=SLOT)
    assert len({each.what for each in found}) == len(found)
    return {each.what: each for each in found}


def not_ok(found: dict[str, Finding]) -> dict[str, str]:
    return {each.what: each.state for each in found.values() if each.state != "ok"}


def mend(server: Server, finding: Finding, **settings: str) -> None:
    """Do what it says."""
    server.sql(*(command for command in finding.mend.split(";") if command.strip()))
    if finding.restart:
        server.restart(**settings)


def write_wal(server: Server, megabytes: int) -> None:
    for _ in range(megabytes):
        server.sql("SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000000))", "SELECT pg_switch_wal()")


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


@contextmanager
def streaming(server: Server) -> Iterator[None]:
    """Somebody who uses the slot."""
    with connect(server.dsn(), replication=True) as connection:
        connection.query("IDENTIFY_SYSTEM")  # standbys of 13 and 14 insist on it
        ((lsn,),) = server.sql(f"SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = '{SLOT}'")
        connection.send(f"START_REPLICATION SLOT {SLOT} PHYSICAL {lsn}")
        connection.result()
        wait_for(lambda: server.sql("SELECT 1 FROM pg_replication_slots WHERE active") != [])
        yield


def test_a_cluster_that_is_ready(server: Server, version: int) -> None:
    server.restart(fsync="on", max_slot_wal_keep_size="100MB", **({"summarize_wal": "on"} if version > 16 else {}))
    server.sql(f"SELECT pg_create_physical_replication_slot('{SLOT}', true)")
    server.sql("CREATE ROLE backup LOGIN REPLICATION PASSWORD 'p'", "GRANT pg_read_all_settings TO backup")
    with streaming(server):
        found = check(server, "backup", password="p")
        assert not_ok(found) == {}
        assert found["slot"].sentence.startswith(f"{SLOT} is in use: reserved, from 0/")
        assert found["WAL senders"].sentence == "max_wal_senders is 5, 1 in use"
    assert found["version"].sentence.startswith(f"PostgreSQL {version}.")
    assert ("summarize_wal" in found) == (version > 17), "the summaries of 17 are not used"


def test_what_mends_it_mends_it(server: Server) -> None:
    """A fresh cluster as most are; everything that can be mended by a command is."""
    server.restart(wal_level="replica")
    server.sql("CREATE UNLOGGED TABLE u (n int)")
    found = check(server)
    wrong = not_ok(found)
    assert wrong.pop("summarize_wal", "note") == "note"
    assert wrong == {"slot": "warning", "fsync": "warning", "unlogged tables": "note"}
    for what in not_ok(found):
        mend(server, found[what])
    found = check(server)
    assert not_ok(found) == {"slot": "warning"}, "a slot that nobody reads yet, and a limit of what it keeps"
    with streaming(server):
        assert not_ok(check(server)) == {}


def test_wal_level_minimal(server: Server) -> None:
    server.sql("ALTER SYSTEM SET wal_level = minimal", "ALTER SYSTEM SET max_wal_senders = 0")
    server.restart()
    found = check(server)
    assert found["wal_level"].state == found["WAL senders"].state == "fault"
    assert "replication" not in found, "the refusal is explained"
    server.sql(found["wal_level"].mend.rstrip(";"), "SELECT pg_reload_conf()")
    wait_for(lambda: check(server)["wal_level"].mend == "")
    assert "waits for a restart" in check(server)["wal_level"].sentence
    mend(server, found["WAL senders"])
    assert not {"wal_level", "WAL senders"} & not_ok(check(server)).keys()


def test_a_role_without_rights(server: Server) -> None:
    server.sql("CREATE ROLE plain LOGIN PASSWORD 'p'")
    server.sql("CREATE DATABASE shut TEMPLATE postgres", "REVOKE CONNECT ON DATABASE shut FROM PUBLIC")
    server.sql("REVOKE SELECT ON pg_replication_slots FROM PUBLIC")
    found = check(server, "plain", password="p")
    assert found["role"].state == "fault"
    assert (found["slot"].state, found["slots"].state) == ("note", "note")
    assert "configuration" not in found
    mend(server, found["may see"])
    mend(server, found["role"])
    found = check(server, "plain", password="p")
    assert "data directory" in found["may see"].sentence
    mend(server, found["may see"])
    assert found["unlogged tables"].sentence.endswith(": shut")
    mend(server, found["unlogged tables"])
    found = check(server, "plain", password="p")
    assert {found[what].state for what in ("role", "may see", "configuration", "unlogged tables")} == {"ok"}


def test_an_archive_command_that_fails(server: Server) -> None:
    server.restart(archive_mode="on")
    assert check(server)["archiving"].state == "fault", "no command at all"
    server.sql("ALTER SYSTEM SET archive_command = 'false silt wal push'", "SELECT pg_reload_conf()")
    write_wal(server, 1)
    wait_for(lambda: "it fails" in check(server)["archiving"].sentence)
    found = check(server)["archiving"]
    assert found.state == "fault"
    assert found.sentence.startswith("silt's own, and it fails: ")
    ((wal, at),) = server.sql(
        "SELECT last_failed_wal, to_char(last_failed_time AT TIME ZONE 'UTC', 'YYYY-MM-DD') FROM pg_stat_archiver"
    )
    assert f"{wal} at {at} " in found.sentence
    server.sql("ALTER SYSTEM SET archive_command = 'true'", "SELECT pg_reload_conf()")
    wait_for(lambda: check(server)["archiving"].state == "note")
    assert "another's (true), last 0000" in check(server)["archiving"].sentence


def test_a_slot_that_is_lost(server: Server) -> None:
    server.restart(max_slot_wal_keep_size="1MB")
    server.sql(f"SELECT pg_create_physical_replication_slot('{SLOT}', true)")
    assert check(server)["slot"].state == "warning"
    write_wal(server, 8)
    server.sql("CHECKPOINT")
    found = check(server)
    assert (found["slot"].state, "is lost" in found["slot"].sentence) == ("fault", True)
    assert "slot limit" not in found
    mend(server, found["slot"])
    assert "not in use" in check(server)["slot"].sentence


def test_slots_of_another_kind_and_none_left(server: Server) -> None:
    server.restart(wal_level="logical", max_replication_slots="1")
    server.sql("SELECT pg_create_physical_replication_slot('other')")
    found = check(server)
    assert "max_replication_slots is 1, 1 in use" in found["slots"].sentence
    assert (found["slots"].state, found["slots"].restart) == ("warning", True)
    with connect(server.dsn(), replication=True) as connection:
        server.sql("SELECT pg_drop_replication_slot('other')")
        connection.query(f"CREATE_REPLICATION_SLOT {SLOT} LOGICAL pgoutput")
    assert "a logical slot" in check(server)["slot"].sentence


def test_a_standby(quiet: QuietServer, servers: Templates) -> None:
    with connect(quiet.dsn, replication=True) as connection:
        received = receive(connection, BackupOptions(wal=True))
    with servers.empty(quiet.version) as standby:
        spaces = {oid: standby.make_folder(str(oid)) for oid in quiet.tablespaces}
        unpack(received, standby.data, spaces)
        (standby.data / "tablespace_map").write_text("".join(f"{oid} {place}\n" for oid, place in spaces.items()))
        (standby.data / "standby.signal").touch()
        standby.configure(f"primary_conninfo = '{quiet.server.dsn().replace(chr(39), chr(39) * 2)}'")
        standby.start(fsync="on", max_slot_wal_keep_size="1GB", full_page_writes="off", archive_mode="on")
        wait_for(lambda: standby.sql("SELECT 1 FROM pg_stat_wal_receiver") != [])
        found = check(standby)
        wrong = not_ok(found)
        assert wrong.pop("summarize_wal", "note") == "note"
        assert wrong == {"primary": "note", "slot": "warning", "unlogged tables": "note"}
        assert "a standby pushes no WAL" in found["archiving"].sentence
        assert str(spaces[min(spaces)]) in found["tablespaces"].sentence
        mend(standby, found["slot"])
        with streaming(standby):
            assert check(standby)["slot"].state == "ok"


def test_everything_of_the_quiet_server(quiet: QuietServer) -> None:
    """It is asked and not changed; three unlogged tables, two tablespaces, a role that may only replicate."""
    found = {each.what: each for each in check_cluster(quiet.dsn, slot=SLOT)}
    assert "unlogged_empty in postgres" in found["unlogged tables"].sentence
    assert "one at /" in found["tablespaces"].sentence
    assert found["role"].state == "ok"
    assert found["may see"].state == "note"


def test_configuration_elsewhere(server: Server, tmp_path: Path) -> None:
    elsewhere = server.make_folder("etc") / "pg_hba.conf"
    elsewhere.write_bytes((server.data / "pg_hba.conf").read_bytes())
    server.restart(hba_file=str(elsewhere))
    found = check(server)["configuration"]
    assert str(elsewhere) in found.sentence
    assert found.mend == f'paths = ["{elsewhere.parent}"]'


def test_what_is_no_finding_but_an_error() -> None:
    with pytest.raises(ServerAway):
        check_cluster("host=127.0.0.1 port=1 connect_timeout=2", slot=SLOT)
    with pytest.raises(ConfigError):
        check_cluster("host=h", slot="Not-A-Name")
    with pytest.raises(ConfigError):
        check_cluster("host", slot=SLOT)
