"""The front of this layer: one open store, to read from and to write into.

Rule: this class holds the parts together and does no work of its own; a new verb belongs into the part that it is
about.
"""

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from .backend import Backend
from .cached import CachedBackend
from .config import Config
from .dry import DryWriter
from .errors import Corrupt, ObjectMissing
from .ids import ChunkId, PackName, Place, pack_object
from .index import Index
from .key_copy import Opener
from .keys import KeyRing, Secret
from .local_cache import CachePlace, LocalCache
from .making import init_store
from .opening import OpenStore, unlock
from .pack import Footer
from .parallel import beside
from .reader import PackReader
from .reading import reading
from .root import ROOTS, read_root, root_names, write_alone
from .verified import noted_damage

if TYPE_CHECKING:
    from .following import Tell
    from .writer import Writer

# Frames kept open by read_chunk: enough to read a manifest or a file whose chunks share frames once a frame.
OPEN_FRAMES = 8

# Chunks that mostly lie in one pack where the first and the last of them do: a pack of large files has some 250.
NEIGHBOURS = 16


class Store:
    """An open store. Safe to read from several threads; each `writer` is a session of its own."""

    def __init__(self, opened: OpenStore, cache: CachePlace | None = None) -> None:
        """`cache`: where a remote store's index and manifests are kept on this host, if they are to be."""
        if cache is not None and opened.backend.remote:
            opened = replace(opened, backend=CachedBackend(opened.backend, LocalCache(cache, opened.config.store_id)))
        self.opened = opened
        self.reader = PackReader(opened)
        self.index = Index(opened.backend, opened.ring.index_key if opened.config.encrypted else b"")
        self._load()
        self._adopting = threading.Lock()
        self._adopted: set[str] | None = None  # the damaged segments that were known when packs were looked through
        self._frames: OrderedDict[tuple[PackName, int], tuple[bytes, dict[ChunkId, slice]]] = OrderedDict()

    def _load(self) -> None:
        """Read the index and what is known of damage."""
        with beside(self.backend, lambda: noted_damage(self.opened)) as damage:
            self.index.load()
            self.index.suspect = damage()

    @classmethod
    def init(
        cls,
        backend: Backend,
        secrets: Sequence[tuple[Secret, str]],
        *,
        compression: str = "zstd",
        padded: bool = False,
    ) -> "Store":
        """Make a store and open it: see making.init_store."""
        return cls(init_store(backend, secrets, compression=compression, padded=padded))

    @classmethod
    def open(cls, backend: Backend, secret: Opener | None, cache: CachePlace | None = None) -> "Store":
        """Open a store: see opening.unlock."""
        return cls(unlock(backend, secret), cache)

    @property
    def backend(self) -> Backend:
        return self.opened.backend

    @property
    def config(self) -> Config:
        return self.opened.config

    @property
    def ring(self) -> KeyRing:
        return self.opened.ring

    def writer(self, compression: str | None = None, tell: "Tell" = lambda session: None) -> "Writer":
        """A writing session, to be used as a context manager. NoKey where the key that opened the store only reads.
        `tell` hears of the sessions that this one waits for, since they store the same.
        """
        self.ring.need("write", "backing up")
        from .writer import Writer  # what reads alone is quicker without

        return Writer(self.opened, self.reader, self.index, compression, tell)

    def dry_writer(self) -> DryWriter:
        """What counts what a `writer` would store. It knows of packs that no segment names, as a writer does."""
        self._adopt()
        return DryWriter(self.index, self.ring.id_key)

    def reading(self) -> AbstractContextManager[bool]:
        """Have garbage collection wait for whoever reads: see reading.reading."""
        return reading(self.opened)

    def find(self, chunk: ChunkId) -> Place | None:
        """Where a chunk lies. Where no segment names it, packs that no sound segment names are looked through: once,
        and again when another segment proved damaged.
        """
        place = self.index.find(chunk)
        if place is None:
            self._adopt()
            place = self.index.find(chunk)
        return place

    def _adopt(self) -> None:
        with self._adopting:
            damaged = set(self.index.damaged)
            if self._adopted is None or not damaged <= self._adopted:
                for _ in self.reader.adopt_unindexed(self.index):
                    pass
                self._adopted = damaged

    def footer(self, pack: PackName) -> Footer:
        """See PackReader.footer."""
        return self.reader.footer(pack)

    def expect(self, chunks: Sequence[ChunkId]) -> None:
        """Have the footers of the packs that hold these chunks at hand, where each would take a network's time. Of some
        neighbours in one pack only the first and the last are looked up; whose pack is missed waits later.
        """
        packs: set[PackName] = set()
        for at in range(0, len(chunks) if self.backend.remote else 0, NEIGHBOURS):
            some = chunks[at : at + NEIGHBOURS]
            found = {place.pack for chunk in (some[0], some[-1]) if (place := self.index.find(chunk))}
            if len(found) > 1:
                found |= {place.pack for chunk in some if (place := self.index.find(chunk))}
            packs |= found
        self.reader.bring_footers(packs)

    def read_frames(
        self, pack: PackName, frames: Sequence[int], wanted: Mapping[int, Collection[int]] | None = None
    ) -> Iterator[tuple[int, memoryview]]:
        """See PackReader.read_frames."""
        return self.reader.read_frames(pack, frames, wanted)

    def read_chunk(self, chunk: ChunkId) -> bytes:
        """One chunk, through a small cache of frames; from another pack that holds it, where one is damaged or gone.
        Raises ObjectMissing, Corrupt. One thread at a time.
        """
        place = self.find(chunk)
        if place is None:
            raise ObjectMissing(f"chunk {chunk.hex()}", hint="run 'silt verify' to see what is concerned")
        try:
            return self._read(chunk, place)
        except (Corrupt, ObjectMissing) as error:
            if isinstance(error, Corrupt):
                self.index.suspect |= {place.pack}
            else:
                self.index.lost |= {place.pack}
            other = self.index.find(chunk)
            if other is None or other.pack == place.pack:
                raise
        return self.read_chunk(chunk)

    def _read(self, chunk: ChunkId, place: Place) -> bytes:
        key = (place.pack, place.frame)
        if key not in self._frames:
            frames = self.footer(place.pack).frames
            if place.frame >= len(frames):
                raise _not_as_indexed(place)
            info = frames[place.frame]
            plain = self.reader.read_frame(place.pack, place.frame)
            spans = zip(info.ids, info.starts, info.lengths, strict=True)
            self._frames[key] = (plain, {i: slice(start, start + length) for i, start, length in spans})
            if len(self._frames) > OPEN_FRAMES:
                self._frames.popitem(last=False)
        data, slices = self._frames[key]
        if chunk not in slices:
            raise _not_as_indexed(place)
        return data[slices[chunk]]

    def root_names(self, prefix: str = ROOTS) -> Iterator[str]:
        """See root.root_names."""
        return root_names(self.opened, prefix)

    def read_root(self, name: str, written_as: str = "") -> dict[str, Any]:
        """See root.read_root."""
        return read_root(self.opened, name, written_as)

    def write_root(self, name: str, content: dict[str, Any]) -> None:
        """See root.write_alone."""
        write_alone(self.opened, name, content)


def _not_as_indexed(place: Place) -> Corrupt:
    return Corrupt(pack_object(place.pack), "it does not hold the chunks that the index says", frame=place.frame)
