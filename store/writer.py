"""The writing session: hash, deduplicate, gather into frames, compress, hand to the packer; and the commit.

Rule, and the order of everything here: packs are durable before an index segment names them, the index before the
root. A crash at any point leaves unreferenced objects that the next session adopts. `store_run` may be called by many
threads; each does its own hashing and compressing, which release the interpreter lock.
"""

import threading
from collections.abc import Collection, Sequence
from types import TracebackType
from typing import Self

from .errors import StoreError
from .frame import Compressor, NewFrame
from .ids import ChunkId, PackName, chunk_id
from .index import Index
from .lease import HeldLease, leases
from .opening import OpenStore
from .pack import Footer, FrameInfo
from .packer import Packer
from .reader import PackReader
from .root import seal_root
from .seal import sealer_for

# Entries held in memory before they go into a segment: some 20 MiB here, and at most so many chunks to find again from
# footers after a crash.
SEGMENT_ENTRIES = 100_000


class Writer:
    """A session that adds to a store. A context manager: leaving it without `commit` keeps what is durable."""

    def __init__(self, store: OpenStore, reader: PackReader, index: Index, compression: str | None = None) -> None:
        self._store, self._reader, self._index = store, reader, index
        self._key = store.ring.new_session()
        self._id_key = store.ring.id_key
        self._compressor = Compressor(compression or store.config.compression)
        self._session = self._key.session_id.hex()
        self._claimed: dict[ChunkId, object] = {}
        self._lock = threading.Lock()
        self._sealer = sealer_for(self._key.data_key)
        self.new_chunks = self.new_bytes = self.known_chunks = 0

    def __enter__(self) -> Self:
        lease_key = self._store.ring.derive("lease") if self._store.config.encrypted else b""
        others = leases(self._store.backend, lease_key)
        self._lease = HeldLease(self._store.backend, self._session, lease_key)
        try:
            self._adopt()
            for lease in others:
                if lease.dead:
                    self._forget(lease.name)
            self._packer = Packer(self._store.backend, self._key, self._sealer, self._on_durable)
        except BaseException:
            self._lease.end()
            raise
        return self

    def _adopt(self) -> None:
        """Know of every pack, and of those that are gone: what a crash left is reused, what was lost stored again."""
        damaged: set[str] | None = None
        while damaged != self._index.damaged.keys():  # again, where another segment proved damaged on the way
            damaged = set(self._index.damaged)
            for _ in self._reader.adopt_unindexed(self._index):
                if self._index.recent >= SEGMENT_ENTRIES:
                    self._index.flush(self._session)
            self._index.flush(self._session)
        if damaged and self._index.all_named:
            self._index.forget_damaged(damaged)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        kept = False
        try:
            kept = self._keep_what_is_durable()
        finally:
            self._lease.end(keep=not kept)

    @property
    def stored_bytes(self) -> int:
        """Bytes of packs made durable so far."""
        return self._packer.stored_bytes

    @property
    def packs(self) -> int:
        """How many packs were made durable so far."""
        return self._packer.packs

    def store_run(self, buffer: memoryview, ends: Sequence[int]) -> list[ChunkId]:
        """Store the chunks of `buffer`, which end at `ends` (ascending); their ids. Only new ones are written.

        The buffer may be reused when this returns. Chunks that follow each other in the buffer share frames.
        """
        ids, frames = self.choose(buffer, ends)
        for frame in frames:
            self.write(frame)
        return ids

    def choose(self, buffer: memoryview, ends: Sequence[int]) -> tuple[list[ChunkId], list[NewFrame]]:
        """Hash and claim the chunks of `buffer`: all ids, and frames of the new ones, each of which the caller must
        `write`.

        Apart from hashing this holds the interpreter lock; `write` releases it. The frames borrow the buffer.
        """
        ids: list[ChunkId] = []
        frames: list[NewFrame] = []
        frame = NewFrame(buffer)
        start = fresh = 0
        for end in ends:
            chunk = chunk_id(buffer[start:end], self._id_key)
            ids.append(chunk)
            if self._claim(chunk):
                fresh += 1
                if not frame.takes(end - start):
                    frames.append(frame)
                    frame = NewFrame(buffer)
                frame.add(chunk, start, end)
            start = end
        if frame.ids:
            frames.append(frame)
        with self._lock:
            self.new_chunks += fresh
            self.known_chunks += len(ids) - fresh
            self.new_bytes += sum(frame.size for frame in frames)
        return ids, frames

    def write(self, frame: NewFrame) -> None:
        """Compress and seal a chosen frame into a pack. Raises what the storage raised."""
        codec, body = self._compressor.compress(frame.plain())
        self._packer.add(codec, body, frame.size, frame.ids, frame.lengths)

    def _claim(self, chunk: ChunkId) -> bool:
        """True for exactly one caller, when the store does not have the chunk."""
        if chunk in self._claimed or chunk in self._index:
            return False
        mine = object()
        return self._claimed.setdefault(chunk, mine) is mine

    def _on_durable(self, pack: PackName, frames: Sequence[FrameInfo]) -> None:
        self._index.add_pack(pack, [frame.ids for frame in frames])
        for frame in frames:
            for chunk in frame.ids:
                self._claimed.pop(chunk, None)
        if self._index.recent >= SEGMENT_ENTRIES:
            self._index.flush(self._session)

    def flush(self) -> None:
        """Make everything stored so far durable and indexed. Raises what the storage raised."""
        self._packer.close()
        self._index.flush(self._session)

    def has(self, chunk: ChunkId) -> bool:
        """Whether a root of this session may rely on the chunk without storing it."""
        return chunk in self._index

    def take_pack(self, footer: Footer) -> None:
        """A pack of this store was put under its name, durably, by the caller: its chunks count as stored."""
        self._on_durable(footer.pack, footer.frames)

    def commit(self, name: str, content: dict[str, object], *, replace: bool = False) -> None:
        """Make everything durable and indexed, then create the root `name`. Raises ObjectExists when it is taken.

        `replace`: it takes the place of a damaged one.
        """
        self._make_ready()
        root = seal_root(name, content, self._key, self._sealer)
        if replace:
            self._store.backend.replace(name, [root])
        else:
            self._store.backend.put(name, [root])

    def forget_packs(self, packs: Collection[PackName]) -> None:
        """Write the index anew without these packs, before they are deleted: what they held lies elsewhere, too."""
        self.flush()
        self._index.drop_packs(frozenset(packs), self._session)

    def _make_ready(self) -> None:
        self.flush()
        if self._index.damaged:
            self._adopt()  # a block is found damaged only when it is read
        assert not self._claimed, f"{len(self._claimed)} chunks were chosen and never written"
        if self._index.lost:  # first: who reads the root must not be led to where nothing is
            self._index.drop_packs(self._index.lost, self._session)

    def _keep_what_is_durable(self) -> bool:
        """Index the packs that are durable, so that the next backup reuses them. False when the storage failed: the
        lease then stays, and so the next session looks for packs that no segment names.
        """
        try:
            try:
                self._packer.close()
            finally:
                self._packer.stop()
                self._index.flush(self._session)
        except StoreError:
            return False
        return True

    def _forget(self, lease: str) -> None:
        try:
            self._store.backend.delete(lease)
        except StoreError:
            pass
