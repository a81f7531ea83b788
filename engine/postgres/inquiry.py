"""Asking a server for its condition.

Rule: it is asked over an ordinary connection, so that it can also be told of a cluster that takes no replication
connections; one of those is tried at the end, and why it was refused is part of the answer. Nothing on the server is
changed. Unlogged tables are looked for in each database that the role may connect to.
"""

import time

from . import unlogged
from .condition import Archiver, Condition, Link, Refusal, Role, Slots
from .connection import Connection, Row, connect
from .errors import NO_RIGHT, PostgresError
from .facts import tablespaces
from .lsn import parse_lsn
from .slots import Slot
from .standby import supply_of

_SETTINGS = """
SELECT name, setting, pending_restart FROM pg_catalog.pg_settings WHERE name IN ('archive_command', 'archive_library',
'archive_mode', 'archive_timeout', 'config_file', 'data_checksums', 'data_directory', 'fsync', 'full_page_writes',
'hba_file', 'ident_file', 'idle_replication_slot_timeout', 'max_replication_slots', 'max_slot_wal_keep_size',
'max_wal_senders', 'summarize_wal', 'wal_level', 'wal_segment_size')
"""
_POSITION = """
SELECT pg_catalog.pg_is_in_recovery(), CASE WHEN pg_catalog.pg_is_in_recovery()
THEN coalesce(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())
ELSE pg_catalog.pg_current_wal_lsn() END
"""
_LINK = """
SELECT s.ssl, s.version, coalesce(g.encrypted, false), coalesce(pg_catalog.host(pg_catalog.inet_server_addr()), '')
FROM pg_catalog.pg_stat_ssl s LEFT JOIN pg_catalog.pg_stat_gssapi g USING (pid) WHERE pid = pg_catalog.pg_backend_pid()
"""
_ROLE = """
SELECT rolname, rolreplication OR rolsuper, pg_catalog.pg_has_role(oid, 'pg_read_all_settings', 'USAGE')
FROM pg_catalog.pg_roles WHERE rolname = current_user
"""
_SLOTS = """
SELECT slot_name, slot_type, restart_lsn, active, wal_status FROM pg_catalog.pg_replication_slots ORDER BY 1
"""
_TIME = "pg_catalog.to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS\"Z\"')"
_ARCHIVER = f"""
SELECT last_archived_wal, {_TIME.format("last_archived_time")}, last_failed_wal, {_TIME.format("last_failed_time")},
failed_count, coalesce(last_failed_time > last_archived_time, last_failed_time IS NOT NULL)
FROM pg_catalog.pg_stat_archiver
"""


def condition_of(connection: Connection, dsn: str) -> Condition:
    """Ask a server over an ordinary connection, made with the same dsn. It must be one of 13 or newer.

    Raises PostgresError, ServerAway.
    """
    clock, doubt = _clock(connection)
    rows = connection.query(_SETTINGS)
    recovery, position = connection.query(_POSITION)[0]
    senders = _allowed(connection, "SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_replication")
    whole = _allowed(connection, "SELECT full_page_writes FROM pg_catalog.pg_control_checkpoint()")
    return Condition(
        version_num=connection.version_num,
        link=_link(connection),
        role=_role(connection),
        settings={name: setting for name, setting, _ in rows if name is not None and setting is not None},
        waiting=frozenset(name for name, _, waiting in rows if name is not None and waiting == "t"),
        in_recovery=recovery == "t",
        position=None if position is None else parse_lsn(position),
        supply=supply_of(connection) if recovery == "t" else None,
        senders=None if senders is None else int(senders[0][0] or 0),
        slots=_slots(connection),
        archiver=_archiver(connection),
        written_whole=None if whole is None else whole[0][0] == "t",
        tablespaces=tablespaces(connection),
        unlogged=unlogged.look_for(connection, dsn),
        clock=clock,
        clock_doubt=doubt,
        refusal=_refusal(dsn),
    )


def _clock(connection: Connection) -> tuple[float, float]:
    before = time.time()
    ((server,),) = connection.query("SELECT extract(epoch FROM pg_catalog.clock_timestamp())")
    after = time.time()
    return float(server or 0) - (before + after) / 2, (after - before) / 2


def _link(connection: Connection) -> Link:
    ((tls, version, gssapi, address),) = connection.query(_LINK)
    return Link(
        tls=(version or "TLS") if tls == "t" else "GSSAPI" if gssapi == "t" else "",
        verified=gssapi == "t" or connection.word("sslmode") == "verify-full",
        near=not address or address.startswith("127.") or address == "::1",
    )


def _role(connection: Connection) -> Role:
    ((name, replication, settings),) = connection.query(_ROLE)
    return Role(name=name or "", replication=replication == "t", sees_settings=settings == "t")


def _slots(connection: Connection) -> Slots | None:
    rows = _allowed(connection, _SLOTS)
    if rows is None:
        return None
    physical = tuple(
        Slot(name or "", None if lsn is None else parse_lsn(lsn), active == "t", status)
        for name, kind, lsn, active, status in rows
        if kind == "physical"
    )
    return Slots(physical=physical, logical=tuple(name or "" for name, kind, *_ in rows if kind != "physical"))


def _archiver(connection: Connection) -> Archiver | None:
    rows = _allowed(connection, _ARCHIVER)
    if rows is None:
        return None
    ((archived, archived_at, failed, failed_at, count, failing),) = rows
    return Archiver(
        archived_wal=archived,
        archived_at=archived_at,
        failed_wal=failed,
        failed_at=failed_at,
        failures=int(count or 0),
        failing=failing == "t",
    )


def _refusal(dsn: str) -> Refusal | None:
    try:
        with connect(dsn, replication=True) as connection:
            connection.query("IDENTIFY_SYSTEM")
    except PostgresError as error:
        return Refusal(str(error), error.hint)
    return None


def _allowed(connection: Connection, command: str) -> list[Row] | None:
    """What a command answers, or None where the role may not ask it."""
    try:
        return connection.query(command)
    except PostgresError as error:
        if error.sqlstate != NO_RIGHT:
            raise
        return None
