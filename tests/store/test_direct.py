"""Reading and writing past the page cache: whatever the sizes, offsets and addresses, the bytes are those of the file.

Rule: real files, on whatever file system the tests run on; one that refuses the direct way is simulated by refusing.
"""

import errno
import fcntl
import os
import random
from collections.abc import Iterator
from mmap import mmap
from pathlib import Path

import pytest

from siltstone.store.backend import BLOCK
from siltstone.store.direct import LEAST, read_into, write_blocks

CONTENT = random.Random(1).randbytes(3 * LEAST + 1234)
SIZES = [0, 1, BLOCK, LEAST - 1, LEAST, LEAST + 1, 2 * LEAST + BLOCK, len(CONTENT)]


@pytest.fixture(params=["as it is", "refused"])
def file(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    if request.param == "refused":
        real = fcntl.fcntl

        def refusing(file: int, command: int, flags: int = 0) -> int:
            if command == fcntl.F_SETFL and flags & os.O_DIRECT:
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            return real(file, command, flags)

        monkeypatch.setattr(fcntl, "fcntl", refusing)
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


def room(size: int, shift: int) -> memoryview:
    """A buffer that begins `shift` bytes behind a page."""
    return memoryview(mmap(-1, size + shift + BLOCK))[shift : shift + size]


def put_past_the_cache(file: int, content: bytes) -> None:
    """Write it, durable and out of the page cache, so that reading has to go to the disk."""
    os.pwrite(file, content, 0)
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)


@pytest.mark.parametrize("shift", [0, 1, 512])
@pytest.mark.parametrize("size", SIZES)
def test_what_is_written_is_the_beginning_of_it(file: int, size: int, shift: int) -> None:
    view = room(size, shift)
    view[:] = CONTENT[:size]
    flags = fcntl.fcntl(file, fcntl.F_GETFL)
    done = write_blocks(file, view)
    assert done % BLOCK == 0
    assert done <= size
    assert fcntl.fcntl(file, fcntl.F_GETFL) == flags
    os.write(file, view[done:])
    assert os.pread(file, size + 1, 0) == CONTENT[:size]


@pytest.mark.parametrize("shift", [0, 1, 512])
@pytest.mark.parametrize("offset", [0, 1, BLOCK, LEAST, len(CONTENT) - 5, len(CONTENT), len(CONTENT) + BLOCK])
@pytest.mark.parametrize("cached", [True, False, "half"])
def test_what_is_read(file: int, offset: int, shift: int, cached: bool | str) -> None:
    put_past_the_cache(file, CONTENT)
    if cached:
        os.pread(file, len(CONTENT) if cached is True else 3 * BLOCK, 0)
    for size in SIZES:
        view = room(size, shift)
        assert read_into(file, view, offset) == len(CONTENT[offset : offset + size])
        assert bytes(view) == CONTENT[offset : offset + size].ljust(size, b"\0")


def test_a_failure_is_told(file: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    put_past_the_cache(file, CONTENT)
    flags = fcntl.fcntl(file, fcntl.F_GETFL)
    monkeypatch.setattr(os, "preadv", failing)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        read_into(file, room(LEAST, 0), 0)
    assert fcntl.fcntl(file, fcntl.F_GETFL) == flags


def test_what_is_in_no_cache_is_read_past_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the kernel keeps nothing then is its own affair, and differs; what is asked of it does not."""
    path, size, piece = tmp_path / "file", 24 << 20, room(4 << 20, 0)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_DIRECT))
    except OSError:
        pytest.skip("this file system caches everything")
    real, past = os.preadv, []

    def noting(file: int, buffers: list[memoryview], offset: int, flags: int = 0) -> int:
        if flags & os.RWF_NOWAIT:
            raise BlockingIOError
        count = real(file, buffers, offset)
        past.append((count, bool(fcntl.fcntl(file, fcntl.F_GETFL) & os.O_DIRECT)))
        return count

    file = os.open(path, os.O_RDWR)
    try:
        content = random.Random(2).randbytes(size)
        put_past_the_cache(file, content)
        monkeypatch.setattr(os, "preadv", noting)
        for offset in range(0, size, len(piece)):
            assert read_into(file, piece, offset) == len(piece)
            assert piece == content[offset : offset + len(piece)]
        assert sum(count for count, direct in past if direct) == size
    finally:
        os.close(file)
