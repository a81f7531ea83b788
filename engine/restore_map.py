"""Which extents of a large file stand in it already: the file is read in stretches, by every core.

Rule: contents are compared by chunk id. An extent that uses a chunk only partly has none to compare with and counts as
not there, unless it belongs to a cell of a database's file: page digests say which pages are there (64 bits under the
store's key: what a backup goes by, too, and four times as quick as ids), and an extent is when all of its pages are.
"""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import NamedTuple

from siltstone.store import chunk_id

from .entry import EXTENT, Entry, Extent, pack_extents, unpack_extents
from .postgres.grid import CELL, DIGEST, ID_SIZE, PAGE, PAGES, RECORD_CELLS, RECORD_SIZE, packed_by
from .postgres.page_digest import digest_key, file_digests
from .restore_rows import LevelRows

# What a thread reads before it looks up: 32 MiB, some 6 ms. With less it waits more often for the interpreter, which
# those who compare small files want all the time.
RECORD_CHUNKS = 4
STRETCH = RECORD_CHUNKS * RECORD_CELLS * CELL
LARGEST = 4 << 20  # no chunk of ours is larger; one that is counts as not there
_CORES = max(2, os.cpu_count() or 2)
_local = threading.local()


class There(NamedTuple):
    """Of a file, or a part of it: a byte for each extent, whether it is there. `size`: that they make; `holes`: whether
    every hole is there.
    """

    extents: bytes
    size: int
    holes: bool


class _Stretch(NamedTuple):
    """Neighbouring extents, as they stand in rows, from `at` of the file on. `records`: of the cells that they make."""

    at: int
    packed: bytes
    records: bytes


def map_file(rows: LevelRows, id_key: bytes, fd: int, entry: Entry, size: int) -> There:
    """Compare an open file of `size` bytes. Raises OSError, ValueError, Corrupt, ObjectMissing."""
    if entry.cells:
        stretches, compare = _cells(rows, entry), partial(_compare_cells, fd, digest_key(id_key))
    else:
        stretches, compare = _extents(rows, entry), partial(_compare_extents, fd, size, id_key)
    look = partial(_there, compare)
    if size > STRETCH:  # the first are compared while those behind them are made
        with ThreadPoolExecutor(_CORES, "silt-compare") as pool:
            found = list(pool.map(look, stretches))
    else:
        found = list(map(look, stretches))
    there, lengths, holes = zip(*found, strict=True) if found else ((), (), ())
    return There(b"".join(there), sum(lengths), all(holes))


def _cells(rows: LevelRows, entry: Entry) -> Iterator[_Stretch]:
    """Of a database's file: some chunks of its records, so that nothing is done cell by cell where all is right."""
    packed = packed_by(rows.packed_extents(entry), STRETCH)
    chunks = rows.records(entry)
    joined = iter(lambda: b"".join(islice(chunks, RECORD_CHUNKS)), b"")
    for number, (records, part) in enumerate(zip(joined, packed, strict=True)):
        yield _Stretch(number * STRETCH, part, records)


def _extents(rows: LevelRows, entry: Entry) -> Iterator[_Stretch]:
    at = size = 0
    stretch: list[Extent] = []
    for extent in rows.extents(entry):
        stretch.append(extent)
        size += extent.size
        if size >= STRETCH:
            yield _Stretch(at, pack_extents(stretch), b"")
            at, size, stretch = at + size, 0, []
    if stretch:
        yield _Stretch(at, pack_extents(stretch), b"")


def _there(compare: Callable[[_Stretch], tuple[bytes, int]], stretch: _Stretch) -> There:
    there, length = compare(stretch)
    holes = True
    if 0 in there:
        extents = unpack_extents(stretch.packed)
        holes = all(is_there or extent.id is not None for is_there, extent in zip(there, extents, strict=True))
    return There(there, length, holes)


def _compare_cells(fd: int, key: bytes, stretch: _Stretch) -> tuple[bytes, int]:
    """A byte for each extent, and how long they are together."""
    records = stretch.records
    wanted = b"".join(records[at + ID_SIZE : at + RECORD_SIZE] for at in range(0, len(records), RECORD_SIZE))
    pages = len(wanted) // DIGEST
    length = pages * PAGE
    found = file_digests(fd, stretch.at, pages, key)
    if found == wanted:
        return b"\1" * (len(stretch.packed) // EXTENT.size), length
    digests = (slice(at, at + PAGES * DIGEST) for at in range(0, len(wanted), PAGES * DIGEST))
    cells = zip(packed_by([stretch.packed], CELL), digests, strict=True)
    return b"".join(_pages_there(packed, wanted[part], found[part]) for packed, part in cells), length


def _pages_there(packed: bytes, wanted: bytes, found: bytes) -> bytes:
    """Of a cell: which extents are there; where a difference is to be applied, all or none."""
    count = len(packed) // EXTENT.size
    if found == wanted:
        return b"\1" * count
    if next(unpack_extents(packed)).is_difference:
        return bytes(count)
    there, at = bytearray(), 0
    for extent in unpack_extents(packed):
        end = at + extent.length // PAGE * DIGEST
        there.append(found[at:end] == wanted[at:end])
        at = end
    return bytes(there)


def _compare_extents(fd: int, size: int, id_key: bytes, stretch: _Stretch) -> tuple[bytes, int]:
    there, at = bytearray(), stretch.at
    for extent in unpack_extents(stretch.packed):
        end = at + extent.size
        there.append(end <= size and _is_there(fd, at, extent, id_key))
        at = end
    return bytes(there), at - stretch.at


def _is_there(fd: int, at: int, extent: Extent, id_key: bytes) -> bool:
    buffer = _buffer(extent.length)
    if extent.id is None:
        return _is_hole(fd, at, at + extent.length, buffer)
    room = buffer[: extent.length]
    return os.preadv(fd, [room], at) == extent.length and chunk_id(room, id_key) == extent.id


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
