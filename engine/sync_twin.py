"""Bringing a root from one twin into the other: whole packs under their names, and the root with the same content.

Rule: a pack is copied when it holds a chunk that the root needs and the target does not surely have. Its bytes are
compared with its name on the way; one that is damaged in the source fails the root, and is never copied. A pack that is
known to be damaged in the target is replaced; the chunks of one that is condemned there are stored anew. Packs come in
full, so that what else they hold comes along.
"""

import time
from collections.abc import Collection
from itertools import accumulate

from siltstone.store import (
    CopiedPack,
    Corrupt,
    DryWriter,
    PackCopier,
    PackName,
    Store,
    Writer,
    in_parallel,
    pack_object,
)

from .events import Progress, Report
from .root_chunks import RootChunks
from .sync_carrier import Commit

# Each holds a pack of up to 32 MiB; four keep both storages busy.
THREADS = 4
INTERVAL = 0.1


class TwinCarrier:
    """See sync.Carrier."""

    def __init__(self, source: Store, target: Store, sink: Writer | DryWriter, report: Report) -> None:
        self._source, self._target, self._sink, self._report = source, target, sink, report
        self._chunks = RootChunks(source)
        self._copier = PackCopier(source.reader, source.backend, target.backend)
        self._brought: set[PackName] = set()
        self._told = 0.0
        self.packs = self.bytes = 0

    def is_same(self, name: str) -> bool:
        """Equal contents, ids of chunks and all."""
        return self._source.read_root(name) == self._target.read_root(name)

    def bring(self, name: str) -> Commit:
        """See sync.Carrier."""
        root = self._source.read_root(name)
        self._copy(self._missing_packs(name))
        self._chunks.done()
        return lambda writer: writer.commit(name, root)

    def _missing_packs(self, name: str) -> set[PackName]:
        packs: set[PackName] = set()
        for chunks in self._chunks.of(name):
            for chunk in chunks:
                if self._sink.has(chunk):
                    continue
                place = self._source.find(chunk)
                if place is None:
                    raise Corrupt(name, "a chunk that it needs is in no pack of the source")
                packs.add(place.pack)
        return packs - self._brought

    def _copy(self, packs: Collection[PackName]) -> None:
        condemned = self._target.index.condemned.intersection(packs)
        for pack in sorted(condemned):
            self._store_anew(pack)
        packs = set(packs) - condemned
        total, index = len(packs), self._target.index
        for done, found in enumerate(in_parallel(self._copy_one, sorted(packs), THREADS), 1):
            if isinstance(self._sink, Writer):
                index.suspect -= {found.pack}
                index.lost -= {found.pack}
                self._sink.take_pack(self._source.footer(found.pack))
            self._brought.add(found.pack)
            self.packs += 1
            self.bytes += found.bytes
            self._tell(done, total, found.pack)

    def _store_anew(self, pack: PackName) -> None:
        """A pack that garbage collection is about to remove from the target: its name is no place for anything now."""
        if isinstance(self._sink, Writer):
            frames = self._source.footer(pack).frames
            for number, plain in self._source.read_frames(pack, range(len(frames))):
                self._sink.store_run(memoryview(bytes(plain)), list(accumulate(frames[number].lengths)))
        self._brought.add(pack)

    def _copy_one(self, pack: PackName) -> CopiedPack:
        if isinstance(self._sink, DryWriter):
            return CopiedPack(pack, self._source.backend.size(pack_object(pack)))
        copied = self._copier.copy(pack, replace=pack in self._target.index.suspect)
        if copied.error:
            raise Corrupt(pack_object(pack), copied.error)
        return copied

    def _tell(self, done: int, total: int, pack: PackName) -> None:
        now = time.monotonic()
        if now - self._told >= INTERVAL or done == total:
            self._told = now
            self._report(Progress("packs", done, self.bytes, current=pack_object(pack), total_files=total))
