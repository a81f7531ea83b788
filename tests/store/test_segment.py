"""Index segments: each entry is found where it was put, none is invented, and damage is noticed."""

import bisect
import os
import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.store import ChunkId, Corrupt, PackName, Place
from siltstone.store.segment import (
    BLOCK_ENTRIES,
    KEY_SIZE,
    Segment,
    blocks_of,
    encode_segment,
    entry,
    join_segment,
    rows_in_block,
)

KEY, NAME = b"x" * 32, "index/name"
HEAD = 68  # bytes before the first block
PACKS = [PackName(bytes([number] * 32).hex()) for number in range(4)]


def encode(
    rows: Iterable[bytes], key: bytes = KEY, packs: list[PackName] = PACKS, replaces: Iterable[str] = ()
) -> bytes:
    listed = sorted(rows)
    return b"".join(join_segment(encode_segment(blocks_of(listed), len(listed), packs, list(replaces), "session", key)))


def open_segment(data: bytes, key: bytes = KEY) -> Segment:
    return Segment(NAME, memoryview(data), key)


def find(segment: Segment, chunk: ChunkId) -> Place | None:
    """As Index does it, without its cache."""
    for number in range(segment.block_of(chunk), -1, -1):
        for row in rows_in_block(segment.block(number), chunk):
            return segment.place(row)
    return None


def ids(count: int, seed: int = 0) -> list[ChunkId]:
    rng = random.Random(seed)
    return [ChunkId(rng.randbytes(32)) for _ in range(count)]


