"""A stream of bytes made of literal bytes, zeros and runs of chunks, read from the store in windows.

Rule: within a window each frame is read once, packs in the order in which they are needed. Three things go on at once:
the calling thread plans windows (archive_windows.py), others fill them, one more writes them in order, in whole blocks,
so that they can go past the page cache. Memory: BUFFERS windows. A chunk that cannot be had raises its error with the
path that needs it, before any byte of its window is written.
"""

import queue
from collections.abc import Iterable
from typing import Protocol

from siltstone.store import BLOCK, BackendError, Corrupt, ObjectMissing, PackName, Store, in_parallel, page_buffer

from .archive_windows import WINDOW, Part, Piece, Window, naming, windows_of

THREADS = 2
# Being filled or filled, and being written or waiting for that: no more are under way, so nobody waits for a buffer.
BUFFERS = 2 * THREADS + 3

_ZEROS = memoryview(bytes(1 << 20))


class Sink(Protocol):
    """What takes bytes: a file, a pipe, or what writes past the page cache."""

    def write(self, data: memoryview, /) -> int | None: ...


def write_stream(store: Store, parts: Iterable[Part], out: Sink) -> int:
    """Write the parts one behind the other; how many bytes. Raises Corrupt, ObjectMissing, BackendError, OSError."""
    filler, tail = _Filler(store), _Tail(out)
    filled = in_parallel(filler.fill, windows_of(store, parts), THREADS)
    for buffer in in_parallel(tail.write, filled, 1):
        filler.give_back(buffer)
    return tail.finish()


class _Tail:
    """Writes windows in order. What fills no block waits for the next one, which leaves room for it."""

    def __init__(self, out: Sink) -> None:
        self._out, self._rest, self._written = out, b"", 0

    def write(self, filled: tuple[memoryview, Window]) -> memoryview:
        """Write a filled window; its buffer, which is free then."""
        buffer, window = filled
        buffer[: window.phase] = self._rest
        whole = window.end // BLOCK * BLOCK
        self._rest = bytes(buffer[whole : window.end])
        self._write_all(buffer[:whole])
        return buffer

    def finish(self) -> int:
        """Write what is left; the number of all bytes."""
        self._write_all(memoryview(self._rest))
        return self._written

    def _write_all(self, data: memoryview) -> None:
        self._written += len(data)
        while data:
            written = self._out.write(data)
            data = data[written or len(data) :]


class _Filler:
    """Fills windows. `fill` from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._buffers: queue.SimpleQueue[memoryview] = queue.SimpleQueue()
        for _ in range(BUFFERS):
            self._buffers.put(page_buffer(WINDOW))

    def give_back(self, buffer: memoryview) -> None:
        """The buffer is free again."""
        self._buffers.put(buffer)

    def fill(self, window: Window) -> tuple[memoryview, Window]:
        """A buffer with the bytes of a window."""
        buffer = self._buffers.get()
        for at, literal in window.literals:
            buffer[at : at + len(literal)] = literal
        for at, length in window.zeros:
            for start in range(at, at + length, len(_ZEROS)):
                stop = min(start + len(_ZEROS), at + length)
                buffer[start:stop] = _ZEROS[: stop - start]
        for pack, frames in window.frames.items():
            self._copy_frames(pack, frames, buffer)
        return buffer, window

    def _copy_frames(self, pack: PackName, frames: dict[int, list[Piece]], buffer: memoryview) -> None:
        done = -1
        wanted = {number: {piece.slot for piece in pieces} for number, pieces in frames.items()}
        try:
            for number, plain in self._store.read_frames(pack, sorted(frames), wanted):
                for at, start, length, _, _ in frames[number]:
                    buffer[at : at + length] = plain[start : start + length]
                done = number
        except (Corrupt, ObjectMissing, BackendError) as error:
            frame = getattr(error, "frame", None)
            first = frame if frame in frames else min(number for number in frames if number > done)
            raise naming(error, frames[first][0].path) from error
