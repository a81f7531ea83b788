"""A standby as the source of a base backup: does WAL reach it, and is it still on the timeline on which it was?

Rule: a standby goes over to another timeline when its primary is replaced, and stays a standby; what was read until
then and what was read afterwards make no level of one timeline, and the server ends a backup only where the standby
itself is promoted. A standby to which nothing brings WAL is backed up as it stands, and a warning says how old that is:
it would look like a backup of today.
"""

from msgspec import Struct

from .connection import Connection
from .errors import PostgresError

# Who may not see what the receiver does sees that there is one.
_SUPPLY = """
SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver), pg_catalog.current_setting('restore_command') <> '',
pg_catalog.to_char(pg_catalog.pg_last_xact_replay_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS"Z"')
"""


class Supply(Struct, frozen=True):
    """`streams`: a primary sends WAL; `fetches`: a restore_command may bring some. `replayed_at`: when the last
    transaction that was replayed had ended, as the server writes it; None where none was since it started.
    """

    streams: bool
    fetches: bool
    replayed_at: str | None

    @property
    def dry(self) -> bool:
        """Whether nothing brings WAL."""
        return not self.streams and not self.fetches

    def sentence(self) -> str:
        """What is to be said where it is dry."""
        until = f"the last transaction of {self.replayed_at}" if self.replayed_at else "what it had when it started"
        return f"no WAL reaches this standby: backups of it hold {until}, and nothing newer"


def supply_of(connection: Connection) -> Supply:
    """How WAL reaches a standby at this moment. Raises PostgresError, ServerAway."""
    ((streams, fetches, replayed_at),) = connection.query(_SUPPLY)
    return Supply(streams == "t", fetches == "t", replayed_at)


def require_timeline(connection: Connection, timeline: int) -> None:
    """Raises PostgresError where the server is on another timeline by now."""
    now = int(connection.query("IDENTIFY_SYSTEM")[0][1] or 0)
    if now != timeline:
        what = f"the standby went over from timeline {timeline} to {now} while it was backed up"
        raise PostgresError(what, hint="back up again: nothing was kept of this one")
