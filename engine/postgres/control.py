"""global/pg_control: the state of a cluster in one small file, read and checked.

Rule: nothing is believed whose CRC-32C is wrong or whose version is not known: the fields move between versions (1300:
PostgreSQL 13 to 16, 1700: 17, 1800: 18; src/include/catalog/pg_control.h). The layout is that of 64-bit machines and is
read in this machine's byte order, which is the server's where its data directory makes sense at all.
The file is never written here: a restore writes the bytes that were backed up.
"""

import os
import struct
from enum import IntEnum
from pathlib import Path

import google_crc32c
from msgspec import Struct

from ..errors import SourceError
from .errors import Malformed

PATH = b"global/pg_control"
PATH_HINT = "give the path as PostgreSQL does (%p), from inside the data directory; or its number with --system"
_SYSTEM = struct.Struct("=Q")
SIZE = 8192  # PG_CONTROL_FILE_SIZE: the rest behind the fields is zeros

# Where the CRC stands; it covers everything before it. 1800 has one field more, default_char_signedness.
_CRC_AT = {1300: 288, 1700: 288, 1800: 292}

_HEAD = struct.Struct("=QII")  # system identifier, control version, catalog version
_STATE = struct.Struct("=I4xqQ")  # state, time, checkpoint @16
_CHECKPOINT = struct.Struct("=QII?")  # redo, timeline, previous timeline, full_page_writes @40
_RECOVERY = struct.Struct("=QQI4xQQ?")  # unlogged LSN, minimum recovery point and its timeline, backup start, end @128
_WAL_LEVEL = struct.Struct("=i?3xiiiii?")  # wal_level, wal_log_hints, max_connections, ... @172
_SIZES = struct.Struct("=IIII")  # block size, blocks a relation segment, WAL block size, WAL segment size @216
_CHECKSUMS = struct.Struct("=I")  # @252
_CRC = struct.Struct("=I")


class State(IntEnum):
    """DBState: what the server last did."""

    STARTUP = 0
    SHUT_DOWN = 1
    SHUT_DOWN_IN_RECOVERY = 2
    SHUTTING_DOWN = 3
    IN_CRASH_RECOVERY = 4
    IN_ARCHIVE_RECOVERY = 5
    IN_PRODUCTION = 6


class WalLevel(IntEnum):
    """wal_level as it is stored."""

    MINIMAL = 0
    REPLICA = 1
    LOGICAL = 2


class Control(Struct, frozen=True, kw_only=True):
    """LSNs are ints, `time` is in seconds, sizes are in bytes, `relation_segment_blocks` in blocks.

    `minimum_recovery_point` is 0 but on a standby. `data_checksums` is the version of page checksums, 0 for none.
    """

    system_identifier: int
    control_version: int
    catalog_version: int
    state: State
    time: int
    checkpoint: int
    redo: int
    timeline: int
    previous_timeline: int
    full_page_writes: bool
    minimum_recovery_point: int
    minimum_recovery_timeline: int
    backup_start: int
    backup_end: int
    backup_end_required: bool
    wal_level: WalLevel
    wal_log_hints: bool
    max_connections: int
    max_worker_processes: int
    max_wal_senders: int
    max_prepared_transactions: int
    max_locks_per_transaction: int
    block_size: int
    relation_segment_blocks: int
    wal_block_size: int
    wal_segment_size: int
    data_checksums: int


def parse_control(data: bytes) -> Control:
    """The fields of the file's bytes. Raises Malformed: truncated, damaged, or of a version that is not known."""
    name = PATH.decode()
    if len(data) < SIZE:
        raise Malformed(name, f"it has {len(data)} bytes of {SIZE}")
    system, version, catalog = _HEAD.unpack_from(data, 0)
    if version not in _CRC_AT:
        known = ", ".join(map(str, _CRC_AT))
        hint = f"known are {known}, of PostgreSQL 13 to 18 with this machine's byte order"
        raise Malformed(name, f"version {version} is not known", hint=hint)
    end = _CRC_AT[version]
    if google_crc32c.value(data[:end]) != _CRC.unpack_from(data, end)[0]:
        raise Malformed(name, "its checksum is wrong", hint="it was damaged, or read while it was written")
    state, time, checkpoint = _STATE.unpack_from(data, 16)
    redo, timeline, previous, full_page_writes = _CHECKPOINT.unpack_from(data, 40)
    _, minimum, minimum_timeline, start, stop, stop_required = _RECOVERY.unpack_from(data, 128)
    wal_level, hints, connections, workers, senders, prepared, locks, _ = _WAL_LEVEL.unpack_from(data, 172)
    block, segment_blocks, wal_block, wal_segment = _SIZES.unpack_from(data, 216)
    try:
        return Control(
            system_identifier=system,
            control_version=version,
            catalog_version=catalog,
            state=State(state),
            time=time,
            checkpoint=checkpoint,
            redo=redo,
            timeline=timeline,
            previous_timeline=previous,
            full_page_writes=full_page_writes,
            minimum_recovery_point=minimum,
            minimum_recovery_timeline=minimum_timeline,
            backup_start=start,
            backup_end=stop,
            backup_end_required=stop_required,
            wal_level=WalLevel(wal_level),
            wal_log_hints=hints,
            max_connections=connections,
            max_worker_processes=workers,
            max_wal_senders=senders,
            max_prepared_transactions=prepared,
            max_locks_per_transaction=locks,
            block_size=block,
            relation_segment_blocks=segment_blocks,
            wal_block_size=wal_block,
            wal_segment_size=wal_segment,
            data_checksums=_CHECKSUMS.unpack_from(data, 252)[0],
        )
    except ValueError as error:  # the CRC was right: another server's idea of the same version
        raise Malformed(name, str(error)) from None


def cluster_of(data: Path) -> int:
    """The system identifier of a data directory. Raises SourceError.

    These are the first bytes of pg_control and never change, so they may be read while a server writes the file.
    """
    control = data / os.fsdecode(PATH)
    try:
        with control.open("rb") as file:
            return int(_SYSTEM.unpack(file.read(_SYSTEM.size))[0])
    except (OSError, struct.error) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or "the file is cut off"
        raise SourceError(f"{control}: cannot tell which cluster this is: {why}", hint=PATH_HINT) from None
