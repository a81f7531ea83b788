"""The twins that judge and digest pages: by the definition, and the one as the other."""

import errno
import os
import random
import struct
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from siltstone.engine.postgres import pages_plain
from siltstone.engine.postgres.grid import DIGEST, PAGE
from siltstone.engine.postgres.page_digest import KEY_BYTES

compiled: ModuleType | None
try:
    from siltstone.engine.postgres import _pages as compiled
except ImportError:
    compiled = None

needs_both = pytest.mark.skipif(compiled is None, reason="the C module was not built")
each_twin = pytest.mark.parametrize("twin", [pages_plain, pytest.param(compiled, marks=needs_both)], ids=["plain", "C"])

LATEST = (1 << 64) - 1
RANDOM = random.Random(6)


def test_checksums_by_the_definition() -> None:
    pages = RANDOM.randbytes(3 * PAGE)
    for first in (0, 131071, (1 << 32) - 1):
        each = [defined_checksum(pages[at * PAGE : (at + 1) * PAGE], (first + at) % (1 << 32)) for at in range(3)]
        assert pages_plain.checksums(pages, first).tolist() == each


@each_twin
def test_pages_are_judged_by_the_definition(twin: ModuleType) -> None:
    """Sound, a sound one in another place, older and newer than the start, new, and new with something in it."""
    for first in (0, 131071, (1 << 32) - 7):
        pages = bytearray().join(made_page(first + at, lsn=100 + at) for at in range(7))
        pages[PAGE : 2 * PAGE], pages[2 * PAGE : 3 * PAGE] = pages[2 * PAGE : 3 * PAGE], pages[PAGE : 2 * PAGE]
        pages[4 * PAGE : 5 * PAGE] = bytes(PAGE)
        pages[5 * PAGE : 6 * PAGE] = bytes(PAGE - 1) + b"\1"
        for checksummed, verdicts in ((True, [0, 2, 1, 0, 3, 1, 0]), (False, [0, 0, 0, 0, 3, 1, 0])):
            out = bytearray(7)
            twin.judge(pages, first, 102, checksummed, out)
            assert list(out) == verdicts


@each_twin
def test_digests_by_the_definition(twin: ModuleType) -> None:
    pages, key = RANDOM.randbytes(40 * PAGE), RANDOM.randbytes(KEY_BYTES)
    out = bytearray(40 * 8)
    twin.digests(pages, key, out)
    each = [defined_digest(pages[at * PAGE : (at + 1) * PAGE], key) for at in (0, 1, 39)]
    assert np.frombuffer(out, "<u8")[[0, 1, 39]].tolist() == each


@each_twin
def test_they_take_what_lies_anywhere(twin: ModuleType) -> None:
    data = RANDOM.randbytes(4 * PAGE + 3)
    key = RANDOM.randbytes(KEY_BYTES)
    for pages in (memoryview(data)[3:], bytearray(data[3:]), data[3:]):
        verdicts, digests = bytearray(4), bytearray(4 * 8)
        twin.judge(pages, 7, LATEST, True, verdicts)
        twin.digests(pages, key, digests)
        assert verdicts == b"\1\1\1\1"
        assert int.from_bytes(digests[:8], "little") == defined_digest(data[3 : PAGE + 3], key)


