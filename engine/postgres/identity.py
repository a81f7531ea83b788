"""Which cluster a server is, where it writes, and where its timelines come from.

Rule: asked at every connect, since behind one address there may be another server after a failover or a restore. The
system identifier is made by initdb and shared by a cluster's standbys and copies; it does not tell those apart.
"""

from msgspec import Struct

from .connection import Connection
from .lsn import parse_lsn
from .receive_errors import wrong_cluster
from .wal_sink import Position


class Identity(Struct, frozen=True):
    """What IDENTIFY_SYSTEM says: the cluster, and where it writes (a standby: what it has flushed) now."""

    system_identifier: int
    position: Position


def identify(connection: Connection, system_identifier: int | None = None) -> Identity:
    """Which cluster this is, and where it is. Raises OtherCluster when it is not the expected one, PostgresError."""
    system, timeline, lsn = connection.query("IDENTIFY_SYSTEM")[0][:3]
    found = Identity(int(system or 0), Position(int(timeline or 0), parse_lsn(lsn or "")))
    if system_identifier is not None and found.system_identifier != system_identifier:
        raise wrong_cluster(found.system_identifier, system_identifier)
    return found


def fetch_history(connection: Connection, timeline: int) -> bytes:
    """The history file of a timeline above 1. Raises PostgresError when the server has none."""
    ((_, content),) = connection.query(f"TIMELINE_HISTORY {timeline}")
    return (content or "").encode("utf-8", "surrogateescape")
