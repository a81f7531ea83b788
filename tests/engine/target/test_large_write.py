"""LargeWriter: whatever way its pieces take, they lie in the file as they were given."""

import errno
import itertools
import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from siltstone.engine import large_write
from siltstone.engine.large_write import LARGE, LEAST, LargeWriter
from tests.restoring import mounted

SIZE = 4 * LARGE + 1234


@pytest.fixture
def content() -> bytes:
    return random.Random(5).randbytes(SIZE)


@pytest.mark.parametrize("size", [SIZE, LARGE - 1], ids=["large", "small"])
@pytest.mark.parametrize("known", [True, False], ids=["as here", "a file system without the wish"])
@pytest.mark.parametrize("reserved", [True, False], ids=["reserved", "as it comes"])
def test_pieces_of_several_threads(
    tmp_path: Path, content: bytes, size: int, known: bool, reserved: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not known:
        monkeypatch.setattr(large_write, "_DONT_CACHE", 1 << 30)  # a flag that no kernel knows
    monkeypatch.setattr(large_write, "_reserves", lambda _device: reserved)
    content = content[:size]
    chance = random.Random(size)
    cuts = sorted({0, size, *(chance.randrange(size) for _ in range(12)), LEAST - 1, LEAST * 2})
    spans = list(itertools.pairwise(cuts))
    chance.shuffle(spans)
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, size)
    writer = LargeWriter(fd, size)
    writer.reserve(0, size)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda span: writer.write(memoryview(content)[slice(*span)], span[0]), spans))
    os.close(fd)
    assert (tmp_path / "file").read_bytes() == content


def test_what_nobody_writes_stays_a_hole(tmp_path: Path, content: bytes) -> None:
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, 64 << 20)
    writer = LargeWriter(fd, 64 << 20)
    for offset in (100, (32 << 20) + 77):
        writer.reserve(offset, offset + (300 << 10))
        writer.write(memoryview(content)[: 300 << 10], offset)
    assert os.fstat(fd).st_blocks * 512 < 8 << 20
    assert os.pread(fd, 300 << 10, (32 << 20) + 77) == content[: 300 << 10]
    os.close(fd)


def test_a_full_disk_is_raised() -> None:
    fd = os.open("/dev/full", os.O_RDWR)
    with pytest.raises(OSError, match="No space left") as raised:
        LargeWriter(fd, LARGE).write(memoryview(bytes(LARGE)), 0)
    assert raised.value.errno == errno.ENOSPC
    os.close(fd)


def test_room_that_is_not_there_is_missed_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(large_write, "_reserves", lambda _device: True)
    with mounted(tmp_path / "small", "2m") as small, open(small / "file", "wb") as file:
        writer = LargeWriter(file.fileno(), SIZE)
        with pytest.raises(OSError, match="No space left"):
            writer.reserve(0, SIZE)
