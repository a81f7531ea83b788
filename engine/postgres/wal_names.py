"""Names of WAL files, and which bytes of the WAL a segment holds.

    segment    TTTTTTTTHHHHHHHHLLLLLLLL            H = number // per, L = number % per, per = 2^32 / segment size
    partial    <segment>.partial                   the last segment of a timeline that was left
    backup     <segment>.OOOOOOOO.backup           notes of a base backup that began at this offset of the segment
    history    TTTTTTTT.history                    how a timeline came about

T is the timeline; all digits are hexadecimal, capital, with zeros in front. A segment is known by timeline and number:
its first byte is at LSN number * segment size, whatever the timeline.

Rule: pure, and strict: what is not exactly such a name (`%f` may hold anything) is Malformed, never taken for another.
Nothing here knows what is inside a file.
"""

import enum
import re

from msgspec import Struct

from .errors import Malformed

MIN_SEGMENT = 1 << 20
MAX_SEGMENT = 1 << 30
LONG_HEADER = 40  # bytes at the start of a segment, before its first record

_NAME = re.compile(
    r"(?P<timeline>[0-9A-F]{8})"
    r"(?:\.(?P<history>history)"
    r"|(?P<high>[0-9A-F]{8})(?P<low>[0-9A-F]{8})(?:\.(?:(?P<partial>partial)|(?P<offset>[0-9A-F]{8})\.backup))?)"
)
_HINT = "PostgreSQL names its WAL files like 000000010000000A000000FE, 00000002.history"


class WalSegment(Struct, frozen=True, order=True):
    """A segment of a timeline. The order is that of the names."""

    timeline: int
    number: int

    def start(self, size: int) -> int:
        """The LSN of its first byte."""
        return self.number * size

    def end(self, size: int) -> int:
        """The LSN behind its last byte."""
        return (self.number + 1) * size

    def name(self, size: int) -> str:
        """Its name in pg_wal."""
        per = _per(size)
        return f"{self.timeline:08X}{self.number // per:08X}{self.number % per:08X}"

    def partial_name(self, size: int) -> str:
        """The name under which it is kept when its timeline was left in the middle of it."""
        return f"{self.name(size)}.partial"

    def next(self) -> "WalSegment":
        """The one behind it, on the same timeline."""
        return WalSegment(self.timeline, self.number + 1)

    def previous(self) -> "WalSegment | None":
        """The one before it, or None: segment 0 exists by name only, no server ever writes it."""
        return WalSegment(self.timeline, self.number - 1) if self.number > 0 else None


class WalKind(enum.Enum):
    """What a WAL file is by its name."""

    SEGMENT = "segment"
    PARTIAL = "partial"
    BACKUP = "backup"
    HISTORY = "history"


class WalFile(Struct, frozen=True):
    """A name taken apart. A history has no `segment`; `offset` is where a backup began in its segment."""

    kind: WalKind
    timeline: int
    segment: WalSegment | None = None
    offset: int = 0


def parse_wal_file(name: str, size: int) -> WalFile:
    """Take a name apart, for segments of that many bytes. Raises Malformed."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise Malformed(repr(name[:80]), "is no name of a WAL file", hint=_HINT)
    timeline = int(match["timeline"], 16)
    if timeline == 0:
        raise Malformed(name, "names timeline 0, which does not exist", hint=_HINT)
    if match["history"]:
        return WalFile(WalKind.HISTORY, timeline)
    high, low, per = int(match["high"], 16), int(match["low"], 16), _per(size)
    if low >= per:
        raise Malformed(name, f"is no segment of a cluster with {size >> 20} MiB a segment", hint=_OTHER_SIZE)
    segment = WalSegment(timeline, high * per + low)
    if match["offset"] is None:
        return WalFile(WalKind.PARTIAL if match["partial"] else WalKind.SEGMENT, timeline, segment)
    offset = int(match["offset"], 16)
    if offset >= size:
        raise Malformed(name, f"names an offset beyond {size >> 20} MiB", hint=_OTHER_SIZE)
    return WalFile(WalKind.BACKUP, timeline, segment, offset)


_OTHER_SIZE = "does it belong to another cluster? compare SHOW wal_segment_size there"


def parse_segment(name: str, size: int) -> WalSegment:
    """The segment of that exact name: no partial, no backup, no history. Raises Malformed."""
    file = parse_wal_file(name, size)
    if file.kind is not WalKind.SEGMENT or file.segment is None:
        raise Malformed(name, f"is the name of a {file.kind.value}, not of a segment", hint=_HINT)
    return file.segment


def segment_at(timeline: int, lsn: int, size: int) -> WalSegment:
    """The segment that holds the byte at this LSN. A position behind all that was written is in the next one."""
    return WalSegment(timeline, lsn // size)


def history_name(timeline: int) -> str:
    """The name of a timeline's history; timeline 1 has none."""
    return f"{timeline:08X}.history"


def backup_name(segment: WalSegment, offset: int, size: int) -> str:
    """The name of the notes of a base backup that began at this offset of a segment."""
    return f"{segment.name(size)}.{offset:08X}.backup"


def check_segment_size(size: int) -> int:
    """The size again. Raises Malformed unless it is a power of two from 1 MiB to 1 GiB."""
    if not MIN_SEGMENT <= size <= MAX_SEGMENT or size & (size - 1):
        what = f"{size} bytes is no size of WAL segments"
        raise Malformed("wal_segment_size", what, hint="it is a power of two from 1 MB to 1 GB")
    return size


def _per(size: int) -> int:
    """Segments in 4 GiB of WAL."""
    return (1 << 32) // check_segment_size(size)
