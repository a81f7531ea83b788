"""Stretches of an object out of the pieces in which a backend brings it."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.store import BLOCK, ObjectMissing
from siltstone.store.workspace import Workspace

from .backends import MemoryBackend

CONTENT = bytes(number * 7 % 251 for number in range(40_000))
BORDERS = st.lists(st.integers(0, len(CONTENT) + 5000), min_size=2, max_size=12, unique=True).map(sorted)


class Far(MemoryBackend):
    """Brings an object in pieces of these sizes, again and again."""

    def __init__(self, sizes: list[int]) -> None:
        super().__init__()
        self.objects = {"x": CONTENT}
        self.sizes = sizes
        self.asked: list[tuple[int, int]] = []
        self.brought = 0

    def read(self, name: str, offset: int, room: memoryview) -> Iterator[memoryview]:
        self.asked.append((offset, len(room)))
        content = self.get(name, offset, len(room))
        turn = 0
        while content:
            size = self.sizes[turn % len(self.sizes)]
            self.brought += size
            yield memoryview(content[:size])
            content, turn = content[size:], turn + 1


@given(sizes=st.lists(st.integers(1, 9000), min_size=1, max_size=4), borders=BORDERS, gaps=st.booleans())
@settings(max_examples=200)
def test_stretches_are_what_lies_there(sizes: list[int], borders: list[int], gaps: bool) -> None:
    spans = list(pairwise(borders))[:: 2 if gaps else 1]
    here = MemoryBackend()
    here.objects = {"x": CONTENT}
    far = Far(sizes)
    for backend in (here, far):
        read = [bytes(each) for each in Workspace(backend, bytes(32)).spans("x", spans)]
        assert read == [CONTENT[start:stop] for start, stop in spans]
    ((offset, size),) = far.asked
    assert offset % BLOCK == size % BLOCK == 0
    assert offset <= spans[0][0] < offset + BLOCK
    assert offset + size - BLOCK < spans[-1][1] <= offset + size


def test_a_stretch_is_there_before_the_rest_has_come() -> None:
    far = Far([1000])
    begun = Workspace(far, bytes(32)).spans("x", [(10, 20), (500, 2500), (30_000, 30_001)])
    assert [bytes(next(begun)), bytes(next(begun)), far.brought] == [CONTENT[10:20], CONTENT[500:2500], 3000]


def test_what_is_not_there_is_missing() -> None:
    with pytest.raises(ObjectMissing):
        Workspace(MemoryBackend(), bytes(32)).read("x", 0, 9)