@each_twin
@pytest.mark.parametrize("size", [0, PAGE - 1, PAGE, 40 * PAGE, 40 * PAGE + 5])
def test_digests_of_a_file(twin: ModuleType, tmp_path: Path, size: int) -> None:
    """Of as many pages as were asked for, or as it has whole ones; what lies behind them in the result stays."""
    data, key = RANDOM.randbytes(size), RANDOM.randbytes(KEY_BYTES)
    (tmp_path / "file").write_bytes(data)
    with (tmp_path / "file").open("rb") as file:
        for at in (0, PAGE, 3):
            for pages in (0, 1, 17, 60):
                out, there = bytearray(b"." * pages * DIGEST), max(0, min(pages, (size - at) // PAGE))
                assert twin.file_digests(file.fileno(), at, key, out) == there
                each = bytearray(there * DIGEST)
                twin.digests(data[at : at + there * PAGE], key, each)
                assert out == each + b"." * (pages - there) * DIGEST
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        twin.file_digests(-1, 0, key, bytearray(8))


@each_twin
def test_other_lengths_are_refused(twin: ModuleType) -> None:
    key = bytes(KEY_BYTES)
    with pytest.raises(ValueError):
        twin.judge(bytes(PAGE + 1), 0, 0, True, bytearray(1))
    with pytest.raises(ValueError):
        twin.judge(bytes(2 * PAGE), 0, 0, True, bytearray(1))
    with pytest.raises(ValueError):
        twin.digests(bytes(2 * PAGE), key, bytearray(8))
    with pytest.raises(ValueError):
        twin.digests(bytes(PAGE), key[:-4], bytearray(8))


@needs_both
def test_they_are_the_same() -> None:
    assert compiled is not None
    pages, key = bytearray(RANDOM.randbytes(100 * PAGE)), os.urandom(KEY_BYTES)
    for at in range(0, 100 * PAGE, 2 * PAGE):  # half of them have a head that makes sense, or nearly
        pages[at : at + PAGE] = made_page(12345 + at // PAGE, lsn=at)
        pages[at + RANDOM.randrange(24)] ^= RANDOM.randrange(2) << RANDOM.randrange(8)
    for name, extra in (("judge", (12345, 40 * PAGE, True)), ("digests", (key,))):
        one, other = (bytearray(100 if name == "judge" else 100 * DIGEST) for _ in range(2))
        getattr(compiled, name)(pages, *extra, one)
        getattr(pages_plain, name)(pages, *extra, other)
        assert one == other


def made_page(block: int, *, lsn: int) -> bytes:
    """A sound page with something random in it."""
    page = bytearray(struct.pack("<IIHHHHHHI", lsn >> 32, lsn & 0xFFFFFFFF, 0, 0, 24, 8000, 8192, 0x2004, 0))
    page += RANDOM.randbytes(PAGE - len(page))
    page[8:10] = defined_checksum(page, block % (1 << 32)).to_bytes(2, "little")
    return bytes(page)


def defined_checksum(page: bytes | bytearray, block: int) -> int:
    """checksum_impl.h, word by word."""
    words = [int.from_bytes(page[at : at + 4], "little") for at in range(0, PAGE, 4)]
    words[2] &= 0xFFFF0000
    sums = pages_plain._SEEDS.tolist()
    for row in [words[at : at + 32] for at in range(0, 2048, 32)] + [[0] * 32] * 2:
        mixed = [each ^ word for each, word in zip(sums, row, strict=True)]
        sums = [(each * 16777619 & 0xFFFFFFFF) ^ (each >> 17) for each in mixed]
    result = block
    for each in sums:
        result ^= each
    return int(result) % 65535 + 1


def defined_digest(page: bytes, key: bytes) -> int:
    """What the docstring of pages_plain says, in whole numbers."""
    words = np.frombuffer(page, "<u4").tolist()
    k, c = np.frombuffer(key, "<u4", 4096).tolist(), np.frombuffer(key, "<u8", 10, 16384).tolist()
    limbs = []
    for at in (0, 2048):
        pairs = range(1024)
        left = [(words[i] + k[at + i]) % (1 << 32) for i in pairs]
        right = [(words[i + 1024] + k[at + i + 1024]) % (1 << 32) for i in pairs]
        total = sum(a * b for a, b in zip(left, right, strict=True)) % (1 << 64)
        limbs += [total % (1 << 32), total >> 32]
    halves = [(f[0] + sum(a * b for a, b in zip(f[1:], limbs, strict=True))) % (1 << 64) >> 32 for f in (c[:5], c[5:])]
    return int(halves[0] << 32 | halves[1])
