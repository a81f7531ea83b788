"""Which chunks a session is going to store: each once, and none that the store has, or that another has on its way.

Rule: a chunk counts as the session's own from the moment that it is chosen until its pack is durable, or until another
session has stored it. Whatever is left to others is noted in Reliance before it is let go here. For any thread.
"""

import threading
from collections.abc import Sequence

from .following import Following
from .frame import NewFrame
from .ids import ChunkId, PackName
from .index import Index
from .pack import FrameInfo
from .reliance import Reliance


class Claims:
    """Those of one session, and how many chunks and bytes were new. `len`: those that are not durable yet."""

    def __init__(self, index: Index, reliance: Reliance, following: Following) -> None:
        self._index, self._reliance, self._following = index, reliance, following
        self._claimed: dict[ChunkId, object] = {}
        self._lock = threading.Lock()
        self._packs = 0  # that became durable: what was unknown before may be known since, and no longer claimed
        self.new_chunks = self.new_bytes = self.known_chunks = 0

    def __len__(self) -> int:
        return len(self._claimed)

    def take(self, chunks: Sequence[ChunkId], lengths: Sequence[int]) -> list[bool]:
        """Of each of these chunks whether the caller is to store it: True for exactly one caller, when the store does
        not have it. It may wait for another session. What one publishes meanwhile may be stored here, too.
        """
        packs, following = self._packs, self._following
        unknown = self._index.unknown(chunk for chunk in chunks if chunk not in self._claimed)
        taken, alone = [], following.is_alone_here
        for chunk, length in zip(chunks, lengths, strict=True):
            if alone and chunk in unknown and packs == self._packs:
                taken.append(self._claim(chunk, length))
            else:
                taken.append(self._find_or_claim(chunk, length))
                alone = following.is_alone_here
        return taken

    def _find_or_claim(self, chunk: ChunkId, length: int) -> bool:
        if chunk in self._claimed:
            return False
        pack = self._pack_of(chunk)
        if pack is not None:
            self._reliance.packs.add(pack)
            if pack in self._reliance.learned:
                self._following.found(chunk, length)
            return False
        return self._claim(chunk, length)

    def _claim(self, chunk: ChunkId, length: int) -> bool:
        mine = object()
        if self._claimed.setdefault(chunk, mine) is not mine:
            return False
        self._following.chose(length)
        return True

    def count(self, ids: Sequence[ChunkId], frames: Sequence[NewFrame]) -> None:
        """Of these chunks those in the frames were taken, and the others are known."""
        fresh = sum(len(frame.ids) for frame in frames)
        with self._lock:
            self.new_chunks += fresh
            self.known_chunks += len(ids) - fresh
            self.new_bytes += sum(frame.size for frame in frames)

    def leave(self, frame: NewFrame) -> bool:
        """Whether others have stored all of a frame that was waiting for its turn; then it is left to them. One that
        has another chunk as well is to be stored, all of it. It may wait for another session.
        """
        if not self._following.behind:
            return False
        packs: set[PackName] = set()
        for chunk in frame.ids:
            pack = self._pack_of(chunk)
            if pack is None:
                return False
            packs.add(pack)
        self._reliance.packs.update(packs)
        for chunk in frame.ids:
            del self._claimed[chunk]
        with self._lock:
            self.new_chunks -= len(frame.ids)
            self.known_chunks += len(frame.ids)
            self.new_bytes -= frame.size
        return True

    def stored(self, frames: Sequence[FrameInfo]) -> None:
        """A pack with these frames is durable, and the index has it."""
        with self._lock:
            self._packs += 1
        for frame in frames:
            for chunk in frame.ids:
                self._claimed.pop(chunk, None)

    def _pack_of(self, chunk: ChunkId) -> PackName | None:
        return self._reliance.pack_of(chunk) or self._following.look_for(chunk)
