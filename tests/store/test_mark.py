"""Marking while others write the index anew: the picture is that of one moment, and each segment is fetched once."""

from collections.abc import Iterator

import numpy

from siltstone.store import ChunkId, Marks, ObjectInfo, PackList, SegmentScan, judge
from siltstone.store.index import INDEX
from siltstone.store.mark import References

from .backends import MemoryBackend
from .indexes import KEY, fill, frame_ids, opened, pack
from .stores import names


class Counting(MemoryBackend):
    """Counts what is mapped."""

    views = 0

    def view(self, name: str) -> memoryview:
        self.views += 1
        return super().view(name)


class _MergedWhileListed(MemoryBackend):
    """Whoever lists the index for the first time is late for what is removed meanwhile, and early for what is new."""

    def __init__(self, inner: MemoryBackend) -> None:
        super().__init__()
        self.objects, self._first = inner.objects, True

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        if prefix == INDEX and self._first:
            self._first = False
            before = set(names(self, INDEX))
            opened(self).merge("session")
            yield from (info for info in list(super().list(prefix)) if info.name in before)
        else:
            yield from super().list(prefix)


def test_a_segment_that_was_missed_with_what_it_stands_for_is_found() -> None:
    inner = MemoryBackend()
    fill(inner, range(3))
    segments = SegmentScan(_MergedWhileListed(inner), KEY)
    segments.check()
    assert len(names(inner, INDEX)) == 1
    assert set(segments.named) == {pack(number) for number in range(3)}


def keys(ids: list[ChunkId]) -> "numpy.typing.NDArray[numpy.uint64]":
    return numpy.array([int.from_bytes(chunk[:8], "big") for chunk in ids], dtype=numpy.uint64)


def test_segments_that_are_merged_away_between_two_ranges() -> None:
    """What was counted is what is marked: with other numbers of frames, marks would be those of another pack."""
    backend = Counting()
    fill(backend, range(3))
    packs = PackList([(pack(number), 100) for number in range(3)])
    segments = SegmentScan(backend, KEY)
    segments.check()
    marks = Marks(packs, frozenset())

    def merge(done: int, total: int) -> None:
        if done == 1:
            other = opened(backend)
            other.add_pack(pack(0), [[], [], frame_ids(0)])
            other.flush("session")
            other.merge("session")
            assert len(names(backend, INDEX)) == 1
            backend.views = -1000

    with References(4) as references:
        references.add(keys(frame_ids(1)[:1]))
        references.spool()
        marks.take(segments, references, merge)
    assert backend.views == -1000
    assert (marks.unknown, marks.live.tolist(), marks.chunks.tolist()) == (0, [0, 1, 0], [20, 20, 20])
    assert judge(marks, frozenset()).dead == (0, 2)
