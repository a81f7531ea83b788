"""From the stream to segments: any pieces make the same, gaps are refused, and buffers live."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siltstone.engine.postgres.errors import Malformed
from siltstone.engine.postgres.segment_assembler import SegmentAssembler
from siltstone.engine.postgres.wal_names import WalSegment

SIZE = 1 << 20
WAL = random.Random(1).randbytes(3 * SIZE + 12345)


@given(st.lists(st.integers(1, 2 * SIZE), max_size=30))
def test_any_pieces_make_the_same(lengths: list[int]) -> None:
    assembler = SegmentAssembler(SIZE)
    assembler.begin(2, 5 * SIZE)
    at, segments = 0, []
    for length in [*lengths, len(WAL)]:
        for full in assembler.write(5 * SIZE + at, memoryview(WAL)[at : at + length]):
            segments.append((full.segment, bytes(full.data)))
            assembler.release(full)
        at = min(at + length, len(WAL))
        part = assembler.open_part
        assert (bytes(part.data) if part else b"") == WAL[at // SIZE * SIZE : at]
        assert assembler.position == (2, 5 * SIZE + at)
    assert segments == [(WalSegment(2, 5 + n), WAL[n * SIZE : (n + 1) * SIZE]) for n in range(3)]
    assert assembler.open_part is not None
    assert assembler.open_part.segment == WalSegment(2, 8)


def test_a_gap_is_refused() -> None:
    assembler = SegmentAssembler(SIZE)
    assembler.begin(1, SIZE)
    assembler.write(SIZE, memoryview(WAL)[:100])
    for lsn in (SIZE, SIZE + 99, SIZE + 101):
        with pytest.raises(Malformed, match="and 0/100064 was to follow"):
            assembler.write(lsn, memoryview(b"x"))


def test_starting_over_forgets_the_open_part() -> None:
    assembler = SegmentAssembler(SIZE)
    parts = []
    for timeline, data in ((1, WAL[:100]), (2, WAL[200:210])):
        assembler.begin(timeline, SIZE)
        parts.append(assembler.open_part)
        assembler.write(SIZE, memoryview(data))
        part = assembler.open_part
        assert part is not None
        assert part.data == data
    assert parts == [None, None]


def test_there_is_room_while_buffers_come_back() -> None:
    assembler = SegmentAssembler(SIZE, buffers=2)
    assembler.begin(1, 0)
    rooms = [assembler.room]
    (first,) = assembler.write(0, memoryview(WAL)[:SIZE])
    rooms.append(assembler.room)
    assembler.write(SIZE, memoryview(WAL)[:1000])
    rooms.append(assembler.room)
    assembler.write(SIZE + 1000, memoryview(WAL)[1000 : SIZE - 1000])
    rooms.append(assembler.room)
    assembler.release(first)
    rooms.append(assembler.room)
    assert rooms == [True, True, True, False, True], "a message near the border may need the next buffer"


def test_what_was_handed_on_is_not_written_to() -> None:
    assembler = SegmentAssembler(SIZE, buffers=2)
    assembler.begin(1, 0)
    kept = [full for n in range(3) for full in assembler.write(n * SIZE, memoryview(WAL)[n * SIZE : (n + 1) * SIZE])]
    assert [bytes(full.data) for full in kept] == [WAL[n * SIZE : (n + 1) * SIZE] for n in range(3)]
    with pytest.raises(TypeError, match="read-only"):
        kept[0].data[0] = 1
