"""WAL files on their way into the archive: a file of a server's pg_wal, or bytes that a stream brought.

Rule: a file that changed while it was read is refused: a server changes no segment that it wants archived. `identity`
is what tells that this very file was archived; it is taken before the bytes are read and compared after. A memory map
would be quicker by a copy, and would kill the process where a disk fails.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import mmap
from pathlib import Path
from typing import TypeAlias

from msgspec import Struct

from .errors import Malformed

Identity: TypeAlias = tuple[int, int, int, int]  # inode, mtime and ctime in nanoseconds, size

_buffers = threading.local()  # reading into a fresh buffer each time would fault in every page of it


class Incoming(Struct, frozen=True):
    """A file of this name, from `path` or from `data` that the caller keeps as it is."""

    name: str
    size: int
    path: Path | None = None
    data: memoryview | None = None
    identity: Identity = (0, 0, 0, 0)

    @contextmanager
    def opened(self) -> Iterator[memoryview]:
        """All its bytes, valid inside the `with`. Raises OSError, Malformed."""
        if self.path is None:
            assert self.data is not None
            yield self.data
            return
        with open(self.path, "rb", buffering=0) as file:
            buffer = _buffer(self.size)
            got = 0
            while got < self.size and (count := file.readinto(buffer[got : self.size])):
                got += count
            changed = file.read(1) or got < self.size or identity_of(os.fstat(file.fileno())) != self.identity
        if changed:
            raise Malformed(self.name, "it changed while it was read", hint="does something else write into pg_wal?")
        yield buffer[: self.size].toreadonly()


def incoming_file(path: Path) -> Incoming:
    """A file on the disk. Raises OSError."""
    status = path.stat()
    return Incoming(path.name, status.st_size, path=path, identity=identity_of(status))


def incoming_bytes(name: str, data: bytes | memoryview) -> Incoming:
    """Bytes in memory."""
    return Incoming(name, len(data), data=memoryview(data))


def identity_of(status: os.stat_result) -> Identity:
    """What is different as soon as a file is written, replaced or renamed."""
    return status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size


def _buffer(size: int) -> memoryview:
    """This thread's buffer, of at least `size` bytes."""
    if len(getattr(_buffers, "view", b"")) < size:
        _buffers.view = memoryview(mmap(-1, size))
    view: memoryview = _buffers.view
    return view