def rows_of(chunks: Iterable[ChunkId]) -> dict[ChunkId, bytes]:
    """Entries at places that tell them apart."""
    return {chunk: entry(chunk, number % 4, number // 4 % 65536, number % 65536) for number, chunk in enumerate(chunks)}


@pytest.mark.parametrize("key", [b"", KEY])
@pytest.mark.parametrize("count", [1, 2, BLOCK_ENTRIES - 1, BLOCK_ENTRIES, BLOCK_ENTRIES + 1, 3 * BLOCK_ENTRIES, 1000])
def test_every_entry_is_found_and_no_other(count: int, key: bytes) -> None:
    rows = rows_of(ids(count))
    segment = open_segment(encode(rows.values(), key), key)
    assert segment.entries == count
    for number, chunk in enumerate(rows):
        assert segment.passing([chunk]) == [chunk]
        assert find(segment, chunk) == Place(PACKS[number % 4], number // 4, number)
    assert all(find(segment, chunk) is None for chunk in ids(200, seed=1))
    assert list(segment.rows()) == sorted(rows.values())
    assert list(segment.packs()) == PACKS


def test_what_it_says_of_itself() -> None:
    segment = open_segment(encode([], replaces=["index/a", "index/b"]))
    assert segment.head.replaces == {"index/a", "index/b"}
    assert segment.head.session == "session"
    assert segment.entries == segment.block_count == 0
    assert segment.block_of(ids(1)[0]) == -1


def test_the_largest_numbers_fit() -> None:
    (chunk,) = ids(1)
    many = [PackName(f"{number:064x}") for number in range(70_000)]
    segment = open_segment(encode([entry(chunk, 69_999, 65_535, 65_535)], packs=many))
    assert find(segment, chunk) == Place(many[-1], 65_535, 65_535)


def test_a_chunk_that_was_stored_twice_keeps_both_places() -> None:
    """Else the removal of the one pack would take the chunk with it, though another pack that is named has it."""
    chunks = ids(300)
    rows = rows_of(chunks)
    both = [*rows.values(), *(entry(chunk, 3, 9, 9) for chunk in chunks), *rows.values()]
    segment = open_segment(encode(both))
    assert segment.entries == 600
    for number, chunk in enumerate(chunks):
        block = b"".join(segment.block(n) for n in range(segment.block_count))
        places = [segment.place(row) for row in rows_in_block(block, chunk)]
        assert set(places) == {Place(PACKS[number % 4], number // 4, number), Place(PACKS[3], 9, 9)}


@pytest.mark.parametrize("alike", [2, 200, 400])
def test_ids_that_begin_alike_are_found_across_blocks(alike: int) -> None:
    """64 bits of a keyed hash do not collide by themselves; if they ever do, it is no loss."""
    same = [ChunkId(b"\x80" * 8 + chunk[8:]) for chunk in ids(alike)]
    rows = rows_of(
        [*same, *(ChunkId(b"\x00" + chunk[1:]) for chunk in ids(BLOCK_ENTRIES - 1, seed=1)), *ids(90, seed=2)]
    )
    segment = open_segment(encode(rows.values()))
    for number, chunk in enumerate(rows):
        assert find(segment, chunk) == Place(PACKS[number % 4], number // 4, number)
    assert find(segment, ChunkId(b"\x80" * 8 + bytes(24))) is None


def test_an_id_that_is_found_askew_is_not_taken() -> None:
    """Its 24 bytes may stand in a block across two entries."""
    first, second = ChunkId(b"ab" * 16), ChunkId(b"b" * 32)
    block = entry(first, 0x61626162, 0x6162, 0x6162) + entry(second, 0, 0, 0)
    for shift in range(1, 32):
        askew = ChunkId(block[shift : shift + KEY_SIZE] + bytes(8))
        assert all(found[:KEY_SIZE] == askew[:KEY_SIZE] for found in rows_in_block(block, askew))
    assert rows_in_block(block, second) == [block[32:]]


def test_the_filter_misses_nothing_and_passes_little() -> None:
    rng = random.Random(5)
    chunks = [ChunkId(rng.randbytes(32)) for _ in range(30_000)]
    segment = open_segment(encode(entry(chunk, 0, 0, 0) for chunk in chunks))
    assert segment.passing(chunks) == chunks
    strangers = 20_000
    passed = len(segment.passing([ChunkId(rng.randbytes(32)) for _ in range(strangers)]))
    assert 0.005 * strangers < passed < 0.02 * strangers  # 1 in 85 by the formula


def test_without_its_filter_everything_may_be_there() -> None:
    segment = open_segment(encode(rows_of(ids(1000)).values()))
    strangers = ids(1000, seed=1)
    assert len(segment.passing(strangers)) < 50
    segment.drop_filter()
    assert segment.passing(strangers) == strangers


@pytest.mark.parametrize("key", [b"", KEY])
def test_no_changed_bit_gives_a_wrong_place(key: bytes) -> None:
    """Every bit around the blocks, and some in them."""
    rows = rows_of(ids(BLOCK_ENTRIES + 20))
    whole = encode(rows.values(), key)
    right = {chunk: find(open_segment(whole, key), chunk) for chunk in rows}
    blocks = range(HEAD, HEAD + len(rows) * 32 + 32)
    for at in range(len(whole)):
        if at in blocks and at % 97:
            continue
        changed = bytearray(whole)
        changed[at] ^= 1 << at % 8
        try:
            segment = open_segment(bytes(changed), key)
            assert [list(segment.packs()), segment.entries] == [PACKS, len(rows)]
            found = {chunk: find(segment, chunk) for chunk in list(rows)[:5]}
        except Corrupt:
            continue
        assert found.items() <= right.items()


@pytest.mark.parametrize("key", [b"", KEY])
@settings(max_examples=60)
@given(cut=st.integers(0, 10**6))
def test_a_truncated_segment_does_not_open(key: bytes, cut: int) -> None:
    whole = encode(rows_of(ids(BLOCK_ENTRIES + 20)).values(), key)
    with pytest.raises(Corrupt):
        open_segment(whole[: cut % len(whole)], key)
    with pytest.raises(Corrupt):
        open_segment(whole + b"x", key)


@pytest.mark.parametrize("other", [b"", b"y" * 32])
def test_a_segment_of_another_store_does_not_open(other: bytes) -> None:
    with pytest.raises(Corrupt, match="not of this store"):
        open_segment(encode(rows_of(ids(10)).values()), other)


def test_blocks_do_not_change_places() -> None:
    whole = bytearray(encode(rows_of(ids(2 * BLOCK_ENTRIES)).values()))
    size = BLOCK_ENTRIES * 32 + 16
    one, two = whole[HEAD : HEAD + size], whole[HEAD + size : HEAD + 2 * size]
    whole[HEAD : HEAD + 2 * size] = two + one
    segment = open_segment(bytes(whole))
    for number in range(2):
        with pytest.raises(Corrupt, match=f"block {number}"):
            segment.block(number)


def test_each_segment_has_a_key_of_its_own() -> None:
    rows = rows_of(ids(10))
    assert encode(rows.values())[-200:] != encode(rows.values())[-200:]


@settings(max_examples=50)
@given(st.sets(st.integers(0, 400), max_size=300), st.integers(1, 7))
def test_block_of_is_the_last_that_begins_before(numbers: set[int], spread: int) -> None:
    keys = sorted(number * spread for number in numbers)
    chunks = [ChunkId(key.to_bytes(8, "big") + os.urandom(24)) for key in keys]
    segment = open_segment(encode(rows_of(chunks).values()))
    starts = keys[::BLOCK_ENTRIES]
    for sought in range(0, 400 * spread, 13):
        expected = bisect.bisect_right(starts, sought) - 1
        assert segment.block_of(ChunkId(sought.to_bytes(8, "big") + bytes(24))) == expected
