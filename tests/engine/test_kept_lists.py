"""Kept extent lists: a list counts when the store has all that it leads to, and goes on only while a row needs it."""

from collections.abc import Iterator
from typing import cast

import msgpack
import pytest

from siltstone.engine.entry import HEAD, Extent, extra, make_row, pack_extents
from siltstone.engine.kept_levels import KeptRows
from siltstone.engine.kept_lists import KeptLists
from siltstone.store import ChunkId, Corrupt, Writer

LISTS = {number: ChunkId(bytes([number]) * 32) for number in (1, 2)}
PARTS = {number: [ChunkId(bytes([10 * number + each]) * 32) for each in range(3)] for number in LISTS}


class There(set[ChunkId]):
    """What a store has."""

    def has(self, chunk: ChunkId) -> bool:
        return chunk in self


class Base:
    """Kept lists; `torn`: they cannot be read to their end."""

    torn = False

    def lists(self) -> Iterator[bytes]:
        for number, chunk in LISTS.items():
            yield msgpack.packb([chunk, pack_extents([Extent(part, 0, 9) for part in PARTS[number]])])
        if self.torn:
            raise Corrupt("kept", "torn")


def row(number: int) -> bytes:
    """A file whose extents stand in a list."""
    return make_row(b"/file", bytes(HEAD.size), pack_extents([Extent(LISTS[number], 0, 120)]), extra(indirect=True))


@pytest.fixture
def there() -> There:
    return There([*LISTS.values(), *PARTS[1], *PARTS[2]])


def kept(there: There, base: Base, blocks: list[bytes]) -> KeptLists:
    return KeptLists(cast("Writer", there), cast("KeptRows", base), blocks.append)


@pytest.mark.parametrize("lost", [*PARTS[1], LISTS[1]])
def test_each_chunk_is_looked_up(there: There, lost: ChunkId) -> None:
    there.discard(lost)
    lists = kept(there, Base(), [])
    assert [lists.is_stored(row(number)) for number in LISTS] == [False, True]


def test_what_rows_need_goes_on(there: There) -> None:
    blocks: list[bytes] = []
    lists = kept(there, Base(), blocks)
    lists.add([ChunkId(b"n" * 32)], memoryview(b"new list"), [8])
    assert lists.is_stored(row(2))
    lists.finish()
    assert [msgpack.unpackb(block)[0] for block in blocks] == [b"n" * 32, LISTS[2]]


def test_torn_lists_tell_what_they_can(there: There) -> None:
    base = Base()
    base.torn = True
    lists = kept(there, base, [])
    assert lists.is_stored(row(1))
    lists.finish()
