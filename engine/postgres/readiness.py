"""Is a cluster ready to be backed up and archived? What was found, each with what mends it.

Rule: judge() is pure: a condition in, findings out, always in the same order and one for each thing that was looked at,
whether it is well or not. check_cluster() asks and judges. Readiness is of this moment, and no proof: only a restore
is. What a base backup meets on its way (damaged pages, say) is not looked for.
"""

import os
from collections.abc import Iterator

from .condition import Condition
from .connection import connect
from .finding import Finding, set_and_reload
from .inquiry import condition_of
from .quoting import quoted
from .readiness_wal import judge_wal
from .slots import check_slot_name
from .summaries import BELIEVED_SINCE

OLDEST = 13  # an older server lacks views that are asked, and its base backups have no manifest
NEWEST = 18  # what was tried with real servers
IN_PLACE_SINCE = 16  # older servers leave such tablespaces out of base backups
CLOCK_OFF = 2.0  # seconds: what people name as the moment to go back to is no finer
_SHOWN = 3  # names in a sentence


def check_cluster(dsn: str, *, slot: str) -> tuple[Finding, ...]:
    """Whether the cluster is ready, `slot` being the one that keeps WAL for us.

    Raises ConfigError; PostgresError, ServerAway when it cannot be reached at all.
    """
    check_slot_name(slot)
    with connect(dsn, replication=False) as connection:
        if connection.version_num // 10000 < OLDEST:
            return (_version(connection.version_num),)
        return judge(condition_of(connection, dsn), slot)


def judge(condition: Condition, slot: str) -> tuple[Finding, ...]:
    """What is to be said of a condition."""
    return (
        _version(condition.version_num),
        _connection(condition),
        _role(condition),
        _visible(condition),
        _standby(condition),
        *judge_wal(condition, slot),
        _checksums(condition),
        _full_page_writes(condition),
        _fsync(condition),
        *_summaries(condition),
        _segments(condition),
        *_tablespaces(condition),
        *_unlogged(condition),
        *_configuration(condition),
        _clock(condition),
    )


def _version(version_num: int) -> Finding:
    major, minor = version_num // 10000, version_num % 10000
    if major < OLDEST:
        mend = f"upgrade the server to PostgreSQL {OLDEST} to {NEWEST}"
        return Finding("version", "fault", f"PostgreSQL {major} is older than {OLDEST}", mend)
    if major > NEWEST:
        said = f"PostgreSQL {major} is newer than {NEWEST}, the last that this version of silt was tried with"
        return Finding("version", "warning", said, "install a newer silt")
    return Finding("version", "ok", f"PostgreSQL {major}.{minor}")


def _connection(condition: Condition) -> Finding:
    link = condition.link
    if link.tls and (link.verified or link.near):
        return Finding("connection", "ok", f"encrypted: {link.tls}")
    if link.tls:
        said = f"encrypted ({link.tls}), but nobody compares the server's name with its certificate"
        return Finding("connection", "note", said, "add sslmode=verify-full sslrootcert=FILE to the dsn")
    if link.near:
        return Finding("connection", "ok", "within this host, not encrypted")
    mend = "switch ssl on at the server, and add sslmode=verify-full sslrootcert=FILE to the dsn"
    return Finding("connection", "warning", "not encrypted: whoever is on the way can read the whole database", mend)


def _role(condition: Condition) -> Finding:
    role = condition.role
    if role.replication:
        return Finding("role", "ok", f"{quoted(role.name)} has REPLICATION")
    said = f"{quoted(role.name)} has no REPLICATION, without which no base backup is sent"
    return Finding("role", "fault", said, f"ALTER ROLE {quoted(role.name)} REPLICATION;")


def _visible(condition: Condition) -> Finding:
    role = quoted(condition.role.name)
    if condition.slots is None:
        said, view = f"{role} may not read pg_replication_slots", "GRANT SELECT ON pg_replication_slots"
        return Finding("may see", "warning", f"{said}: nobody notices a slot that is lost", f"{view} TO {role};")
    if not condition.role.sees_settings:
        said = f"{role} may not see where the data directory and the configuration files are"
        return Finding("may see", "note", said, f"GRANT pg_read_all_settings TO {role};")
    return Finding("may see", "ok", "all settings, the data directory and the slots")


def _standby(condition: Condition) -> Finding:
    if not condition.in_recovery:
        return Finding("primary", "ok", "a primary")
    if condition.supply is not None and condition.supply.dry:
        mend = "see the standby's log, its primary_conninfo, and whether the primary is there"
        return Finding("primary", "warning", condition.supply.sentence(), mend)
    said = "a standby: a backup fails where it is promoted meanwhile; roles and tables are changed on the primary"
    return Finding("primary", "note", said)


