"""Is this the WAL segment it is said to be, and how much of it is WAL?

Rule: a segment is accepted when its first page names the right cluster, size and place, every page up to the end of the
WAL has its own address, and the rest is zero. Anything else is Malformed, which names the file, the page and what is
wrong with it. Headers alone are looked at: that zeros are behind a switch, and no lost bytes, wal_records.read_records
proves; a flipped bit inside a record is for wal_records.check_records to find.

The end of the WAL: a segment that a server completes is full, or zero behind a switch of segments. One that is still
written, or that its timeline left (`.partial`), ends anywhere; behind that are zeros, or old pages where the file was
recycled. Those old pages are dropped, never kept: WAL of another place is worth nothing there.
"""

import enum

import numpy as np
from msgspec import Struct

from .errors import Malformed
from .lsn import format_lsn
from .wal_names import WalSegment
from .wal_pages import (
    KNOWN_FLAGS,
    LONG,
    MAGIC_OF,
    MAGICS,
    SHORT_HEADER,
    WAL_PAGE,
    Headers,
    LongHeader,
    headers,
    long_header,
    used_length,
)


class Tail(enum.Enum):
    """What is behind the used part of a segment."""

    NONE = "full"
    ZERO = "zero"
    STALE = "stale"  # old pages of a recycled file, or bytes that nobody finished writing


class SegmentFacts(Struct, frozen=True, kw_only=True):
    """What a segment is. `used` bytes are WAL; zeros in the place of the rest make the same segment.

    `version` is the server's major version. Pages carry the timeline on which they were written: in the first segment
    of a timeline the old one up to the switch, so `first_timeline` may be lower than the segment's own.
    """

    segment: WalSegment
    size: int
    version: int
    system_identifier: int
    first_timeline: int
    last_timeline: int
    used: int
    tail: Tail

    @property
    def start(self) -> int:
        """The LSN of its first byte."""
        return self.segment.start(self.size)


def check_segment(
    name: str,
    data: bytes | memoryview,
    segment: WalSegment,
    size: int,
    *,
    system_identifier: int | None = None,
    version: int | None = None,
    complete: bool = True,
) -> SegmentFacts:
    """Check the bytes of a segment of a cluster with `size` bytes a segment. `name` is for the errors.

    What is None is not compared. With `complete` a segment must be as a server leaves it behind; without it may be
    shorter and end anywhere: an open one, a `.partial`. Raises Malformed.
    """
    head = _first_page(name, data, segment, size)
    if system_identifier is not None and head.system_identifier != system_identifier:
        what = f"is WAL of the cluster {head.system_identifier}, not of {system_identifier}"
        raise Malformed(name, what, hint="another cluster writes into the place of this one: give each its deployment")
    if version is not None and MAGICS[head.magic] != version:
        raise Malformed(name, f"was written by PostgreSQL {MAGICS[head.magic]}, not {version}", hint=_OTHER)
    if len(data) != size and (complete or len(data) > size):
        raise Malformed(name, f"has {len(data)} bytes, and a segment has {size}", hint=_CUT)
    pages = headers(data)
    good = _good_pages(pages, head)
    used = _used(data, good, head)
    tail = Tail.NONE if good * WAL_PAGE == size else Tail.ZERO if used_length(data) <= used else Tail.STALE
    if complete and tail is Tail.STALE:
        raise Malformed(name, _fault(pages, good, head), hint=_CUT)
    timelines = _timelines(name, pages[:good], segment)
    return SegmentFacts(
        segment=segment,
        size=size,
        version=MAGICS[head.magic],
        system_identifier=head.system_identifier,
        first_timeline=timelines[0],
        last_timeline=timelines[1],
        used=used,
        tail=tail,
    )


def identify_segment(name: str, data: bytes | memoryview) -> tuple[LongHeader, int]:
    """The first page's header and the major version, where the cluster is not known yet. Raises Malformed."""
    head = long_header(name, data)
    if head.magic not in MAGICS:
        swapped = head.magic >> 8 | (head.magic & 0xFF) << 8
        what = (
            "page 0 is big-endian WAL" if swapped in MAGICS else f"page 0 has the magic {head.magic:04X}: no known WAL"
        )
        raise Malformed(name, what, hint=f"known are PostgreSQL {min(MAGIC_OF)} to {max(MAGIC_OF)}, little-endian")
    if not head.info & LONG or head.info & ~KNOWN_FLAGS:
        raise Malformed(name, f"page 0 has the flags {head.info:04X}, not those of a segment's first page", hint=_CUT)
    if head.page_size != WAL_PAGE:
        what = f"was written by a server with WAL pages of {head.page_size} bytes"
        raise Malformed(name, what, hint=f"only servers built with {WAL_PAGE}, the default, are supported")
    return head, MAGICS[head.magic]


