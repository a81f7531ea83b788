"""Physical replication slots: what makes a server keep the WAL that was not received yet.

Rule: a slot is made before the first base backup, and reserves WAL at once: the WAL between a backup and a slot that
came later may be gone. A slot whose WAL is `lost` is named as such. Dropping one is for people who say so: a slot that
nobody reads fills the server's disk, and one that is dropped leaves a gap.
"""

import re

from msgspec import Struct

from ..errors import ConfigError
from .connection import Connection
from .errors import PostgresError
from .lsn import parse_lsn

_NAME = re.compile(r"[a-z0-9_]{1,63}")
_NEW_SYNTAX = 150000


class Slot(Struct, frozen=True):
    """`restart_lsn` is the oldest WAL that is kept for it, None where none is reserved or it is lost; it may be in the
    middle of a segment. `wal_status` is reserved, extended, unreserved or lost (max_slot_wal_keep_size).
    """

    name: str
    restart_lsn: int | None
    active: bool
    wal_status: str | None

    @property
    def lost(self) -> bool:
        """Whether the server has thrown away WAL that this slot was to keep."""
        return self.wal_status == "lost"


def check_slot_name(name: str) -> str:
    """The name again. Raises ConfigError: a server takes a-z, 0-9 and _, up to 63 of them."""
    if _NAME.fullmatch(name) is None:
        raise ConfigError(f"{name[:80]!r} is no name of a slot", key="slot", hint="use a-z, 0-9 and _, at most 63")
    return name


def read_slot(connection: Connection, name: str) -> Slot | None:
    """The slot, or None where there is none. Raises PostgresError, also for a logical slot of that name."""
    rows = connection.query(
        "SELECT slot_type, restart_lsn, active, wal_status FROM pg_catalog.pg_replication_slots"
        f" WHERE slot_name = '{check_slot_name(name)}'"
    )
    if not rows:
        return None
    ((kind, restart_lsn, active, wal_status),) = rows
    if kind != "physical":
        raise PostgresError(f"the replication slot {name} is {kind}, not physical", hint="choose another name")
    return Slot(name, None if restart_lsn is None else parse_lsn(restart_lsn), active == "t", wal_status)


def ensure_slot(connection: Connection, name: str) -> tuple[Slot, bool]:
    """The slot, made where there was none, and whether it was made now. Raises PostgresError."""
    slot = read_slot(connection, name)
    if slot is not None:
        return slot, False
    reserving = "(RESERVE_WAL true)" if connection.version_num >= _NEW_SYNTAX else "RESERVE_WAL"
    connection.query(f"CREATE_REPLICATION_SLOT {name} PHYSICAL {reserving}")
    slot = read_slot(connection, name)
    if slot is None:
        raise PostgresError(f"the replication slot {name} vanished as soon as it was made")
    return slot, True


def drop_slot(connection: Connection, name: str) -> None:
    """Remove the slot; the WAL it kept goes with the server's next checkpoint. Raises PostgresError."""
    connection.query(f"DROP_REPLICATION_SLOT {check_slot_name(name)}")