def _checksums(condition: Condition) -> Finding:
    if condition.on("data_checksums"):
        return Finding("checksums", "ok", "pages have checksums")
    said = "pages have no checksums: what a disk has damaged is backed up unnoticed"
    folder = condition.settings.get("data_directory", "DATA_DIRECTORY")
    return Finding("checksums", "note", said, f"stop the server; pg_checksums --enable -D {folder}", restart=True)


def _full_page_writes(condition: Condition) -> Finding:
    mend = set_and_reload("full_page_writes", "on")
    if condition.in_recovery and condition.written_whole is False:
        said = "off on the primary: a base backup of this standby is refused; change it there"
        return Finding("full_page_writes", "fault", said, mend)
    if condition.in_recovery or condition.on("full_page_writes"):
        return Finding("full_page_writes", "ok", "on")
    said = "off: after a crash pages may be half old, and standbys cannot be backed up"
    return Finding("full_page_writes", "warning", said, mend)


def _fsync(condition: Condition) -> Finding:
    if condition.on("fsync"):
        return Finding("fsync", "ok", "on")
    said = "off: a crash of its machine may destroy the cluster, and what was archived may be ahead of it"
    return Finding("fsync", "warning", said, set_and_reload("fsync", "on"))


def _summaries(condition: Condition) -> Iterator[Finding]:
    if condition.version_num < BELIEVED_SINCE:  # 17 has it, too
        return
    if condition.on("summarize_wal"):
        yield Finding("summarize_wal", "ok", "on")
    else:
        said = "off: incremental backups read all pages instead of asking the server which have changed"
        yield Finding("summarize_wal", "note", said, set_and_reload("summarize_wal", "on"))


def _segments(condition: Condition) -> Finding:
    return Finding("WAL segments", "ok", f"{condition.number('wal_segment_size') >> 20} MiB each")


def _tablespaces(condition: Condition) -> Iterator[Finding]:
    inside = [space.name for space in condition.tablespaces if not space.location.startswith("/")]
    apart = [f"{space.name} at {space.location}" for space in condition.tablespaces if space.location.startswith("/")]
    if inside and condition.version_num // 10000 < IN_PLACE_SINCE:
        said = f"made in place, which servers before {IN_PLACE_SINCE} do not back up: {_some(inside)}"
        mend = "CREATE TABLESPACE with a LOCATION, move what is in them there, and drop them"
        yield Finding("tablespaces", "fault", said, mend)
    elif inside:
        yield Finding("tablespaces", "note", f"made in place, which is meant for developers: {_some(inside)}")
    if apart or not inside:
        yield Finding("tablespaces", "ok", f"outside of the data directory: {_some(apart)}" if apart else "none")


def _unlogged(condition: Condition) -> Iterator[Finding]:
    found, what = condition.unlogged, "unlogged tables"
    if found.tables:
        names = [f"{table} in {database}" for database, table in found.tables]
        said = f"their rows are in no backup, a restore brings them back empty: {_some(names)}"
        yield Finding(what, "note", said, f"ALTER TABLE {found.tables[0][1]} SET LOGGED;")
    if found.closed:
        said = f"the role may not connect to some databases to look for them: {_some(found.closed)}"
        mend = f"GRANT CONNECT ON DATABASE {quoted(found.closed[0])} TO {quoted(condition.role.name)};"
        yield Finding(what, "note", said, mend)
    if found.unseen:
        yield Finding(what, "note", f"not looked for in some databases: {_some(found.unseen)}")
    if not found.tables and not found.closed and not found.unseen:
        yield Finding(what, "ok", "none")


def _configuration(condition: Condition) -> Iterator[Finding]:
    data = condition.settings.get("data_directory")
    files = [condition.settings.get(name) for name in ("config_file", "hba_file", "ident_file")]
    if data is None:  # `may see` has said so
        return
    outside = [file for file in files if file and os.path.commonpath([data, file]) != os.path.normpath(data)]
    if outside:
        said = f"outside of the data directory, so in no base backup; put them into a file set there: {_some(outside)}"
        folders = ", ".join(f'"{folder}"' for folder in dict.fromkeys(map(os.path.dirname, outside)))
        yield Finding("configuration", "note", said, f"paths = [{folders}]")
    else:
        yield Finding("configuration", "ok", "within the data directory")


def _clock(condition: Condition) -> Finding:
    off = max(0.0, abs(condition.clock) - condition.clock_doubt)
    if off < CLOCK_OFF:
        return Finding("clock", "ok", f"the server's and ours differ by less than {CLOCK_OFF:g} s")
    ahead = "ahead of" if condition.clock > 0 else "behind"
    said = f"the server's is {off:.0f} s {ahead} ours: a moment to restore is one of the server's"
    return Finding("clock", "warning", said, "timedatectl set-ntp true")


def _some(names: list[str] | tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
