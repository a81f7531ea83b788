"""The writing session: hash, deduplicate, gather into frames, compress, hand to the packer; and the commit.

Rule, and the order of everything here: packs are durable before an index segment names them, the index before the
root. A crash at any point leaves unreferenced objects that the next session adopts. `store_run` may be called by many
threads; each does its own hashing and compressing, which release the interpreter lock.
"""

import threading
from collections.abc import Collection, Sequence
from itertools import compress, pairwise
from types import TracebackType
from typing import Self

from .check import raise_if_away
from .claims import Claims
from .errors import BackendError, ObjectExists, StoreError
from .following import Following, Tell
from .frame import Compressor, NewFrame, spread
from .ids import ChunkId, PackName, chunk_ids
from .index import Index
from .lease import HeldLease, bury, lease_key, leases
from .opening import OpenStore
from .pack import Footer, FrameInfo
from .packer import Packer
from .parallel import beside
from .reader import PackReader
from .reliance import Inherited, Reliance
from .repack import copy_frames
from .root import seal_root
from .seal import sealer_for

# Entries held in memory before they go into a segment: some 20 MiB here, and at most so many chunks to find again from
# footers after a crash.
SEGMENT_ENTRIES = 100_000

# Packs of a session that began while others were at work, until it knows what they store: two of them are on their way.
FIRST_PACKS = 4 << 20