_OTHER = "does it belong to another cluster, or to one that was upgraded?"
_CUT = "it is damaged, was cut off, or is not complete yet: take it from the server or a standby again"


def _first_page(name: str, data: bytes | memoryview, segment: WalSegment, size: int) -> LongHeader:
    head, _ = identify_segment(name, data)
    if head.segment_size != size:
        raise Malformed(name, f"is a segment of {head.segment_size} bytes, not of {size}", hint=_OTHER)
    if head.address != segment.start(size):
        what = f"page 0 holds the WAL at {format_lsn(head.address)}, not at {format_lsn(segment.start(size))}"
        raise Malformed(name, what, hint="the file was recycled or renamed, and nothing of its own is in it yet")
    return head


def _own(pages: Headers, head: LongHeader) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """For each page whether it is what it should be at its place."""
    places = np.arange(len(pages), dtype=np.uint64) * np.uint64(WAL_PAGE) + np.uint64(head.address)
    own: np.ndarray[tuple[int], np.dtype[np.bool_]] = (pages["magic"] == head.magic) & (pages["address"] == places)
    own[1:] &= pages["info"][1:] <= KNOWN_FLAGS
    own[1:] &= pages["info"][1:] & LONG == 0
    return own


def _good_pages(pages: Headers, head: LongHeader) -> int:
    """How many pages from the start are WAL of this segment."""
    own = _own(pages, head)
    return len(own) if own.all() else int(own.argmin())


def _used(data: bytes | memoryview, good: int, head: LongHeader) -> int:
    """Where the WAL ends; of an open segment in the middle of a page, if that one's header has come."""
    end = good * WAL_PAGE
    if end <= len(data) - SHORT_HEADER and len(data) - end < WAL_PAGE:
        page = np.frombuffer(bytes(data[end:]).ljust(WAL_PAGE, b"\0"), headers(b"").dtype)
        if good == 0 or (page["magic"][0] == head.magic and page["address"][0] == head.address + end):
            end = len(data)
    return used_length(data[:end])


def _fault(pages: Headers, good: int, head: LongHeader) -> str:
    """What is wrong with the first page that is not WAL of this segment."""
    page = pages[good]
    magic, address, own = int(page["magic"]), int(page["address"]), head.address + good * WAL_PAGE
    later = int(np.count_nonzero(_own(pages, head)[good:]))
    if magic == 0 and address == 0:
        return f"page {good} (at {format_lsn(own)}) is empty, and bytes follow, {later} pages of WAL among them"
    if magic in MAGICS and address != own:
        return (
            f"page {good} holds the WAL at {format_lsn(address)}, not at {format_lsn(own)}; {later} right ones follow"
        )
    return f"page {good} (at {format_lsn(own)}) has a damaged header: magic {magic:04X}, flags {int(page['info']):04X}"


def _timelines(name: str, pages: Headers, segment: WalSegment) -> tuple[int, int]:
    """The timelines of the first and the last page, which never go back nor beyond the segment's own."""
    timelines = pages["timeline"]
    if not len(timelines):
        return segment.timeline, segment.timeline
    back = np.flatnonzero(timelines[1:] < timelines[:-1])
    if len(back):
        page = int(back[0]) + 1
        raise Malformed(
            name, f"page {page} goes back from timeline {timelines[page - 1]} to {timelines[page]}", hint=_CUT
        )
    last = int(timelines[-1])
    if not 0 < last <= segment.timeline:
        page = int(np.flatnonzero(timelines == last)[0])
        raise Malformed(name, f"page {page} is of timeline {last}, its name says {segment.timeline}", hint=_RENAMED)
    return int(timelines[0]), last


_RENAMED = "a segment of one timeline must not be renamed to another's"
