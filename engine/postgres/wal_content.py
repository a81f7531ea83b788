"""What is between the page headers of a segment: records, one behind the other, each at a multiple of 8 bytes.

Without the headers (40 bytes on the first page, 24 on the others; both multiples of 8) a record is in one piece, and an
index of 8-byte words stands for an LSN. A record begins at the LSN of its first byte, which is never one of a header;
it ends behind its last byte, which may be where a page ends.

Rule: a copy is made, and nothing is judged; wal_segment.check_segment comes first. Behind the used part come zeros up
to the end of that page, so that the trailing zeros of a last record are there.
"""

from typing import Final

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from .wal_names import LONG_HEADER
from .wal_pages import CONTINUED, OVERWRITTEN, SHORT_HEADER, WAL_PAGE, Headers, Words, headers
from .wal_segment import SegmentFacts

WORD: Final = 8
_PAGE = WAL_PAGE // WORD
_SHORT, _LONG = SHORT_HEADER // WORD, LONG_HEADER // WORD
_FIRST, _OTHER = _PAGE - _LONG, _PAGE - _SHORT  # words of content on the first page, and on each other one

Indices = npt.NDArray[np.int64]


class Content(Struct, frozen=True):
    """`words` of a segment that starts at LSN `start`. The first `rest` bytes belong to a record that began before.

    `restarts`: indices at which the record before is cut off for good and a new one begins (OVERWRITTEN pages).
    """

    start: int
    words: Words
    rest: int
    restarts: tuple[int, ...]

    def lsns(self, indices: Indices) -> Words:
        """Where the words at these indices are in the WAL."""
        behind = indices - _FIRST
        offsets = np.where(
            behind < 0,
            indices * WORD + LONG_HEADER,
            (behind // _OTHER + 1) * WAL_PAGE + behind % _OTHER * WORD + SHORT_HEADER,
        )
        return offsets.astype(np.uint64) + np.uint64(self.start)

    def lsn(self, index: int) -> int:
        """Where one word is in the WAL."""
        return int(self.lsns(np.array([index]))[0])

    def end_lsn(self, index: int) -> int:
        """The LSN behind everything before this index, which may be where a page ends."""
        return self.lsn(index - 1) + WORD if index else self.start + LONG_HEADER

    def bytes(self, first: int, length: int) -> bytes:
        """Bytes from the word at index `first` on, as far as there are any."""
        return self.words[first : first + (length + WORD - 1) // WORD].tobytes()[:length]


def content_of(data: bytes | memoryview, facts: SegmentFacts) -> Content:
    """The content of a segment's used part. `data` may hold the whole segment or end behind that part."""
    pages = -(-facts.used // WAL_PAGE)
    if len(data) < pages * WAL_PAGE:
        data = bytes(data).ljust(pages * WAL_PAGE, b"\0")
    table = np.frombuffer(data, "<u8", pages * _PAGE).reshape(pages, _PAGE)
    words = np.empty(_FIRST + (pages - 1) * _OTHER, np.uint64)
    words[:_FIRST] = table[0, _LONG:]
    words[_FIRST:].reshape(pages - 1, _OTHER)[:] = table[1:, _SHORT:]
    return Content(facts.start, words, *_cuts(headers(data)[:pages]))


def _cuts(pages: Headers) -> tuple[int, tuple[int, ...]]:
    rest = int(pages["rest"][0]) if pages["info"][0] & CONTINUED else 0
    overwritten = np.flatnonzero(pages["info"][1:] & OVERWRITTEN)
    return rest, tuple(_FIRST + int(page) * _OTHER for page in overwritten)
