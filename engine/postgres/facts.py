"""What a server says of itself: version, identity, place in the WAL, sizes, tablespaces.

Rule: what the role may not see is None and no error; what every role may see must be there. All names are those of
pg_catalog, whatever the role's search_path. The facts are of one moment: the WAL goes on.
"""

from msgspec import Struct

from .connection import Connection
from .errors import PostgresError
from .lsn import parse_lsn


class Tablespace(Struct, frozen=True):
    """A tablespace outside of the data directory. `location` is absolute, or pg_tblspc/<oid> for one made in place."""

    oid: int
    name: str
    location: str


class ServerFacts(Struct, frozen=True, kw_only=True):
    """`xlog_position` is what was written on a primary, and what was replayed or received on a standby (in_recovery).

    `timeline` is the one that is written or replayed now. Sizes are in bytes. `data_directory` is None where the role
    may not see it (it needs pg_read_all_settings).
    """

    version_num: int
    system_identifier: int
    timeline: int
    xlog_position: int
    in_recovery: bool
    wal_segment_size: int
    block_size: int
    data_directory: str | None
    data_checksums: bool
    wal_level: str
    summarize_wal: bool
    tablespaces: tuple[Tablespace, ...]


_SETTINGS = ("wal_segment_size", "block_size", "data_directory", "data_checksums", "wal_level", "summarize_wal")


def server_facts(connection: Connection) -> ServerFacts:
    """Ask a server over a replication connection. Raises PostgresError, ServerAway."""
    settings = _settings(connection)
    system, timeline, position = _one(connection, "IDENTIFY_SYSTEM")[:3]
    (in_recovery,) = _one(connection, "SELECT pg_catalog.pg_is_in_recovery()")
    return ServerFacts(
        version_num=connection.version_num,
        system_identifier=int(system or 0),
        timeline=int(timeline or 0),
        xlog_position=parse_lsn(position or ""),
        in_recovery=in_recovery == "t",
        wal_segment_size=int(settings["wal_segment_size"]),  # in bytes there, unlike what SHOW prints
        block_size=int(settings["block_size"]),
        data_directory=settings.get("data_directory"),
        data_checksums=settings["data_checksums"] == "on",
        wal_level=settings["wal_level"],
        summarize_wal=settings.get("summarize_wal") == "on",
        tablespaces=tablespaces(connection),
    )


def tablespaces(connection: Connection) -> tuple[Tablespace, ...]:
    """Those outside of the data directory, and those made in place. Raises PostgresError, ServerAway."""
    rows = connection.query(
        "SELECT oid, spcname, pg_catalog.pg_tablespace_location(oid) FROM pg_catalog.pg_tablespace"
        " WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY oid"
    )
    return tuple(Tablespace(int(oid or 0), name or "", location or "") for oid, name, location in rows)


def _settings(connection: Connection) -> dict[str, str]:
    names = ", ".join(f"'{name}'" for name in _SETTINGS)
    rows = connection.query(f"SELECT name, setting FROM pg_catalog.pg_settings WHERE name IN ({names})")
    return {name: setting for name, setting in rows if name is not None and setting is not None}


def _one(connection: Connection, command: str) -> tuple[str | None, ...]:
    rows = connection.query(command)
    if len(rows) != 1:
        raise PostgresError(f"{command} answered {len(rows)} rows")
    return rows[0]
