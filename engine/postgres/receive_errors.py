"""Why a stream of WAL cannot go on, where the same will not succeed later.

Rule: told apart by SQLSTATE where the server gives one, else by its English words; in another language
(`lc_messages`) the error is a plain PostgresError with the same message. The hint says what it means for the archive.
"""

from .errors import PostgresError, ServerAway


class WalRemoved(PostgresError):
    """The server has thrown away WAL that was not received: the archive has a gap."""


class Diverged(PostgresError):
    """The server never had this WAL: its history left the timeline before, or it is behind."""


class OtherCluster(PostgresError):
    """The server is another cluster than the one whose WAL is received."""


_GAP = (
    "recovery across the gap is impossible: take a full backup now; and let the server keep WAL with a replication slot"
    " (check max_slot_wal_keep_size) or wal_keep_size"
)
_FORKED = (
    "the server was promoted, or restored, at an earlier place, and what was received beyond is void: stream from the"
    " segment of that place on"
)
_BEHIND = "it is a standby that lags, or was restored to an earlier place: wait, or start from where it is"
_NO_SLOT = "make the slot; WAL since it vanished may be gone, and a full backup is needed then"
_ACTIVE = "another receiver uses this slot: stop it, or give each its own"


def refused(error: PostgresError, slot: str | None) -> PostgresError:
    """The error for what START_REPLICATION or its stream ended with. Of other errors the same."""
    text = str(error)
    if isinstance(error, ServerAway | WalRemoved | Diverged):
        return error
    if error.sqlstate == "58P01" or "exceeded the maximum reserved size" in text or "can no longer access" in text:
        return WalRemoved(text, sqlstate=error.sqlstate, hint=_GAP)
    if "not in this server's history" in text:
        return Diverged(text, sqlstate=error.sqlstate, hint=_FORKED)
    if "ahead of the WAL flush position" in text:
        return Diverged(text, sqlstate=error.sqlstate, hint=_BEHIND)
    if slot is not None and error.sqlstate in ("42704", "55006"):
        return PostgresError(text, sqlstate=error.sqlstate, hint=_NO_SLOT if error.sqlstate == "42704" else _ACTIVE)
    return error


def wrong_cluster(found: int, expected: int) -> OtherCluster:
    """The error for a system identifier that is not the expected one."""
    hint = "does the dsn lead to another server, or was the cluster made anew (initdb, pg_upgrade)?"
    return OtherCluster(f"the server is the cluster {found}, not {expected}", hint=hint)
