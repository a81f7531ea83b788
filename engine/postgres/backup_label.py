"""backup_label and tablespace_map: the two small files that say how a base backup is to be recovered.

Rule: what is written is what a server of 13 to 18 reads (xlogbackup.c, xlogrecovery.c), and what a server wrote is kept
byte for byte when it is parsed and written again. A restored cluster without its backup_label starts, and is corrupt:
so nothing here ever makes one optional.
"""

import re
from collections.abc import Mapping

from msgspec import Struct

from .errors import Malformed
from .lsn import format_lsn, parse_lsn

LABEL_PATH = b"backup_label"
MAP_PATH = b"tablespace_map"

_INCREMENTAL = b"INCREMENTAL FROM "  # LSN and TLI: a server refuses to start where they stand
_START = re.compile(r"([0-9A-F]+/[0-9A-F]+) \(file ([0-9A-F]{24})\)")
_LINE_ENDS = frozenset(b"\n\r")
# Before 14 a backslash stands for itself in tablespace_map unless a line break follows, to its writer and its reader.
_BACKSLASH_SINCE = 140000


class BackupLabel(Struct, frozen=True, kw_only=True):
    """`method` is `streamed` from 13 on. `taken_from` is `primary` (in 13 `master`) or `standby`.

    `start_time` is the server's text.
    `incremental_lsn` and `incremental_timeline` are those of the backup that an incremental one builds on.
    """

    start_lsn: int
    start_file: str
    checkpoint_lsn: int
    method: str
    taken_from: str
    start_time: str
    label: str
    timeline: int
    incremental_lsn: int | None = None
    incremental_timeline: int | None = None


def parse_backup_label(data: bytes) -> BackupLabel:
    """Raises Malformed."""
    name = LABEL_PATH.decode()
    fields: dict[str, str] = {}
    for line in data.decode("utf-8", "surrogateescape").split("\n")[:-1]:
        key, colon, value = line.partition(": ")
        if not colon or key in fields:
            raise Malformed(name, f"a line {line[:80]!r}")
        fields[key] = value
    try:
        start = _START.fullmatch(fields["START WAL LOCATION"])
        if start is None:
            raise ValueError(fields["START WAL LOCATION"])
        lsn, timeline = fields.get("INCREMENTAL FROM LSN"), fields.get("INCREMENTAL FROM TLI")
        return BackupLabel(
            start_lsn=parse_lsn(start[1]),
            start_file=start[2],
            checkpoint_lsn=parse_lsn(fields["CHECKPOINT LOCATION"]),
            method=fields["BACKUP METHOD"],
            taken_from=fields["BACKUP FROM"],
            start_time=fields["START TIME"],
            label=fields["LABEL"],
            timeline=int(fields["START TIMELINE"]),
            incremental_lsn=None if lsn is None else parse_lsn(lsn),
            incremental_timeline=None if timeline is None else int(timeline),
        )
    except KeyError as error:
        raise Malformed(name, f"it has no line {error.args[0]}") from None
    except ValueError as error:
        raise Malformed(name, f"a value that is none: {error}") from None


def format_backup_label(label: BackupLabel) -> bytes:
    """The bytes of the file."""
    lines = {
        "START WAL LOCATION": f"{format_lsn(label.start_lsn)} (file {label.start_file})",
        "CHECKPOINT LOCATION": format_lsn(label.checkpoint_lsn),
        "BACKUP METHOD": label.method,
        "BACKUP FROM": label.taken_from,
        "START TIME": label.start_time,
        "LABEL": label.label,
        "START TIMELINE": str(label.timeline),
    }
    if label.incremental_lsn is not None:
        lines["INCREMENTAL FROM LSN"] = format_lsn(label.incremental_lsn)
        lines["INCREMENTAL FROM TLI"] = str(label.incremental_timeline)
    return "".join(f"{key}: {value}\n" for key, value in lines.items()).encode("utf-8", "surrogateescape")


def parse_tablespace_map(data: bytes, *, version_num: int) -> dict[int, bytes]:
    """The place of each tablespace by its oid, in the file's order, as a server of that version sees it.

    Raises Malformed.
    """
    spaces: dict[int, bytes] = {}
    at = 0
    while at < len(data):
        line, at = _line(data, at, _escaped(version_num))
        oid, space, place = line.partition(b" ")
        if not (space and place and oid.isdigit()) or int(oid) in spaces:
            raise Malformed(MAP_PATH.decode(), f"a line {line[:80]!r}")
        spaces[int(oid)] = place
    return spaces


def format_tablespace_map(spaces: Mapping[int, bytes], *, version_num: int) -> bytes:
    """The bytes of the file for a server of that version: with a backslash before what would be misread."""
    special = _escaped(version_num)
    lines = []
    for oid, place in spaces.items():
        escaped = b"".join(b"\\" + bytes([byte]) if byte in special else bytes([byte]) for byte in place)
        lines.append(b"%d %s\n" % (oid, escaped))
    return b"".join(lines)


def _escaped(version_num: int) -> frozenset[int]:
    return _LINE_ENDS if version_num < _BACKSLASH_SINCE else _LINE_ENDS | {ord("\\")}


def _line(data: bytes, at: int, escaped: frozenset[int]) -> tuple[bytes, int]:
    """The line that begins there, without its escapes, and where the next begins."""
    line = bytearray()
    while at < len(data):
        byte = data[at]
        at += 1
        if byte == ord("\n"):
            return bytes(line), at
        if byte == ord("\\") and at < len(data) and data[at] in escaped:
            byte = data[at]
            at += 1
        line.append(byte)
    raise Malformed(MAP_PATH.decode(), "it breaks off in a line")


def whole_label(content: bytes) -> bytes:
    """The backup_label of an incremental backup as one of a whole, as pg_combinebackup writes it."""
    return b"".join(line for line in content.splitlines(keepends=True) if not line.startswith(_INCREMENTAL))
