"""What a process knows of chunks that no segment has yet: every place of each, until a segment is written.

Rule: a pack comes in whole and stays whole. A chunk that lies in two packs keeps both places, here as in a segment:
whoever drops one of the packs later must not take with it what the other one holds. Safe between threads.
"""

import threading
from collections.abc import Collection, Iterable, Sequence
from itertools import repeat

from .ids import ChunkId, PackName, Place

Entry = tuple[ChunkId, PackName, int, int]


class RecentEntries:
    """Places of chunks, in memory. `len` is the number of places."""

    def __init__(self) -> None:
        self._first: dict[ChunkId, tuple[PackName, int, int]] = {}
        self._others: dict[ChunkId, list[tuple[PackName, int, int]]] = {}  # of those that lie in several packs: few
        self._packs: set[PackName] = set()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._first) + sum(map(len, self._others.values()))

    def add(self, pack: PackName, frames: Iterable[Sequence[ChunkId]]) -> None:
        """All chunks of a durable pack, given frame by frame."""
        places: dict[ChunkId, tuple[PackName, int, int]] = {}
        for number, ids in enumerate(frames):
            places.update(zip(ids, zip(repeat(pack), repeat(number), range(len(ids))), strict=False))
        with self._lock:
            if pack in self._packs:
                return
            for chunk in self._first.keys() & places.keys():
                self._others.setdefault(chunk, []).append(self._first[chunk])
            self._first.update(places)
            self._packs.add(pack)

    def places(self, chunk: ChunkId) -> list[Place]:
        """Where a chunk lies, as far as it is known here."""
        first = self._first.get(chunk)
        if first is None:
            return []
        return [Place(*first), *(Place(*other) for other in self._others.get(chunk, ()))]

    def unknown(self, chunks: Iterable[ChunkId]) -> list[ChunkId]:
        """Those of these chunks that are not here."""
        first = self._first
        return [chunk for chunk in chunks if chunk not in first]

    def packs(self) -> set[PackName]:
        """The packs that are here."""
        with self._lock:
            return set(self._packs)

    def entries(self) -> tuple[list[Entry], set[PackName]]:
        """All of it: entries in any order, and the packs that they name."""
        with self._lock:
            others = [(chunk, *place) for chunk, places in self._others.items() for place in places]
            return [*((chunk, *place) for chunk, place in self._first.items()), *others], set(self._packs)

    def forget(self, packs: Collection[PackName]) -> None:
        """A segment names these packs now."""
        with self._lock:
            self._packs.difference_update(packs)
            self._others = _without(self._others, packs)
            for chunk in [chunk for chunk, place in self._first.items() if place[0] in packs]:
                kept = self._others.pop(chunk, None)
                if kept:
                    self._first[chunk], rest = kept[0], kept[1:]
                    if rest:
                        self._others[chunk] = rest
                else:
                    del self._first[chunk]


def _without(
    places: dict[ChunkId, list[tuple[PackName, int, int]]], packs: Collection[PackName]
) -> dict[ChunkId, list[tuple[PackName, int, int]]]:
    kept = {chunk: [place for place in each if place[0] not in packs] for chunk, each in places.items()}
    return {chunk: each for chunk, each in kept.items() if each}
