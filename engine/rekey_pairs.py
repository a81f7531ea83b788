"""A manifest that is in both of two stores with different keys: which chunk here is which chunk there.

Rule: rows of the one and of the other are the same but for ids, so their extents pair up. Only those parts are read
that lie around what is asked for. What does not pair up is passed over: its chunks are then read and stored, which is
always right.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

from siltstone.store import ChunkId, Corrupt, ObjectMissing, Store

from .entry import order_key, parse_row, rows
from .manifest import IndexItem


class PairedManifest:
    """Items of the same manifest in the source and in the target, in path order."""

    def __init__(self, source: Store, target: Store, theirs: Sequence[IndexItem], ours: Sequence[IndexItem]) -> None:
        self._source, self._target, self._theirs, self._ours = source, target, theirs, ours
        self._firsts = [order_key(first) for *_, first in theirs]

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """(id in the source, id in the target) of each manifest chunk."""
        return ((old[0], new[0]) for old, new in zip(self._theirs, self._ours, strict=True))

    def chunks(self, first: bytes, after: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        """The same of chunks of contents: of the entries from a path on and before another one, or to the end."""
        start = max(0, bisect_right(self._firsts, order_key(first)) - 1)
        stop = len(self._firsts) if after is None else bisect_left(self._firsts, order_key(after))
        for at in range(start, stop):
            try:
                old = self._source.read_chunk(ChunkId(self._theirs[at][0]))
                new = self._target.read_chunk(ChunkId(self._ours[at][0]))
            except (Corrupt, ObjectMissing):
                continue
            for one, other in zip(rows(old), rows(new), strict=False):
                yield from _of_row(one, other)


def _of_row(old: bytes, new: bytes) -> Iterator[tuple[bytes, bytes]]:
    one, other = parse_row(old), parse_row(new)
    if one.path != other.path or one.indirect or other.indirect or len(one.extents) != len(other.extents):
        return
    for theirs, ours in zip(one.extents, other.extents, strict=True):
        if theirs.id is not None and ours.id is not None and theirs[1:] == ours[1:]:
            yield theirs.id, ours.id
