"""Large and sparse files: read and cut by the calling thread, buffer by buffer, while the workers hash, compress and
seal. Reading is one step and waiting for the workers another, so that the next file is read meanwhile.

Rule: a content is cut as one, across buffers; holes are kept as holes where the file system says where they are. Memory
does not grow with the content: extents go into an ExtentList as their chunks are stored.
"""

import errno
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial

from siltstone.store import ChunkId

from .cut import Cutter
from .entry import EXTENT, hole
from .extent_list import ExtentList, OnList
from .workers import Workers

Read = Callable[[memoryview, int], int]  # fills a buffer from a place of a file: how many bytes, fewer at its end


def pack_chunks(ids: Sequence[ChunkId], ends: Sequence[int], start: int = 0) -> bytes:
    """Packed extents of whole chunks that end at `ends` of a buffer, the first of which begins at `start`."""
    packed = []
    for chunk, end in zip(ids, ends, strict=True):
        packed.append(EXTENT.pack(chunk, 0, end - start))
        start = end
    return b"".join(packed)


class Stream:
    """One content on its way into the store. `on_stored` is given the packed extents of its data, in order, as they are
    known, and `on_list` the chunks of its extent list, if it comes to have one.
    """

    def __init__(
        self,
        workers: Workers,
        cutter: Cutter,
        on_read: Callable[[int], None],
        on_stored: Callable[[bytes], None] | None = None,
        on_list: OnList | None = None,
    ) -> None:
        self._workers, self._cutter = workers, cutter
        self._extents = ExtentList(workers.sink, on_list)
        self._parts: deque[bytes | tuple[Future[list[ChunkId]], list[int]]] = deque()
        self._on_read, self._on_stored = on_read, on_stored
        self.read_end = 0  # the size of the content as it was read, holes included

    def read(self, fd: int, size: int) -> None:
        """Read `size` bytes of an open file, and give them to the workers. `read_end` is right afterwards."""
        at = 0
        for start, end in _data_ranges(fd, size):
            if start > at:
                self._parts.append(hole(start - at))
            at = self._store_range(partial(_read_full, fd), start, end)
            if at < end:
                break  # it shrank while it was read: what is left is not a hole but nothing
        else:
            if at < size:
                self._parts.append(hole(size - at))
            at = size
        self.read_end = at

    def read_stretch(self, read: Read, start: int, end: int) -> bool:
        """Read what lies from `start` to `end` of a file, as what follows in the content. False where the file ends
        before.
        """
        return self._store_range(read, start, end) == end

    def add_hole(self, size: int) -> None:
        """A hole of so many bytes, or none, follows in the content."""
        self._parts.append(hole(size))

    def done(self) -> bool:
        """Whether `finish` would not wait."""
        return all(isinstance(part, bytes) or part[0].done() for part in self._parts)

    def finish(self) -> tuple[bytes, bool]:
        """Wait for the workers: packed extents for the row, and whether they are of the extent list."""
        self._collect(wait=True)
        return self._extents.finish()

    def _store_range(self, read: Read, start: int, end: int) -> int:
        """Store the data from `start` to `end`; returns where it really ended (a file may shrink)."""
        carry = b""
        at = start
        while True:
            buffer = self._workers.take_buffer()
            buffer[: len(carry)] = carry
            try:
                space = buffer[len(carry) : len(carry) + end - at]
                filled = len(carry) + read(space, at)
            except OSError:
                self._workers.give_back(buffer)
                raise
            at += filled - len(carry)
            last = at >= end or filled < len(buffer)
            ends = self._cutter.ends(buffer[:filled], last=last)
            used = ends[-1] if ends else 0
            carry = bytes(buffer[used:filled])
            self._on_read(used)
            self._parts.append((self._workers.submit(self._store_stretch, buffer, ends), ends))
            self._collect(wait=False)
            if last:
                return at

    def _store_stretch(self, buffer: memoryview, ends: list[int]) -> list[ChunkId]:
        try:
            return self._workers.sink.store_run(buffer, ends)
        finally:
            self._workers.give_back(buffer)

    def _collect(self, *, wait: bool) -> None:
        """Move what is stored from the left of the parts into the extent list."""
        while self._parts:
            part = self._parts[0]
            if isinstance(part, bytes):
                self._extents.add(part)
            elif wait or part[0].done():
                packed = pack_chunks(part[0].result(), part[1])
                self._extents.add(packed)
                if self._on_stored:
                    self._on_stored(packed)
            else:
                return
            self._parts.popleft()


def _read_full(fd: int, buffer: memoryview, at: int) -> int:
    """Fill the buffer from offset `at`; how many bytes (less only at the end of the file)."""
    got = 0
    while got < len(buffer):
        read = os.preadv(fd, [buffer[got:]], at + got)
        if not read:
            break
        got += read
    return got


def _data_ranges(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Where a file has data: (start, end) ascending. Everything, where the file system cannot say."""
    at = 0
    while at < size:
        try:
            start = os.lseek(fd, at, os.SEEK_DATA)
            end = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno != errno.ENXIO:  # ENXIO: nothing but a hole from here on
                yield at, size
            return
        if start >= size:
            return
        yield start, end
        at = end
