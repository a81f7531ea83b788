"""pg_control of real servers in each state, and of damaged ones."""

import signal
import subprocess

import pytest

from siltstone.engine.postgres.connection import connect
from siltstone.engine.postgres.control import PATH, SIZE, Control, State, WalLevel, parse_control
from siltstone.engine.postgres.errors import Malformed
from siltstone.engine.postgres.facts import server_facts
from siltstone.engine.postgres.lsn import format_lsn

from .quiet import QuietServer
from .servers import Server

VERSIONS = {13: 1300, 14: 1300, 15: 1300, 16: 1300, 17: 1700, 18: 1800}


def control_file(server: Server) -> bytes:
    return (server.data / PATH.decode()).read_bytes()


def test_it_says_what_the_server_says(quiet: QuietServer) -> None:
    control = parse_control(control_file(quiet.server))
    with connect(quiet.server.dsn(), replication=True) as connection:
        facts = server_facts(connection)
        ((checkpoint, redo, timeline, previous, writes),) = connection.query(
            "SELECT checkpoint_lsn, redo_lsn, timeline_id, prev_timeline_id, full_page_writes"
            " FROM pg_control_checkpoint()"
        )
        ((catalog, version),) = connection.query(
            "SELECT catalog_version_no, pg_control_version FROM pg_control_system()"
        )
        settings = {row[0]: row[1] for row in connection.query("SELECT name, setting FROM pg_settings")}
    assert control.system_identifier == facts.system_identifier
    assert str(control.control_version) == version == str(VERSIONS[quiet.version])
    assert str(control.catalog_version) == catalog
    assert (format_lsn(control.checkpoint), format_lsn(control.redo)) == (checkpoint, redo)
    assert (str(control.timeline), str(control.previous_timeline)) == (timeline, previous)
    assert control.full_page_writes == (writes == "t")
    assert control.state is State.IN_PRODUCTION
    assert control.wal_level is WalLevel.REPLICA
    assert control.data_checksums == 1
    assert control.wal_segment_size == facts.wal_segment_size
    assert control.minimum_recovery_point == control.backup_start == control.backup_end == 0
    for name in ("max_connections", "max_worker_processes", "max_wal_senders", "max_prepared_transactions"):
        assert str(getattr(control, name)) == settings[name], name
    assert str(control.max_locks_per_transaction) == settings["max_locks_per_transaction"]
    assert str(control.block_size) == settings["block_size"]
    assert str(control.relation_segment_blocks) == settings["segment_size"]
    assert str(control.wal_block_size) == settings["wal_block_size"]


def test_every_field_is_where_pg_controldata_sees_it(server: Server) -> None:
    server.stop()
    tool = server.programs.tool("pg_controldata")
    if tool is None:
        pytest.skip(f"this PostgreSQL {server.programs.version} comes without pg_controldata")
    text = subprocess.run([tool, server.data], capture_output=True, text=True, check=True).stdout
    shown = {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}
    control = parse_control(control_file(server))
    assert shown["Database cluster state"] == "shut down"
    assert control.state is State.SHUT_DOWN
    numbers = {
        "Database system identifier": control.system_identifier,
        "Latest checkpoint's TimeLineID": control.timeline,
        "Min recovery ending loc's timeline": control.minimum_recovery_timeline,
        "max_connections setting": control.max_connections,
        "max_prepared_xacts setting": control.max_prepared_transactions,
        "max_locks_per_xact setting": control.max_locks_per_transaction,
        "Database block size": control.block_size,
        "Blocks per segment of large relation": control.relation_segment_blocks,
        "WAL block size": control.wal_block_size,
        "Bytes per WAL segment": control.wal_segment_size,
        "Data page checksum version": control.data_checksums,
    }
    assert {name: int(shown[name]) for name in numbers} == numbers
    assert shown["Latest checkpoint's REDO location"] == format_lsn(control.redo)
    assert shown["wal_log_hints setting"] == ("on" if control.wal_log_hints else "off")
    assert shown["End-of-backup record required"] == ("yes" if control.backup_end_required else "no")


def test_after_a_crash_it_says_in_production(server: Server) -> None:
    server.stop(signal.SIGQUIT)
    assert parse_control(control_file(server)).state is State.IN_PRODUCTION


class TestDamage:
    @pytest.fixture
    def sound(self, quiet: QuietServer) -> bytes:
        data = control_file(quiet.server)
        assert isinstance(parse_control(data), Control)
        return data

    def test_each_byte_counts(self, sound: bytes) -> None:
        for at in range(292):
            damaged = bytearray(sound)
            damaged[at] ^= 0x40
            with pytest.raises(Malformed):
                parse_control(bytes(damaged))
        with pytest.raises(Malformed, match="8191 bytes of 8192"):
            parse_control(sound[: SIZE - 1])

    def test_another_version_is_not_guessed_at(self, sound: bytes) -> None:
        for version in (1201, 1902):
            damaged = sound[:8] + version.to_bytes(4, "little") + sound[12:]
            with pytest.raises(Malformed, match=f"version {version} is not known"):
                parse_control(damaged)
