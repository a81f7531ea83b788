"""Which extents of a large file stand in it already: the file is read in stretches, by every core.

Rule: contents are compared by chunk id. An extent that uses a chunk only partly has none to compare with and counts as
not there, unless it belongs to a cell of a database's file: page digests say which pages are there (64 bits under the
store's key: what a backup goes by, too, and four times as quick as ids), and an extent is when all of its pages are.
"""

import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from siltstone.store import chunk_id

from .entry import EXTENT, Entry, pack_extents, unpack_extents
from .postgres.grid import CELL, DIGEST, ID_SIZE, PAGE, packed_by_cell
from .postgres.page_digest import digest_key, page_digests
from .restore_rows import LevelRows

STRETCH = 8 << 20  # what a thread reads before it looks up: some 2 ms
LARGEST = 4 << 20  # no chunk of ours is larger; one that is counts as not there
CELLS_AT_ONCE = 8  # that are read together: 1 MiB stays in the cache of a core until it is digested
_CORES = max(2, os.cpu_count() or 2)
_local = threading.local()


class There(NamedTuple):
    """Of a file, or a part of it: a byte for each extent, whether it is there. `size`: that they make; `holes`: whether
    every hole is there.
    """

    extents: bytes
    size: int
    holes: bool


class _Unit(NamedTuple):
    """What is compared in one piece: an extent, or a cell, whose pages have the `digests`. `packed`: its extents as
    they stand in rows.
    """

    at: int
    length: int
    packed: bytes
    digests: bytes = b""


def map_file(rows: LevelRows, id_key: bytes, fd: int, entry: Entry, size: int) -> There:
    """Compare an open file of `size` bytes. Raises OSError, ValueError, Corrupt, ObjectMissing."""
    stretches = _stretches(_units(rows, entry))
    look = partial(_compare, fd, size, id_key)
    if size > STRETCH:  # the first are compared while the units behind them are made
        with ThreadPoolExecutor(_CORES, "silt-compare") as pool:
            found = list(pool.map(look, stretches))
    else:
        found = list(map(look, stretches))
    there, lengths, holes = zip(*found, strict=True) if found else ((), (), ())
    return There(b"".join(there), sum(lengths), all(holes))


def _units(rows: LevelRows, entry: Entry) -> Iterator[_Unit]:
    at = 0
    if not entry.cells:
        for extent in rows.extents(entry):
            yield _Unit(at, extent.length, pack_extents((extent,)))
            at += extent.length
        return
    for (_, record), packed in zip(rows.cells(entry), packed_by_cell(rows.packed_extents(entry)), strict=True):
        length = (len(record) - ID_SIZE) // DIGEST * PAGE
        yield _Unit(at, length, packed, record[ID_SIZE:])
        at += length


def _stretches(units: Iterable[_Unit]) -> Iterator[list[_Unit]]:
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


def _compare(fd: int, size: int, id_key: bytes, units: Sequence[_Unit]) -> There:
    """What is there of neighbouring units."""
    if units[0].digests:
        there = _compare_pages(fd, size, id_key, units)
    else:
        there = bytes(unit.at + unit.length <= size and _is_there(fd, unit, id_key) for unit in units)
    holes = True
    if 0 in there:
        extents = (extent for unit in units for extent in unpack_extents(unit.packed))
        holes = all(is_there or extent.id is not None for is_there, extent in zip(there, extents, strict=True))
    return There(there, sum(unit.length for unit in units), holes)


def _compare_pages(fd: int, size: int, id_key: bytes, cells: Sequence[_Unit]) -> bytes:
    """The same of cells, which are read some at a time."""
    there, key = bytearray(), digest_key(id_key)
    for first in range(0, len(cells), CELLS_AT_ONCE):
        some = cells[first : first + CELLS_AT_ONCE]
        start, end = some[0].at, min(some[-1].at + some[-1].length, size)
        room = _buffer(CELLS_AT_ONCE * CELL)[: max(0, end - start)]
        got = os.preadv(fd, [room], start)
        found, at = page_digests(room[: got // PAGE * PAGE], key), 0
        for cell in some:
            digests = found[at : at + len(cell.digests)]
            count = len(cell.packed) // EXTENT.size
            there += b"\1" * count if digests == cell.digests else _pages_there(cell, digests)
            at += len(cell.digests)
    return bytes(there)


def _pages_there(cell: _Unit, digests: bytes) -> bytes:
    """Of a cell that is not as it should be: which extents are; none where a difference is to be applied."""
    there, at = bytearray(), 0
    if next(unpack_extents(cell.packed)).is_difference:
        return bytes(len(cell.packed) // EXTENT.size)
    for extent in unpack_extents(cell.packed):
        end = at + extent.length // PAGE * DIGEST
        there.append(digests[at:end] == cell.digests[at:end])
        at = end
    return bytes(there)


def _is_there(fd: int, unit: _Unit, id_key: bytes) -> bool:
    """Whether an extent is."""
    (extent,) = unpack_extents(unit.packed)
    buffer = _buffer(unit.length)
    if extent.id is None:
        return _is_hole(fd, unit.at, unit.at + unit.length, buffer)
    room = buffer[: unit.length]
    return os.preadv(fd, [room], unit.at) == unit.length and chunk_id(room, id_key) == extent.id


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
