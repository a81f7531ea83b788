"""Writing pieces of a large file that nobody will look for soon: with the wish not to stay in the page cache.

Rule: from LARGE on, pieces are written with RWF_DONTCACHE (Linux 6.14 and later): the kernel writes them to the disk at
once, in the background, and takes the pages for what comes next. Filling the cache with what nobody reads soon costs
more CPU than all else that a restore does, and puts out what others read. O_DIRECT would cost still less CPU, but each
write is waited for: see docs/performance.md. Where a file system does not know the wish, everything goes through the
cache as ever.

It does not sync.
"""

import errno
import os
import threading

LARGE = 1 << 20  # files from this size on
LEAST = 4096  # of a piece: the wish makes it a request of its own to the disk

_DONT_CACHE = 0x80
_NO_SUCH_FLAG = (errno.EOPNOTSUPP, errno.EINVAL)


class LargeWriter:
    """Writes to an open file of a size, which it does not close. Any thread."""

    def __init__(self, fd: int, size: int) -> None:
        self._fd = fd
        self._writing = threading.Lock()  # file systems let in one writer a file, and those who wait there spin
        self._how = _DONT_CACHE if size >= LARGE else 0

    def write(self, data: memoryview, offset: int) -> None:
        """Write bytes at their place. OSError."""
        with self._writing:
            while data:
                written = self._written(data, offset)
                offset += written
                data = data[written:]

    def _written(self, data: memoryview, offset: int) -> int:
        if self._how and len(data) >= LEAST:
            try:
                return os.pwritev(self._fd, [data], offset, self._how)
            except OSError as error:
                if error.errno not in _NO_SUCH_FLAG:
                    raise
                self._how = 0
        return os.pwritev(self._fd, [data], offset)
