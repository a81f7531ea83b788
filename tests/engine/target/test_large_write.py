"""LargeWriter: whatever way its pieces take, they lie in the file as they were given."""

import itertools
import mmap
import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from siltstone.engine.large_write import LARGE, LEAST, LargeWriter
from siltstone.store import BLOCK

SIZE = 4 * LARGE + 1234


def in_memory_as_in_the_file(data: bytes, offset: int, shift: int) -> memoryview:
    """The data at an address that is as far from a block's border as the offset, and `shift` bytes."""
    start = (offset + shift) % BLOCK
    room = memoryview(mmap.mmap(-1, start + len(data) + 1))
    room[start : start + len(data)] = data
    return room[start : start + len(data)]


@pytest.fixture
def content() -> bytes:
    return random.Random(5).randbytes(SIZE)


@pytest.mark.parametrize("shift", [0, 1, 512], ids=["as in the file", "otherwise", "half way"])
@pytest.mark.parametrize("size", [SIZE, LARGE - 1], ids=["large", "small"])
def test_pieces_of_several_threads(tmp_path: Path, content: bytes, size: int, shift: int) -> None:
    content = content[:size]
    chance = random.Random(shift)
    cuts = sorted({0, size, *(chance.randrange(size) for _ in range(12)), LEAST * 2, BLOCK * 9})
    spans = list(itertools.pairwise(cuts))
    chance.shuffle(spans)
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, size)
    writer = LargeWriter(fd, size)

    def write(span: tuple[int, int]) -> None:
        start, end = span
        writer.write(in_memory_as_in_the_file(content[start:end], start, shift), start)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, spans))
    writer.close()
    os.close(fd)
    assert (tmp_path / "file").read_bytes() == content


def test_what_nobody_writes_stays_a_hole(tmp_path: Path, content: bytes) -> None:
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, 64 << 20)
    writer = LargeWriter(fd, 64 << 20)
    for offset in (100, (32 << 20) + 77):
        writer.write(in_memory_as_in_the_file(content[: 300 << 10], offset, 0), offset)
    writer.close()
    assert os.fstat(fd).st_blocks * 512 < 8 << 20
    assert os.pread(fd, 300 << 10, (32 << 20) + 77) == content[: 300 << 10]
    os.close(fd)


def test_its_descriptors_are_closed(tmp_path: Path, content: bytes) -> None:
    before = len(os.listdir("/proc/self/fd"))
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, SIZE)
    writer = LargeWriter(fd, SIZE)
    for offset in (0, LARGE):
        writer.write(in_memory_as_in_the_file(content[:LARGE], offset, 0), offset)
    writer.close()
    os.close(fd)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_full_disk_is_raised() -> None:
    """Whatever way the bytes take."""
    fd = os.open("/dev/full", os.O_RDWR)
    writer = LargeWriter(fd, LARGE)
    with pytest.raises(OSError, match="No space left"):
        writer.write(memoryview(bytes(LARGE)), 0)
    writer.close()
    os.close(fd)
