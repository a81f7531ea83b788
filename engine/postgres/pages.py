"""Pages of relation files: are they sound, how new are they, which of them changed.

A relation file is pages of 8 KiB, in segments of 1 GiB (`16384`, `16384.1`, ...); a page's checksum covers the number
of its block, which counts through the segments. The first 8 bytes of a page are the LSN of its last logged change.

Rule: everything here takes whole pages, many at a time (best 1 to 4 MiB), and gives one value a page or page numbers
counted from the buffer's start. A page that is wrong is reported, never mended. A server may be writing while its files
are read: a page whose LSN is not below the backup's start is replayed whole from the WAL, so nothing that is wrong with
it counts. One that is wrong and older is to be read once more before it is called damaged.

The work is done by `_pages.c` without the interpreter lock where that was built (16 GB/s checksums, 7 GB/s digests on
one core of an EPYC with AVX-512), else by its twin in numpy, `pages_plain` (1.9 and 2.0). numpy is not loaded
otherwise: a backup of little takes hardly longer than the start of its process.
"""

import struct
from typing import Final

from msgspec import Struct

from .grid import PAGE
from .page_digest import Bytes, digest_key, page_digests

try:
    from ._pages import judge as _judge

    COMPILED = True
except ImportError:
    from .pages_plain import judge as _judge

    COMPILED = False

SEGMENT_BLOCKS: Final = 131072  # blocks in one file of a relation: block = segment number * this + page of the file

SOUND, BAD, RENEWED, NEW = range(4)  # what the twins say of a page
_LSN = struct.Struct("<II")


class Judgement(Struct, frozen=True):
    """Numbers of pages. `bad`: wrong, and older than the start of the backup. `renewed`: wrong, but replayed from the
    WAL. `new`: all zero, as a server leaves pages that it added and did not use yet. All others are sound.
    """

    bad: list[int]
    renewed: list[int]
    new: list[int]


def judge(pages: Bytes, first_block: int, start_lsn: int, *, checksummed: bool = True) -> Judgement:
    """Judge pages of a relation file, the first of which is block `first_block` of the relation.

    `start_lsn` is where the backup began; a cluster that does not run is judged with 1 << 64 - 1. Without checksums in
    the cluster, and beside them, the header must make sense, as a server demands of it (PageIsVerified).
    """
    found = bytearray(_count(pages))
    _judge(pages, first_block, start_lsn, checksummed, found)
    return Judgement(*(_numbers(found, verdict) for verdict in (BAD, RENEWED, NEW)))


def page_lsn(pages: Bytes, number: int) -> int:
    """The LSN of a page; 0 of a new one. Changes that are not logged (hint bits, mostly) leave it as it is."""
    high, low = _LSN.unpack_from(pages, number * PAGE)
    return int(high << 32 | low)


class Digester:
    """Short digests by a key that is derived from `secret` (32 bytes). Two secrets' digests cannot be compared."""

    def __init__(self, secret: bytes) -> None:
        self._key = digest_key(secret)

    def digests(self, pages: Bytes) -> bytes:
        """8 bytes a page: two pages that differ have the same with a probability below 2^-63."""
        return page_digests(pages, self._key)


def _numbers(found: bytearray, verdict: int) -> list[int]:
    return [number for number, each in enumerate(found) if each == verdict] if verdict in found else []


def _count(pages: Bytes) -> int:
    assert len(pages) % PAGE == 0, f"{len(pages)} bytes are no whole pages"
    return len(pages) // PAGE
