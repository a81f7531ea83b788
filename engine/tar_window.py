"""The bytes of an archive that is read from its beginning to its end: headers, contents and what lies between.

Rule: the file is read once, in pieces of PIECE, the next ones in the background while this one is at work, past the
page cache but for what is there already: nobody reads an archive again soon, and filling the cache with it costs more
CPU than all else that an import of known contents does. What is asked for should ascend; what lies before is read anew.
"""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

from siltstone.store import page_buffer, read_into

PIECE = 4 << 20
WINDOW = 1 << 20  # what can be looked at as one
# One that is looked at, and those behind it that are on their way.
PIECES = 3


class TarWindow:
    """One archive. A context manager; one thread at a time. Raises OSError."""

    def __init__(self, fd: int) -> None:
        """`fd` stays the caller's."""
        self.fd = fd
        # A file opened once more: reading past the cache is a state of the open file, which others read as well.
        self._own = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
        self._reader = ThreadPoolExecutor(1, "silt-archive")
        self._buffers = [page_buffer(PIECE) for _ in range(PIECES)]
        self._pieces: list[tuple[int, Future[int]] | None] = [None] * PIECES
        self._number, self._piece = -1, memoryview(b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.shutdown(wait=True, cancel_futures=True)
        os.close(self._own)

    def view(self, at: int, size: int) -> memoryview:
        """`size` bytes (WINDOW at most) from `at`, fewer where the file ends before. Valid until the next call."""
        number, start = divmod(at, PIECE)
        if number == self._number and start + size <= len(self._piece):
            return self._piece[start : start + size]
        room = memoryview(bytearray(size))
        return room[: self.read(room, at)]

    def read(self, space: memoryview, at: int) -> int:
        """Fill a buffer from `at`: how many bytes, fewer only where the file ends before."""
        number, start = divmod(at, PIECE)
        if number == self._number and start + len(space) <= len(self._piece):
            space[:] = self._piece[start : start + len(space)]
            return len(space)
        done = 0
        while done < len(space):
            number, start = divmod(at + done, PIECE)
            if number != self._number:
                self._number, self._piece = number, self._take(number)
            part = self._piece[start : start + len(space) - done]
            if not part:
                break
            space[done : done + len(part)] = part
            done += len(part)
        return done

    def _take(self, number: int) -> memoryview:
        """A piece; those that come next are on their way then."""
        for each in range(number, number + PIECES - 1):
            known = self._pieces[each % PIECES]
            if known is None or known[0] != each:
                buffer = self._buffers[each % PIECES]
                self._pieces[each % PIECES] = each, self._reader.submit(read_into, self._own, buffer, each * PIECE)
        wanted = self._pieces[number % PIECES]
        assert wanted is not None, "it was asked for above"
        return self._buffers[number % PIECES][: wanted[1].result()]
