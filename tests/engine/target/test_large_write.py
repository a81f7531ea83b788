"""LargeWriter: whatever way its pieces take, they lie in the file as they were given."""

import errno
import itertools
import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from siltstone.engine import large_write
from siltstone.engine.large_write import LARGE, LEAST, LargeWriter, Ways
from tests.restoring import mounted

SIZE = 4 * LARGE + 1234
MIB = 1 << 20


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


def chosen(ways: Ways, past: float, through: float, writes: int) -> list[bool]:
    """Which of so many writes of a MiB go through the cache, where they take so many seconds either way."""
    taken = []
    for _ in range(writes):
        taken.append(ways.choose(MIB))
        ways.took(taken[-1], MIB, through if taken[-1] else past)
    return taken


def test_the_quicker_way_is_taken() -> None:
    ways = Ways(room=1 << 40)
    assert sum(chosen(ways, past=2.0, through=1.0, writes=300)) > 280
    assert sum(chosen(ways, past=1.0, through=5.0, writes=300)) < 20, "the other proved slow"
    assert sum(chosen(ways, past=5.0, through=1.0, writes=300)) > 150, "and is tried again"


def test_no_more_goes_through_the_cache_than_finds_room() -> None:
    assert sum(chosen(Ways(room=10 * MIB), past=2.0, through=1.0, writes=100)) == 10
    assert not any(chosen(Ways(room=0), past=2.0, through=1.0, writes=100))


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
