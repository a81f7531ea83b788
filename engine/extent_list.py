"""The extents of one content while it is read, kept in bounded memory however long the content is.

Rule: up to DIRECT extents stand in the entry's row. Of a longer content the packed extents are themselves stored as
chunks, cut by chunk ids so that a change in a huge file rewrites only the part of the list around it; the row then
holds the extents of the list ("indirect").
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from siltstone.store import ChunkId

from .entry import EXTENT

DIRECT = 1024
_PART_MIN, _PART_MAX = 256, 4096  # extents in one chunk of the list; about 1000 on average


OnList: TypeAlias = Callable[[Sequence[ChunkId], memoryview, Sequence[int]], None]


class _Sink(Protocol):
    def store_run(self, buffer: memoryview, ends: list[int]) -> list[ChunkId]: ...


class ExtentList:
    """Takes packed extents in order. `on_list` is told of the chunks of the list: ids, and what ends where in them."""

    def __init__(self, sink: _Sink, on_list: OnList | None = None) -> None:
        self._sink, self._on_list = sink, on_list
        self._tail = bytearray()
        self._parts: list[bytes] = []

    def add(self, packed: bytes) -> None:
        """The next extents."""
        self._tail += packed
        if len(self._tail) > 2 * _PART_MAX * EXTENT.size:
            self._spill(last=False)

    def finish(self) -> tuple[bytes, bool]:
        """(packed extents for the row, whether they are of the list)."""
        if not self._parts and len(self._tail) <= DIRECT * EXTENT.size:
            return bytes(self._tail), False
        self._spill(last=True)
        return b"".join(self._parts), True

    def _spill(self, *, last: bool) -> None:
        ends = _ends(self._tail, last=last)
        if not ends:
            return
        packed = memoryview(bytes(self._tail))
        ids = self._sink.store_run(packed, ends)
        if self._on_list is not None:
            self._on_list(ids, packed, ends)
        for chunk, start, end in zip(ids, [0, *ends], ends, strict=False):
            self._parts.append(EXTENT.pack(chunk, 0, end - start))
        del self._tail[: ends[-1]]


def _ends(packed: bytes | bytearray, *, last: bool) -> list[int]:
    """Where to cut packed extents: where a chunk id says so."""
    ends, start = [], 0
    for at in range(0, len(packed), EXTENT.size):
        count = (at - start) // EXTENT.size + 1
        if count >= _PART_MAX or (
            count >= _PART_MIN and int.from_bytes(packed[at + 30 : at + 32], "little") % 768 == 0
        ):
            start = at + EXTENT.size
            ends.append(start)
    if last and start < len(packed):
        ends.append(len(packed))
    return ends
