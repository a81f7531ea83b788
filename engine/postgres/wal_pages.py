"""The pages of WAL: headers of 24 bytes, 40 at the start of a segment, in the byte order of the server (little here).

    every page      u16 magic | u16 info | u32 timeline | u64 address | u32 rest of a record that goes on here | pad 4
    a segment's 1st the same with LONG, and then u64 system identifier | u32 segment size | u32 page size

The magic changes with each major version; the address is the LSN of the page's first byte. A file that was recycled
still holds the pages of an older segment, with their addresses; pages that no WAL was put in yet are zero.

Rule: numpy looks at all headers at once. This module says what stands there; wal_segment.py judges it.
"""

import struct
from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from .errors import Malformed
from .wal_names import LONG_HEADER

WAL_PAGE: Final = 8192  # a server can be built with another, and then says so in its first header: refused
SHORT_HEADER: Final = 24

CONTINUED = 1  # the page begins with the rest of a record
LONG = 2
OVERWRITTEN = 8  # the record that should go on here was never finished: a crash cut it off, and it counts as nothing
KNOWN_FLAGS = 15

# src/include/access/xlog_internal.h of each release; 19 is that of its beta 3
MAGICS = {0xD106: 13, 0xD10D: 14, 0xD110: 15, 0xD113: 16, 0xD116: 17, 0xD118: 18, 0xD121: 19}
MAGIC_OF = {version: magic for magic, version in MAGICS.items()}

HEADER = np.dtype(
    {
        "names": ["magic", "info", "timeline", "address", "rest"],
        "formats": ["<u2", "<u2", "<u4", "<u8", "<u4"],
        "offsets": [0, 2, 4, 8, 16],
        "itemsize": WAL_PAGE,
    }
)
_LONG = struct.Struct("<HHIQ8xQII")

Headers = npt.NDArray[np.void]
Words = npt.NDArray[np.uint64]


class LongHeader(Struct, frozen=True):
    """What the first page of a segment says."""

    magic: int
    info: int
    timeline: int
    address: int
    system_identifier: int
    segment_size: int
    page_size: int


def long_header(name: str, data: bytes | memoryview) -> LongHeader:
    """The header of a segment's first page, unjudged but for its length. Raises Malformed, naming the file."""
    if len(data) < LONG_HEADER:
        raise Malformed(
            name, f"holds {len(data)} bytes, too few for a WAL segment", hint="it was cut off, or is no WAL"
        )
    return LongHeader(*_LONG.unpack_from(data))


def headers(data: bytes | memoryview) -> Headers:
    """The headers of all whole pages, as a view: fields magic, info, timeline, address, rest."""
    return np.frombuffer(data, HEADER, len(data) // WAL_PAGE)


def words(data: bytes | memoryview) -> Words:
    """All as little-endian words of 8 bytes, as a view; bytes behind the last whole word are left out."""
    return np.frombuffer(data, "<u8", len(data) // 8)


def used_length(data: bytes | memoryview) -> int:
    """Bytes up to the last word of 8 that is not zero: what follows is zero."""
    if any(data[len(data) & ~7 :]):
        return len(data)
    all_words = words(data)
    end = len(all_words)
    while end > 0:
        start = max(0, end - _STEP)
        found = np.flatnonzero(all_words[start:end])
        if len(found):
            return (start + int(found[-1]) + 1) * 8
        end = start
    return 0


_STEP = (
    1 << 13
)  # words: 64 KiB are looked at together, so that a full segment costs one look and an empty one few calls
