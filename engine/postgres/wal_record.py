"""One record of the WAL: its head, and what those few kinds say that a restore asks for.

    u32 length | u32 xid | u64 LSN of the record before | u8 info | u8 resource manager | pad 2 | u32 crc32c
    then block references, an origin (253, u16), a top-level xid (252, u32), and the main data (255, u8 length or
    254, u32 length), which is last

Rule: transactions' ends and marks are understood, everything else is None. A record's `lsn` is where it begins: that is
what recovery compares with recovery_target_lsn, so that `inclusive` stops just behind it. Times are microseconds since
1970 UTC. What is parsed was not checked: wal_records.check_records compares the CRC.
"""

import enum
import struct
from typing import Final

from msgspec import Struct

HEAD: Final = 24
XLOG, XACT = 0, 1  # resource managers

SINCE_2000: Final = 946_684_800_000_000  # PostgreSQL counts microseconds from 2000-01-01 UTC


class Outcome(enum.IntEnum):
    """How a transaction ended: the operation of its record, in bits 4 to 6 of info."""

    COMMIT = 0
    ABORT = 2
    COMMIT_PREPARED = 3
    ABORT_PREPARED = 4


OUTCOMES: Final = tuple(Outcome)


class Transaction(Struct, frozen=True):
    """The end of a transaction. `xid` of a prepared one is its own, not that of who committed it."""

    lsn: int
    time: int
    xid: int
    outcome: Outcome


class RestorePoint(Struct, frozen=True):
    """pg_create_restore_point(name), the target of recovery_target_name. Names need not be unique."""

    lsn: int
    time: int
    name: str


class Checkpoint(Struct, frozen=True):
    """A checkpoint. Replay from it begins at `redo`. After a promotion its timeline differs from the previous one."""

    lsn: int
    redo: int
    timeline: int
    previous_timeline: int
    shutdown: bool


class EndOfRecovery(Struct, frozen=True):
    """A promotion without a checkpoint: the WAL goes on as `timeline`."""

    lsn: int
    time: int
    timeline: int
    previous_timeline: int


class BackupEnd(Struct, frozen=True):
    """The end of the base backup that started at `start`: from here on its copy is consistent."""

    lsn: int
    start: int


class Switch(Struct, frozen=True):
    """The segment ends here."""

    lsn: int


Mark = RestorePoint | Checkpoint | EndOfRecovery | BackupEnd | Switch

# Operations of the resource manager XLOG (src/include/catalog/pg_control.h, the same from 13 to 18)
SHUTDOWN_CHECKPOINT, ONLINE_CHECKPOINT, SWITCH, BACKUP_END, RESTORE_POINT, END_OF_RECOVERY = 0, 1, 4, 5, 7, 9
MARKS = (SHUTDOWN_CHECKPOINT, ONLINE_CHECKPOINT, SWITCH, BACKUP_END, RESTORE_POINT, END_OF_RECOVERY)

_HEAD = struct.Struct("<IIQBB2xI")
_TIME = struct.Struct("<q")
_CHECKPOINT = struct.Struct("<QII")
_END_OF_RECOVERY = struct.Struct("<qII")
_RESTORE_POINT = struct.Struct("<q64s")

# src/include/access/xact.h: what follows the time of a commit or an abort, in this order where the bit is set
_HAS_INFO = 0x80
_DATABASE, _SUBTRANSACTIONS, _FILES, _STATISTICS, _INVALIDATIONS, _TWO_PHASE = 1, 2, 4, 256, 8, 16


def parse_record(lsn: int, record: bytes, version: int) -> Transaction | Mark | None:
    """A record of a server of that major version, or None for other kinds. The end of its data may be missing.

    Raises ValueError where what is needed of it is missing, or is not what that kind holds.
    """
    try:
        _, xid, _, info, manager, _ = _HEAD.unpack_from(record)
        if manager == XACT and (info >> 4) & 7 in OUTCOMES:
            data = _main_data(record)
            outcome = Outcome((info >> 4) & 7)
            if outcome in (Outcome.COMMIT_PREPARED, Outcome.ABORT_PREPARED) and info & _HAS_INFO:
                xid = _prepared_xid(data, version) or xid
            return Transaction(lsn, _TIME.unpack_from(data)[0] + SINCE_2000, xid, outcome)
        if manager == XLOG and info >> 4 in MARKS:
            return _mark(lsn, info >> 4, record)
    except (struct.error, IndexError):
        raise ValueError(f"a record of {len(record)} bytes is too short for its kind") from None
    return None


def _mark(lsn: int, operation: int, record: bytes) -> Mark:
    if operation == SWITCH:
        return Switch(lsn)
    data = _main_data(record)
    if operation == BACKUP_END:
        return BackupEnd(lsn, int.from_bytes(data[:8], "little"))
    if operation == RESTORE_POINT:
        time, name = _RESTORE_POINT.unpack_from(data)
        return RestorePoint(lsn, time + SINCE_2000, name.split(b"\0")[0].decode("utf-8", "surrogateescape"))
    if operation == END_OF_RECOVERY:
        time, timeline, previous = _END_OF_RECOVERY.unpack_from(data)
        return EndOfRecovery(lsn, time + SINCE_2000, timeline, previous)
    redo, timeline, previous = _CHECKPOINT.unpack_from(data)
    return Checkpoint(lsn, redo, timeline, previous, shutdown=operation == SHUTDOWN_CHECKPOINT)


def _main_data(record: bytes) -> bytes:
    """The main data of a record without block references, as these kinds are."""
    at = HEAD
    while record[at] in _BESIDE:
        at += _BESIDE[record[at]]
    if record[at] not in _MAIN:
        raise ValueError(f"a record has a part {record[at]} that its kind does not hold")
    return record[at + _MAIN[record[at]] :]


_BESIDE = {253: 3, 252: 5}  # origin, top-level xid: bytes with the mark
_MAIN = {255: 2, 254: 5}  # short and long: bytes before the data


def _prepared_xid(data: bytes, version: int) -> int:
    """The xid of a prepared transaction that was committed or aborted; 0 where the record holds none."""
    (bits,), at = struct.unpack_from("<I", data, 8), 12
    if bits & _DATABASE:
        at += 8
    statistics = 16 if version >= 18 else 12
    for bit, each in ((_SUBTRANSACTIONS, 4), (_FILES, 12), (_STATISTICS, statistics), (_INVALIDATIONS, 16)):
        if bits & bit:
            (count,) = struct.unpack_from("<i", data, at)
            at += 4 + count * each
    return int(struct.unpack_from("<I", data, at)[0]) if bits & _TWO_PHASE else 0
