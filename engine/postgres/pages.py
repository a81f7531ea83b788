"""Pages of relation files: are they sound, how new are they, which of them changed.

A relation file is pages of 8 KiB, in segments of 1 GiB (`16384`, `16384.1`, ...); a page's checksum covers the number
of its block, which counts through the segments. The first 8 bytes of a page are the LSN of its last logged change.

Rule: everything here takes whole pages, many at a time (best 1 to 4 MiB), and gives arrays of one value a page or of
page numbers counted from the buffer's start. A page that is wrong is reported, never mended. A server may be writing
while its files are read: a page whose LSN is not below the backup's start is replayed whole from the WAL, so nothing
that is wrong with it counts. One that is wrong and older is to be read once more before it is called damaged.

The work is done by `_pages.c` without the interpreter lock where that was built (16 GB/s checksums, 7 GB/s digests on
one core of an EPYC with AVX-512), else by its twin in numpy, `pages_plain` (1.9 and 2.0).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from .grid import PAGE
from .page_digest import digest_key, page_digests
from .pages_plain import Bytes, Digests, Sums

try:
    from ._pages import checksums as _checksums

    COMPILED = True
except ImportError:
    from .pages_plain import checksums as _checksums

    COMPILED = False

__all__ = [
    "COMPILED",
    "PAGE",
    "SEGMENT_BLOCKS",
    "Digester",
    "Judgement",
    "changed_pages",
    "checksums",
    "judge",
    "page_lsns",
]

SEGMENT_BLOCKS: Final = 131072  # blocks in one file of a relation: block = segment number * this + page of the file

Lsns = npt.NDArray[np.uint64]
PageNumbers = npt.NDArray[np.intp]

_HEADER = np.dtype(
    {
        "names": ["lsn_high", "lsn_low", "checksum", "flags", "lower", "upper", "special", "size_version"],
        "formats": ["<u4", "<u4", "<u2", "<u2", "<u2", "<u2", "<u2", "<u2"],
        "offsets": [0, 4, 8, 10, 12, 14, 16, 18],
        "itemsize": 24,
    }
)
_KNOWN_FLAGS = 7


@dataclass(frozen=True, slots=True)
class Judgement:
    """Numbers of pages. `bad`: wrong, and older than the start of the backup. `renewed`: wrong, but replayed from the
    WAL. `new`: all zero, as a server leaves pages that it added and did not use yet. All others are sound.
    """

    bad: PageNumbers
    renewed: PageNumbers
    new: PageNumbers


def judge(pages: Bytes, first_block: int, start_lsn: int, *, checksummed: bool = True) -> Judgement:
    """Judge pages of a relation file, the first of which is block `first_block` of the relation.

    `start_lsn` is where the backup began; a cluster that does not run is judged with 1 << 64 - 1. Without checksums in
    the cluster, and beside them, the header must make sense, as a server demands of it (PageIsVerified).
    """
    heads = _headers(pages)
    unused = heads["upper"] == 0
    wrong = ~unused & ~_sensible(heads)
    if checksummed:
        wrong |= ~unused & (checksums(pages, first_block) != heads["checksum"])
    new = np.flatnonzero(unused)
    if len(new):
        empty = ~np.frombuffer(pages, np.uint8).reshape(-1, PAGE)[new].any(axis=1)
        wrong[new[~empty]] = True
        new = new[empty]
    (numbers,) = np.nonzero(wrong)
    if not len(numbers):
        return Judgement(numbers, numbers, new)
    old = page_lsns(pages)[numbers] < np.uint64(start_lsn)
    return Judgement(numbers[old], numbers[~old], new)


def checksums(pages: Bytes, first_block: int) -> Sums:
    """The checksum that each page should bear, as block `first_block` and those behind it."""
    out: Sums = np.empty(_count(pages), np.uint16)
    _checksums(pages, first_block, out)
    return out


def page_lsns(pages: Bytes) -> Lsns:
    """The LSN of each page; 0 of new ones. Changes that are not logged (hint bits, mostly) leave it as it is."""
    heads = _headers(pages)
    lsns: Lsns = heads["lsn_high"].astype(np.uint64) << np.uint64(32)
    lsns |= heads["lsn_low"]
    return lsns


class Digester:
    """Short digests by a key that is derived from `secret` (32 bytes). Two secrets' digests cannot be compared."""

    def __init__(self, secret: bytes) -> None:
        self._key = digest_key(secret)

    def digests(self, pages: Bytes) -> Digests:
        """8 bytes a page: two pages that differ have the same with a probability below 2^-63."""
        return np.frombuffer(page_digests(pages, self._key), np.uint64)


def changed_pages(old: Digests, new: Digests) -> PageNumbers:
    """Numbers of the pages whose digests differ, and of those that were added. What was cut off is not among them."""
    both = min(len(old), len(new))
    changed = np.flatnonzero(old[:both] != new[:both])
    return np.concatenate([changed, np.arange(both, len(new))])


def _headers(pages: Bytes) -> npt.NDArray[np.void]:
    """The headers side by side: a field of them where they lie would cost a cache miss a page."""
    heads = np.frombuffer(pages, np.uint8).reshape(-1, PAGE)[:, : _HEADER.itemsize]
    return np.ascontiguousarray(heads).view(_HEADER)[:, 0]


def _sensible(heads: npt.NDArray[np.void]) -> npt.NDArray[np.bool_]:
    lower, upper, special = heads["lower"], heads["upper"], heads["special"]
    sensible: npt.NDArray[np.bool_] = (heads["flags"] & ~np.uint16(_KNOWN_FLAGS)) == 0
    sensible &= (lower >= _HEADER.itemsize) & (lower <= upper) & (upper <= special) & (special <= PAGE)
    sensible &= (special & 7) == 0
    return sensible


def _count(pages: Bytes) -> int:
    assert len(pages) % PAGE == 0, f"{len(pages)} bytes are no whole pages"
    return len(pages) // PAGE
