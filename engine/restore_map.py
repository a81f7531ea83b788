"""Which extents of a large file stand in it already: the file is read in stretches, by every core.

Rule: contents are compared by chunk id. An extent that uses a chunk only partly has none to compare with and counts as
not there, unless it belongs to a cell of a database's file: the cell's id says that all of it is there. Where it is
not, the page digests say which pages are (64 bits under the store's key: what a backup goes by, too), and an extent is
there when all of its pages are.
"""

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from siltstone.store import ChunkId, chunk_id

from .entry import Entry, Extent
from .postgres.grid import CELL, ID_SIZE, PAGE, by_cell
from .postgres.page_digest import digest_key, page_digests
from .restore_rows import LevelRows

STRETCH = 8 << 20  # what a thread reads before it looks up: some 2 ms
LARGEST = 4 << 20  # no chunk of ours is larger; one that is counts as not there
_CORES = max(2, os.cpu_count() or 2)
_local = threading.local()


class There(NamedTuple):
    """A byte for each extent: whether it is there. `size`: that they make; `holes`: whether every hole is there."""

    extents: bytes
    size: int
    holes: bool


class _Unit(NamedTuple):
    """Neighbouring extents that are compared together; `id` None: a hole. `record`: of a cell."""

    at: int
    length: int
    id: ChunkId | None
    extents: Sequence[Extent]
    record: bytes = b""


def map_file(rows: LevelRows, id_key: bytes, fd: int, entry: Entry, size: int) -> There:
    """Compare an open file of `size` bytes. Raises OSError, ValueError, Corrupt, ObjectMissing."""
    units = list(_units(rows, entry))
    total = units[-1].at + units[-1].length if units else 0
    stretches = list(_stretches(units))
    if len(stretches) > 1:
        with ThreadPoolExecutor(_CORES, "silt-compare") as pool:
            found = list(pool.map(lambda stretch: _compare(fd, stretch, size, id_key), stretches))
    else:
        found = [_compare(fd, stretch, size, id_key) for stretch in stretches]
    there = b"".join(found)
    holes = (extent.id is None for unit in units for extent in unit.extents)
    return There(there, total, all(is_there or not is_hole for is_there, is_hole in zip(there, holes, strict=True)))


def _units(rows: LevelRows, entry: Entry) -> Iterator[_Unit]:
    at = 0
    if not entry.cells:
        for extent in rows.extents(entry):
            yield _Unit(at, extent.length, extent.id, (extent,))
            at += extent.length
        return
    for (cell, record), extents in zip(rows.cells(entry), by_cell(rows.extents(entry)), strict=True):
        length = sum(extent.length for extent in extents)
        yield _Unit(at, length, cell, extents, record)
        at += length


def _stretches(units: Sequence[_Unit]) -> Iterator[list[_Unit]]:
    stretch: list[_Unit] = []
    size = 0
    for unit in units:
        stretch.append(unit)
        size += unit.length
        if size >= STRETCH:
            yield stretch
            stretch, size = [], 0
    if stretch:
        yield stretch


def _compare(fd: int, units: Sequence[_Unit], size: int, id_key: bytes) -> bytes:
    """A byte for each extent of these units."""
    return b"".join(
        _look(fd, unit, id_key) if unit.at + unit.length <= size else bytes(len(unit.extents)) for unit in units
    )


def _look(fd: int, unit: _Unit, id_key: bytes) -> bytes:
    buffer = _buffer(unit.length)
    if unit.id is None:
        return bytes([_is_hole(fd, unit.at, unit.at + unit.length, buffer)])
    room = buffer[: unit.length]
    if os.preadv(fd, [room], unit.at) != unit.length:
        return bytes(len(unit.extents))
    if chunk_id(room, id_key) == unit.id:
        return b"\1" * len(unit.extents)
    return _look_at_pages(room, unit, id_key) if unit.record else b"\0"


def _look_at_pages(data: memoryview, unit: _Unit, id_key: bytes) -> bytes:
    """Of a cell that is not as it should be: which extents are. Raises ValueError."""
    digests = page_digests(data, digest_key(id_key))
    found, at = bytearray(), 0
    for extent in unit.extents:
        pages = slice(ID_SIZE + at // PAGE * 8, ID_SIZE + (at + extent.length) // PAGE * 8)
        found.append(unit.record[pages] == (bytes(ID_SIZE) + digests)[pages])
        at += extent.length
    return bytes(found)


def _is_hole(fd: int, start: int, end: int, buffer: memoryview) -> bool:
    """Whether nothing but zeros lies there; holes are not read."""
    while start < end:
        try:
            start = os.lseek(fd, start, os.SEEK_DATA)
        except OSError:  # no data behind here
            return True
        part = buffer[: max(0, min(len(buffer), end - start))]
        got = os.preadv(fd, [part], start)
        if bytes(part[:got]) != bytes(got):
            return False
        start += max(len(part), 1)
    return True


def _buffer(size: int) -> memoryview:
    """This thread's buffer, of LARGEST bytes at most; a small one stays in the cache of its core."""
    if len(getattr(_local, "buffer", b"")) < min(size, LARGEST):
        _local.buffer = memoryview(bytearray(max(CELL, min(size, LARGEST))))
    buffer: memoryview = _local.buffer
    return buffer
