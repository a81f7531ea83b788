"""Cutting by content: sizes, what an edit moves, and that the twin in numpy cuts where the C kernel does."""

import math
import random
from itertools import pairwise

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from siltstone.engine import cut_plain
from siltstone.engine.cut import AVERAGE, COARSE_MAX, COARSE_MIN, MAX_CHUNK, MIN_CHUNK, Cutter
from siltstone.store.keyring import GEAR_SIZE

try:
    from siltstone.engine import _cut
except ImportError:  # there was no compiler
    TWINS = [cut_plain.ends]
else:
    TWINS = [_cut.ends, cut_plain.ends]

GEAR = random.Random(7).randbytes(GEAR_SIZE)
SIZES = 64, 256, 1024
MIB = 1 << 20


def random_bytes(size: int, seed: int = 1) -> memoryview:
    return memoryview(random.Random(seed).randbytes(size))


def by_its_words(data: bytes, gear: bytes, least: int, center: int, most: int) -> list[int]:
    """What the docstring of cut_plain.ends says, byte by byte."""
    numbers = [int.from_bytes(gear[at : at + 8], "little") for at in range(0, GEAR_SIZE, 8)]
    found: list[int] = []
    at = 0
    while at < len(data):
        length = min(most, len(data) - at)
        for place in range(least, length):
            window = data[at + place - 64 : at + place]
            value = sum(numbers[byte] << (63 - number) for number, byte in enumerate(window)) % (1 << 63)
            zeros = int(math.log2(2 * center if place < center else center // 2))
            if value < 1 << (63 - zeros):
                length = place
                break
        at += length
        found.append(at)
    return found


class TestPlaces:
    """Where it cuts."""

    def test_golden(self) -> None:
        ends = Cutter(GEAR).ends(random_bytes(8 * MIB), last=True)
        assert (
            blake3(repr(ends).encode()).hexdigest()
            == "c0ca108a298380d6bd439eb32d1d43478164ce35d42ee4829d867eb48f407d59"
        )

    @pytest.mark.parametrize("coarse", [False, True])
    def test_sizes(self, coarse: bool) -> None:
        least, most = (COARSE_MIN, COARSE_MAX) if coarse else (MIN_CHUNK, MAX_CHUNK)
        ends = Cutter(GEAR, coarse=coarse).ends(random_bytes(64 * MIB), last=True)
        lengths = [end - start for start, end in pairwise([0, *ends])]
        assert ends[-1] == 64 * MIB
        assert all(least <= length <= most for length in lengths[:-1])
        if not coarse:
            assert AVERAGE < sum(lengths) / len(lengths) < 1.5 * AVERAGE

    def test_an_insertion_moves_the_cuts_around_it_and_no_others(self) -> None:
        data = bytes(random_bytes(8 * MIB))
        before = set(Cutter(GEAR).ends(memoryview(data), last=True))
        place = 4 * MIB
        changed = data[:place] + b"something new" + data[place:]
        after = {end - 13 if end > place else end for end in Cutter(GEAR).ends(memoryview(changed), last=True)}
        assert len(before ^ after) <= 8

    def test_another_table_cuts_elsewhere(self) -> None:
        data = random_bytes(8 * MIB)
        one = Cutter(GEAR).ends(data, last=True)
        other = Cutter(random.Random(8).randbytes(GEAR_SIZE)).ends(data, last=True)
        assert len(set(one) & set(other)) < 3

    def test_what_may_go_on_has_no_last_chunk(self) -> None:
        data = random_bytes(MIB)
        assert Cutter(GEAR).ends(data, last=False) == Cutter(GEAR).ends(data, last=True)[:-1]
        assert Cutter(GEAR).ends(data[:100], last=False) == Cutter(GEAR).ends(data[:0], last=True) == []


class TestTwins:
    """The C kernel, the numpy one, and what is written of them."""

    @given(
        st.lists(st.tuples(st.binary(min_size=1, max_size=80), st.integers(1, 60)), max_size=40),
        st.sampled_from([SIZES, (64, 64, 64), (100, 300, 301), (64, 4096, 100_000)]),
    )
    def test_they_agree(self, parts: list[tuple[bytes, int]], sizes: tuple[int, int, int]) -> None:
        data = b"".join(part * count for part, count in parts)
        wanted = by_its_words(data, GEAR, *sizes)
        assert all(ends(memoryview(data), GEAR, *sizes) == wanted for ends in TWINS)

    @pytest.mark.parametrize(
        "sizes", [(MIN_CHUNK, AVERAGE, MAX_CHUNK), (64, 1 << 16, 1 << 20), (8000, 8100, 30_000)], ids=str
    )
    def test_they_agree_on_much(self, sizes: tuple[int, int, int]) -> None:
        data = random_bytes(3 * MIB + 77, seed=3)
        for size in (len(data), 2 * MIB, 100_001, 8192 + 64, 63):
            first, *others = [ends(data[:size], GEAR, *sizes) for ends in TWINS]
            assert all(other == first for other in others)

    @pytest.mark.skipif(len(TWINS) == 1, reason="there was no compiler")
    @pytest.mark.parametrize(
        ("gear", "sizes"),
        [(GEAR[1:], SIZES), (GEAR, (63, 256, 1024)), (GEAR, (64, 63, 1024)), (GEAR, (64, 256, 255))],
        ids=["table", "least", "center", "most"],
    )
    def test_the_kernel_refuses_what_it_would_read_past(self, gear: bytes, sizes: tuple[int, int, int]) -> None:
        with pytest.raises(ValueError, match="are needed"):
            TWINS[0](random_bytes(100), gear, *sizes)
