"""The grid on which a database's files are cut: its sizes, and what can be told of cells without looking into pages.

Rule: arithmetic alone, and quick to load: a restore needs no more than this of cells (cells.py).
"""

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


def split_records(data: bytes) -> Iterator[tuple[ChunkId, bytes]]:
    """(cell id, the record) of each record; only the last may be of a shorter cell. Raises ValueError."""
    for at in range(0, len(data), RECORD_SIZE):
        record = data[at : at + RECORD_SIZE]
        if len(record) < ID_SIZE or len(record) % DIGEST:
            raise ValueError("a record is cut off")
        yield ChunkId(record[:ID_SIZE]), record


def packed_by_cell(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The extents of a file, cell by cell, all as they are packed in rows, whichever way they come parted. Raises
    ValueError where one reaches over the border of a cell.
    """
    cell, size = b"", 0
    for part in parts:
        begin = 0
        for number, (_, offset, length) in enumerate(EXTENT.iter_unpack(part), 1):
            size += length if offset < DIFFERENCE else 0
            if size > CELL:
                raise ValueError("an extent reaches over the border of a cell")
            if size == CELL:
                yield cell + part[begin : number * EXTENT.size]
                cell, size, begin = b"", 0, number * EXTENT.size
        cell += part[begin:]
    if cell:
        yield cell
