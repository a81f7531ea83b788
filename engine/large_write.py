"""Writing pieces of a large file where nobody will look for them soon: past the page cache.

Rule: whole blocks that lie in memory as they will lie in the file go straight to the disk (O_DIRECT), several threads
at once; what is left at the ends of a piece, and pieces that lie otherwise, go through the cache with the wish not to
stay there (RWF_DONTCACHE, since Linux 6.14). Filling the cache with what nobody reads soon costs more CPU than all else
that a restore does (here, for 2 GiB: 5 CPU s through the cache, 0.8 with the wish, 0.2 past it), and puts out what
others read. Where a file system does not know the wish, network file systems among them, everything goes through the
cache: there each write past it would be waited for.

It does not sync.
"""

import errno
import os
import threading

from siltstone.store import BLOCK

LARGE = 1 << 20  # files from this size on
LEAST = 128 << 10  # of a piece, for two writes instead of one to be worth it

_DONT_CACHE = 0x80
_NO_SUCH_FLAG = (errno.EOPNOTSUPP, errno.EINVAL)


class LargeWriter:
    """Writes to an open file of a size, which it does not close. Any thread."""

    def __init__(self, fd: int, size: int) -> None:
        self._fd = fd
        self._direct: int | None = None  # a descriptor, -1 where there can be none, None before that is known
        self._writing = threading.Lock()  # file systems let in one writer a file, and those who wait there spin
        self._how = _DONT_CACHE if size >= LARGE else 0

    def write(self, data: memoryview, offset: int) -> None:
        """Write bytes at their place. OSError."""
        while data:
            written = self._past_cache(data, offset) or self._through_cache(data, offset)
            offset += written
            data = data[written:]

    def close(self) -> None:
        """Close what was opened here. Nobody may be writing any more."""
        if self._direct is not None and self._direct >= 0:
            os.close(self._direct)
            self._direct = -1

    def _past_cache(self, data: memoryview, offset: int) -> int:
        """Write the whole blocks at the beginning: how many bytes, 0 where that is not possible."""
        direct = self._direct
        if direct is None or direct < 0 or offset % BLOCK or len(data) < LEAST:
            return 0
        try:
            return os.pwritev(direct, [data[: len(data) // BLOCK * BLOCK]], offset)
        except OSError as error:
            if error.errno not in _NO_SUCH_FLAG:  # with these it lies otherwise in memory
                raise
            return 0

    def _through_cache(self, data: memoryview, offset: int) -> int:
        """Write what comes before the next block, or all where that is little or there is no way past the cache."""
        with self._writing:
            if (self._direct or -1) >= 0 and len(data) >= LEAST and offset % BLOCK:
                return os.pwritev(self._fd, [data[: BLOCK - offset % BLOCK]], offset)
            if not self._how or len(data) < BLOCK:  # the wish makes it a request of its own to the disk
                return os.pwritev(self._fd, [data], offset)
            try:
                written = os.pwritev(self._fd, [data], offset, self._how)
            except OSError as error:
                if error.errno not in _NO_SUCH_FLAG:
                    raise
                self._how = 0
                return os.pwritev(self._fd, [data], offset)
            if self._direct is None:
                self._direct = self._opened()
            return written

    def _opened(self) -> int:
        """A second descriptor, where the file system can write past the cache at all."""
        try:
            return os.open(b"/proc/self/fd/%d" % self._fd, os.O_WRONLY | os.O_DIRECT | os.O_CLOEXEC)
        except OSError:
            return -1
