"""The grid on which a database's files are cut: its sizes, and what can be told of cells without looking into pages.

Rule: arithmetic alone, and quick to load: a restore needs no more than this of cells (cells.py).
"""

import struct
from collections.abc import Iterable, Iterator
from typing import Final

from siltstone.store import ChunkId

from ..entry import DIFFERENCE, EXTENT

PAGE: Final = 8192
CELL: Final = 128 << 10
PAGES: Final = CELL // PAGE
ID_SIZE: Final = 32
DIGEST: Final = 8  # bytes of the digest of a page

# Records are kept in chunks of so many cells (8 MiB of a file): one that did not change is the same chunk again.
RECORD_CELLS: Final = 64
RECORD_SIZE: Final = ID_SIZE + DIGEST * PAGES
RECORDS_CHUNK: Final = RECORD_CELLS * RECORD_SIZE

_RANGE = struct.Struct("<32xII")  # of an extent: without the id


def split_records(data: bytes) -> Iterator[tuple[ChunkId, bytes]]:
    """(cell id, the record) of each record; only the last may be of a shorter cell. Raises ValueError."""
    for at in range(0, len(data), RECORD_SIZE):
        record = data[at : at + RECORD_SIZE]
        if len(record) < ID_SIZE or len(record) % DIGEST:
            raise ValueError("a record is cut off")
        yield ChunkId(record[:ID_SIZE]), record


def packed_by(parts: Iterable[bytes], length: int) -> Iterator[bytes]:
    """The extents of a file, so many bytes of it at a time (CELL, or some cells), all as they are packed in rows,
    whichever way they come parted. Raises ValueError where one reaches over a border.
    """
    some, size = b"", 0
    for part in parts:
        begin = 0
        for number, (offset, bytes_of_it) in enumerate(_RANGE.iter_unpack(part), 1):
            size += bytes_of_it if offset < DIFFERENCE else 0
            if size > length:
                raise ValueError("an extent reaches over the border of a cell")
            if size == length:
                yield some + part[begin : number * EXTENT.size]
                some, size, begin = b"", 0, number * EXTENT.size
        some += part[begin:]
    if some:
        yield some
