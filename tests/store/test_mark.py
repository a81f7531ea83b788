"""Marking while others write the index anew: what was not counted is left alone, and nothing that is live is missed."""

import numpy
import pytest

from siltstone.store import ChunkId, Marks, PackList, PackName, SegmentScan, judge
from siltstone.store.index import INDEX
from siltstone.store.mark import References

from .backends import MemoryBackend
from .indexes import KEY, frame_ids, opened, pack
from .stores import names

LIVE = ChunkId(b"\xff" * 32)  # in the last range of keys
PACKS = [pack(1), pack(2)]


def write_index(backend: MemoryBackend, more_in: PackName | None = None) -> None:
    """One segment that names both packs, in place of what is there; of one pack with a second frame that holds LIVE."""
    before = names(backend, INDEX)
    index = opened(MemoryBackend())
    for number, each in enumerate(PACKS):
        index.add_pack(each, [frame_ids(number), *([[LIVE]] if each == more_in else [])])
    index._backend = backend
    index.flush("session")
    for name in before:
        backend.delete(name)


@pytest.mark.parametrize("grown", PACKS, ids=["with another pack behind it", "the last one"])
def test_a_pack_of_which_more_turns_up_is_left_alone(grown: PackName) -> None:
    """The segment that was counted knew a part of the pack, and is merged away before the last range is marked."""
    backend = MemoryBackend()
    write_index(backend)
    packs = PackList([(name, 100) for name in PACKS])
    segments = SegmentScan(backend, KEY)
    segments.check()
    marks = Marks(packs, frozenset())
    with References(2) as references:
        references.add(numpy.array([int.from_bytes(LIVE[:8], "big")], dtype=numpy.uint64))
        references.spool()
        marks.take(segments, references, lambda done, total: write_index(backend, grown) if done < total else None)
    assert marks.unknown == 0
    verdict = judge(marks, frozenset())
    assert [packs.names[number] for number in verdict.dead] == [name for name in PACKS if name != grown]
    assert verdict.repacked == ()
