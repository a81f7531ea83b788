"""Bloom filters: both twins mark the same bits and let the same pass, and nothing that was marked is held back."""

import random
from collections.abc import Callable
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.store import ChunkId, filter_plain

Mark = Callable[[bytearray, bytes], None]
Passing = Callable[[bytes | bytearray, list[ChunkId]], list[ChunkId]]


class Twin(NamedTuple):
    mark: Mark
    passing: Passing


TWINS = [Twin(filter_plain.mark, filter_plain.passing)]
try:
    from siltstone.store import _filter

    TWINS.append(Twin(_filter.mark, _filter.passing))
except ImportError:
    pass

each_twin = pytest.mark.parametrize("twin", TWINS, ids=["plain", "compiled"][: len(TWINS)])
chunk_ids = st.binary(min_size=32, max_size=32).map(ChunkId)


def entries_of(chunks: list[ChunkId]) -> bytes:
    """As entries keep them: 24 bytes of an id, and a place."""
    return b"".join(chunk[:24] + b"in place" for chunk in chunks)


@given(st.lists(chunk_ids, max_size=40), st.lists(chunk_ids, max_size=40), st.integers(1, 60))
@settings(max_examples=200)
def test_the_twins_agree(marked: list[ChunkId], others: list[ChunkId], size: int) -> None:
    made = []
    for twin in TWINS:
        bits = bytearray(size)
        twin.mark(bits, entries_of(marked))
        passed = twin.passing(bits, marked + others)
        assert passed[: len(marked)] == marked
        made.append((bits, passed))
    assert all(each == made[0] for each in made)


@each_twin
def test_little_else_passes(twin: Twin) -> None:
    rng = random.Random(1)
    marked, others = ([ChunkId(rng.randbytes(32)) for _ in range(5000)] for _ in range(2))
    bits = bytearray(len(marked) * 10 // 8)
    twin.mark(bits, entries_of(marked))
    assert twin.passing(bytes(bits), marked) == marked
    assert len(twin.passing(bytes(bits), others)) < 0.03 * len(others)  # 1 in 85 by the formula


@each_twin
def test_what_cannot_be_asked(twin: Twin) -> None:
    some = ChunkId(bytes(32))
    with pytest.raises(ValueError, match="without bits"):
        twin.mark(bytearray(), entries_of([some]))
    with pytest.raises(ValueError, match="without bits"):
        twin.passing(b"", [some])
    with pytest.raises(ValueError, match="no whole entries"):
        twin.mark(bytearray(8), bytes(33))
    for wrong in (b"", some[:31], some + b"x"):
        with pytest.raises(ValueError, match="no chunk id"):
            twin.passing(b"\xff", [some, ChunkId(wrong)])
