"""A writer that writes nothing: it says what a backup would add, chunk for chunk.

Rule: it hashes and looks up exactly as Writer does, and stores nothing, not even a lease.
"""

import threading
from collections.abc import Sequence
from itertools import pairwise

from .frame import NewFrame
from .ids import ChunkId, chunk_ids
from .index import Index


class DryWriter:
    """Counts what a Writer would store. Its memory grows with the new chunks (some 100 bytes each)."""

    def __init__(self, index: Index, id_key: bytes) -> None:
        self._index, self._id_key = index, id_key
        self._claimed: set[ChunkId] = set()
        self._lock = threading.Lock()
        self.new_chunks = self.new_bytes = self.known_chunks = 0

    def has(self, chunk: ChunkId) -> bool:
        """See Writer.has."""
        return chunk in self._index

    def store_run(self, buffer: memoryview, ends: Sequence[int], *, pages: bool = False) -> list[ChunkId]:
        """See Writer.store_run."""
        return self.choose(buffer, ends)[0]

    def write(self, frame: NewFrame) -> None:
        """See Writer.write. There is never a frame to write."""

    def choose(self, buffer: memoryview, ends: Sequence[int]) -> tuple[list[ChunkId], list[NewFrame]]:
        """See Writer.choose."""
        spans = list(pairwise((0, *ends)))
        ids = chunk_ids(buffer, spans, self._id_key)
        for chunk, (start, end) in zip(ids, spans, strict=True):
            with self._lock:
                if chunk in self._claimed or chunk in self._index:
                    self.known_chunks += 1
                else:
                    self._claimed.add(chunk)
                    self.new_chunks += 1
                    self.new_bytes += end - start
        return ids, []
