"""Writing pieces of a large file: with the wish not to stay in the page cache, or through it where that is quicker.

Rule: from LARGE on, pieces are written with RWF_DONTCACHE (Linux 6.14 and later): the kernel writes them to the disk at
once, in the background, and takes the pages for what comes next. Filling the cache with what nobody reads soon costs
more CPU than all else that a restore does, and puts out what others read. O_DIRECT would cost still less CPU, but each
write is waited for: see docs/performance.md. Where a file system does not know the wish, everything goes through the
cache as ever. So does as much as finds room in a share of the free memory, where that takes less time at the moment:
the disk may be busy with packs that are read (Ways).

Pieces begin and end within blocks. One that was written so and is gone from the cache is read again, and waited for,
when its other half comes: a fifth of the time of a restore. So where room was reserved, the halves of such blocks go
through the cache. (Without it they would be given their places last, far from all else.)

It does not sync.
"""

import errno
import os
import threading
import time
from functools import cache

from .mounts import file_system

LARGE = 1 << 20  # files from this size on
LEAST = 4096  # of a piece, and a block: the wish makes it a request of its own to the disk

# File systems that reserve room by noting it. Others write zeros, or keep from compressing what comes to lie there.
_RESERVING = ("ext4", "xfs")

# Of the memory that is free at the beginning, what may be written through the cache; and after how many writes at most
# the way that took longer is tried again.
_SHARE, _TRY_AGAIN = 4, 64

_DONT_CACHE = 0x80
_NO_SUCH_FLAG = (errno.EOPNOTSUPP, errno.EINVAL)


class Ways:
    """Past the cache or through it: which of the two takes less time now, by how long writes of either took. For any
    thread: of two at once one may count for nothing. `room`: bytes that may go through the cache.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._cost = {False: 0.0, True: 0.0}  # seconds a byte, past the cache and through it; 0.0: not tried
        self._writes, self._gap, self._due = 0, 1, 2

    def choose(self, size: int) -> bool:
        """Whether to write so many bytes through the cache."""
        if size > self._room:
            return False
        self._writes += 1
        cached = self._cost[True] < self._cost[False]
        if self._writes >= self._due:
            self._gap = min(2 * self._gap, _TRY_AGAIN)
            self._due += self._gap
            return not cached
        return cached

    def took(self, cached: bool, size: int, seconds: float) -> None:
        """That a write took so long."""
        if cached:
            self._room -= size
        cost, before = seconds / max(1, size), self._cost[cached]
        self._cost[cached] = 0.7 * before + 0.3 * cost if before else cost


@cache
def _ways() -> Ways:
    """Those of this process."""
    free = os.sysconf("SC_AVPHYS_PAGES") if "SC_AVPHYS_PAGES" in os.sysconf_names else 0
    return Ways(free * os.sysconf("SC_PAGE_SIZE") // _SHARE)


class LargeWriter:
    """Writes to an open file of a size, which it does not close. Any thread."""

    def __init__(self, fd: int, size: int) -> None:
        self._fd = fd
        self._writing = threading.Lock()  # file systems let in one writer a file, and those who wait there spin
        self._choosing = size >= LARGE
        self._reserved = False

    def reserve(self, start: int, end: int) -> None:
        """Have the file system give room to bytes all of which will be written, if it does that at once and for good:
        they lie side by side then, and writing them takes half the CPU time. OSError.
        """
        if self._choosing and _reserves(os.fstat(self._fd).st_dev):
            os.posix_fallocate(self._fd, start, end - start)
            self._reserved = True

    def write(self, data: memoryview, offset: int) -> None:
        """Write bytes at their place. OSError."""
        end = offset + len(data)
        borders = [-(-offset // LEAST) * LEAST, end // LEAST * LEAST, end] if self._reserved else [end]
        with self._writing:
            for border in borders:
                while offset < min(border, end):
                    written = self._written(data[: border - offset], offset)
                    offset += written
                    data = data[written:]

    def _written(self, data: memoryview, offset: int) -> int:
        if self._choosing and len(data) >= LEAST:
            ways = _ways()
            cached, began = ways.choose(len(data)), time.perf_counter()
            try:
                written = os.pwritev(self._fd, [data], offset, 0 if cached else _DONT_CACHE)
                ways.took(cached, written, time.perf_counter() - began)
                return written
            except OSError as error:
                if error.errno not in _NO_SUCH_FLAG:
                    raise
                self._choosing = False
        return os.pwritev(self._fd, [data], offset)


@cache
def _reserves(device: int) -> bool:
    return file_system(device) in _RESERVING