class Writer:
    """A session that adds to a store. A context manager: leaving it without `commit` keeps what is durable."""

    def __init__(self, store: OpenStore, reader: PackReader, index: Index, compression: str | None, tell: Tell) -> None:
        self._store, self._reader, self._index, self._tell = store, reader, index, tell
        self._key = store.ring.new_session()
        self._id_key = store.ring.id_key
        self._compressor = Compressor(compression or store.config.compression)
        self._session = self._key.session_id.hex()
        self._publishing = threading.Lock()
        self._closing = False  # what becomes durable now is published at the end
        self._unanswered: set[str] = set()  # roots that may have been created or not
        self._sealer = sealer_for(self._key.data_key, random=store.config.padded)

    def __enter__(self) -> Self:
        self._reliance = Reliance(self._store, self._session, self._index, self._reader)
        key, generation = lease_key(self._store), self._reliance.generation
        self._lease = HeldLease(self._store.backend, self._session, key, generation)
        self._following = Following(self._store.backend, self._lease, self._index, self._reliance, self._tell)
        self._claims = Claims(self._index, self._reliance, self._following)
        try:
            # After the lease, all of it: until then garbage collection did not know of this session, and of two that
            # begin at the same moment one at least sees the other.
            backend = self._store.backend
            with beside(backend, self._reliance.begin) as condemned, beside(backend, self._index.load) as loaded:
                others = leases(backend, key, self._session)
                condemned()
                loaded()
            dead = [lease for lease in others if lease.dead]
            self._adopt()
            for lease in dead:
                bury(backend, lease)
            first = FIRST_PACKS if len(others) > len(dead) else None
            padded = self._store.config.padded
            self._packer = Packer(
                backend, self._key, self._sealer, self._on_durable, self._sessions_at_work, first, padded=padded
            )
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
            self._lease.end(keep=not kept or bool(self._unanswered))

    @property
    def name(self) -> str:
        """The session's id: 32 hex digits."""
        return self._session

    @property
    def generation(self) -> int:
        """The newest condemnation that the session has read."""
        return self._reliance.generation

    def may_take_over(self, root: str, generation: int) -> bool:
        """See Reliance.vouches_for."""
        return self._reliance.vouches_for(root, generation)

    @property
    def new_chunks(self) -> int:
        """How many chunks the store did not have."""
        return self._claims.new_chunks

    @property
    def new_bytes(self) -> int:
        """Bytes of these chunks."""
        return self._claims.new_bytes

    @property
    def known_chunks(self) -> int:
        """How many chunks were there already, or came twice."""
        return self._claims.known_chunks

    @property
    def stored_bytes(self) -> int:
        """Bytes of packs made durable so far."""
        return self._packer.stored_bytes

    @property
    def packs(self) -> int:
        """How many packs were made durable so far."""
        return self._packer.packs

    def store_run(self, buffer: memoryview, ends: Sequence[int], *, pages: bool = False) -> list[ChunkId]:
        """Store the chunks of `buffer`, which end at `ends` (ascending); their ids. Only new ones are written.

        The buffer may be reused when this returns. Chunks that follow each other in the buffer share frames. `pages`:
        of a database, which are compressed in a tuning of their own.
        """
        ids, frames = self.choose(buffer, ends)
        for frame in frames:
            self.write(frame, pages=pages)
        return ids

    def choose(self, buffer: memoryview, ends: Sequence[int]) -> tuple[list[ChunkId], list[NewFrame]]:
        """Hash and claim the chunks of `buffer`: all ids, and frames of the new ones, each of which the caller must
        `write`.

        Apart from hashing this holds the interpreter lock; `write` releases it. The frames borrow the buffer.
        """
        spans = list(pairwise((0, *ends)))
        ids = chunk_ids(buffer, spans, self._id_key)
        taken = self._claims.take(ids, [end - start for start, end in spans])
        frames = spread(buffer, [(chunk, *span) for chunk, span in compress(zip(ids, spans, strict=True), taken)])
        self._claims.count(ids, frames)
        return ids, frames

    def write(self, frame: NewFrame, *, pages: bool = False) -> None:
        """Compress and seal a chosen frame into a pack, unless another session has stored it by now. Raises what the
        storage raised.
        """
        if self._claims.leave(frame):
            return
        codec, body = self._compressor.compress(frame.plain(), pages=pages, noisy=frame.noisy)
        self._packer.add(codec, body, frame.size, frame.ids, frame.lengths)

    def _on_durable(self, pack: PackName, frames: Sequence[FrameInfo]) -> None:
        self._index.add_pack(pack, [frame.ids for frame in frames])
        self._claims.stored(frames)
        self._following.stored(frames)
        due = self._following.is_due(self._index.recent_packs, ending=self._closing)
        if due or self._index.recent >= SEGMENT_ENTRIES:
            self._publish()

    def _sessions_at_work(self) -> int:
        return 0 if self._closing else self._following.at_work

    def _publish(self) -> None:
        """Publish what is durable, and know of what others published; by one thread at a time."""
        if not self._publishing.acquire(blocking=False):
            return
        try:
            self._index.flush(self._session)
            self._following.look()
        finally:
            self._publishing.release()

    def copy(self, pack: PackName, frames: Sequence[int]) -> None:
        """Copy frames of a pack as they lie, without opening them. Raises Corrupt, ObjectMissing, NoKey."""
        copy_frames(self._store.backend, self._reader.footer(pack), frames, self._packer)

    def name_pack(self, pack: PackName) -> None:
        """Have the index name a pack that is there; one that cannot be read is passed over."""
        try:
            footer = self._reader.footer(pack)
        except StoreError as error:
            if isinstance(error, BackendError):
                raise_if_away(self._store.backend)
            return
        self._index.add_pack(pack, [frame.ids for frame in footer.frames])

    def secure(self, inherited: Inherited | None = None) -> None:
        """See to it that nothing the session relies on is condemned. `commit` does it; this is for a root that is
        created in another way. Raises SessionOvertaken.
        """
        self._reliance.secure(inherited, self._packer, self.flush)

    def flush(self) -> None:
        """Make everything stored so far durable and indexed. Raises what the storage raised."""
        self._closing = True
        self._packer.close()
        self._closing = False
        self._index.flush(self._session)

    def has(self, chunk: ChunkId) -> bool:
        """Whether a root of this session may rely on the chunk without storing it."""
        pack = self._reliance.pack_of(chunk)
        if pack is not None:
            self._reliance.packs.add(pack)
        return pack is not None

    def take_pack(self, footer: Footer) -> None:
        """A pack of this store was put under its name, durably, by the caller: its chunks count as stored.

        It is relied on like a pack of another session: garbage collection does not know that this one brought it.
        """
        self._reliance.packs.add(footer.pack)
        self._on_durable(footer.pack, footer.frames)

    def commit(
        self, name: str, content: dict[str, object], inherited: Inherited | None = None, *, replace: bool = False
    ) -> None:
        """Make everything durable and indexed, then create the root `name`. `inherited`: what it refers to that did not
        go through this session. `replace`: it takes the place of a damaged one.

        Raises ObjectExists when the name is taken, SessionOvertaken when garbage collection has given the session up.
        """
        self._make_ready()
        self.secure(inherited)
        root = [seal_root(name, content, self._key, self._sealer)]
        self._unanswered.add(name)  # until there is an answer the root may come into being, and the lease has to stay
        try:
            (self._store.backend.replace if replace else self._store.backend.put)(name, root)
        except ObjectExists:
            self._unanswered.discard(name)
            raise
        self._unanswered.discard(name)
        self._reliance.confirm(name)

    def forget_packs(self, packs: Collection[PackName]) -> None:
        """Write the index anew without these packs, before they are deleted: what they held lies elsewhere, too."""
        self.flush()
        self._index.drop_packs(frozenset(packs), self._session)

    def _make_ready(self) -> None:
        self.flush()
        if self._index.damaged:
            self._adopt()  # a block is found damaged only when it is read
        assert not self._claims, f"{len(self._claims)} chunks were chosen and never written"
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
