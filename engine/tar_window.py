"""The bytes of an archive that is read from its beginning to its end: headers, small contents and what lies between.

Rule: the file is read in pieces of WINDOW, so that a member costs no system call of its own; what is asked for should
ascend, for what lies outside of the piece is read anew. Large contents are read from `fd` by those who want them.
"""

import os

WINDOW = 1 << 20


class TarWindow:
    """One archive. One thread at a time."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._buffer = memoryview(bytearray(WINDOW))
        self._start = self._end = 0

    def view(self, at: int, size: int) -> memoryview:
        """`size` bytes (WINDOW at most) from `at`, fewer where the file ends before. Valid until the next call."""
        if at < self._start or at + size > self._end:
            self._start = self._end = at
            while self._end - at < size:
                read = os.preadv(self.fd, [self._buffer[self._end - at :]], self._end)
                if not read:
                    break
                self._end += read
        return self._buffer[at - self._start : min(at + size, self._end) - self._start]
