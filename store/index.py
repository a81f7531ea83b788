"""The index: where each chunk lies, looked up in the segments of a store and in what this process stored since.

Rule: memory is bounded. Segments stay in the memory map, opened blocks in one cache of CACHE_BLOCKS; only entries not
yet in a segment are held, and the session writes a segment before they are many. Of a pack that a segment names it
holds every chunk, those too that lie in another pack as well: nobody looks into a pack that is named. A segment of
which any part proved damaged is noted in `damaged`: what is left of it is still looked up in, it is never merged, and
it names no pack; its chunks are found again from the footers of the packs that no sound segment names.
"""

import heapq
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import chain

from blake3 import blake3

from .backend import Backend
from .block_cache import BlockCache
from .errors import BackendError, Corrupt, ObjectMissing
from .ids import CHUNK_ID_SIZE, ChunkId, PackName, Place, pack_object
from .index_recent import Entry, RecentEntries
from .index_rows import blocks_without, renumbered, sorted_entries, to_merge
from .parallel import asked_of
from .segment import KEY_SIZE, Segment, blocks_of, encode_segment, join_segment, open_segment

INDEX = "index/"

# Segments are merged when this many are of about one size, and never into more entries than MERGE_LIMIT, which bounds
# the memory of a merge (32 bytes an entry). 100 million chunks are then at least 50 segments: 50 filters a new chunk.
MERGE_WHEN = 8
MERGE_LIMIT = 2_000_000
LOAD_TRIES = 10  # the list of segments may prove outdated so often while they are opened: each time by a merge


class Index:
    """Lookups over all segments, and the entries of this process that no segment has yet. Safe between threads."""

    def __init__(self, backend: Backend, index_key: bytes) -> None:
        self._backend = backend
        self._key = index_key
        self._segments: list[Segment] = []
        self._recent = RecentEntries()
        self._blocks = BlockCache()
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._filtered = True
        self._left_behind: set[str] = set()  # segments that others stand for, of sessions that could not delete them
        self.damaged: dict[str, Corrupt] = {}
        self.all_named = False  # whether a look through all packs found each named by a sound segment, or readable
        self.suspect: frozenset[PackName] = frozenset()  # packs that are damaged, or whose chunks were copied
        self.lost: frozenset[PackName] = frozenset()  # packs that are named and gone: what they held is not there
        self.condemned: frozenset[PackName] = frozenset()  # packs that are to go, and that a session must not rely on

    def load(self) -> None:
        """Open every segment of the store that no other stands for. Those that are open already are kept."""
        with self._flushing:
            opened: dict[str, Segment] = {}
            for _ in range(LOAD_TRIES):
                if self._open_listed(opened):
                    break
            replaced = {name for segment in opened.values() for name in segment.head.replaces}
            with self._lock:
                kept = (segment for name, segment in opened.items() if name not in replaced)
                self._segments = sorted(kept, key=lambda each: -each.entries)  # most chunks are found in the first
                self._left_behind = replaced & opened.keys()
        self.damaged = {name: error for name, error in self.damaged.items() if name not in replaced}

    def _open_listed(self, opened: dict[str, Segment]) -> bool:
        """Open what is listed. False when something of it was merged away: what replaces it may not be in the list."""
        listed = [info.name for info in self._backend.list(INDEX)]
        opened |= {segment.name: segment for segment in self._segments if segment.name in listed}
        new, complete = [name for name in listed if name not in opened], True
        read = partial(open_segment, self._backend, key=self._key, filtered=self._filtered)
        for name, found in zip(new, asked_of(self._backend, read, new), strict=True):
            if isinstance(found, Segment):
                opened[name] = found
            elif isinstance(found, Corrupt):
                self.damaged[name] = found
            else:
                complete = False
        return complete

    def learn(self, note: Callable[[dict[str, set[PackName]]], None]) -> None:
        """Open segments that came since, beside those that are open. Before anything of them is found, `note` hears
        which packs they name that were not named before, by the session that names them.
        """
        with self._flushing:
            opened: dict[str, Segment] = {}
            self._open_listed(opened)  # what is merged away meanwhile is found the next time
            known = {segment.name for segment in self._segments}
            new = [segment for name, segment in opened.items() if name not in known]
            replaced = {name for segment in new for name in segment.head.replaces}
            new = [segment for segment in new if segment.name not in replaced]
            # Who waits for another looks often, and mostly there is nothing: then the packs of the store are not named.
            before = self.packs(by_damaged=True) if new else set()
            arrived: dict[str, set[PackName]] = {}
            for segment in new:
                arrived.setdefault(segment.head.session, set()).update(set(segment.packs()) - before)
            note({session: packs for session, packs in arrived.items() if packs})
            with self._lock:
                self._segments = [segment for segment in self._segments if segment.name not in replaced] + new

    def drop_filters(self) -> None:
        """Give the memory of filters back, and keep none from now on: hardly anything is looked up any more."""
        self._filtered = False
        for segment in self._segments:
            segment.drop_filter()

    def find(self, chunk: ChunkId) -> Place | None:
        """Where a chunk lies, or None when no readable segment names it. A place in a damaged, lost or condemned
        pack is given only where there is no other: reading it says what is wrong.
        """
        doubtful = self._recent.places(chunk)
        for place in doubtful:
            if self._is_sound(place.pack):
                return place
        for segment in self._segments:  # one by one: mostly it is in the first, and the others need not be asked
            for row in self._rows(segment, chunk):
                place = segment.place(row)
                if self._is_sound(place.pack):
                    return place
                doubtful.append(place)
        return min(doubtful, key=lambda place: place.pack in self.lost, default=None)

    def unknown(self, chunks: Iterable[ChunkId]) -> set[ChunkId]:
        """Those of these chunks that surely nothing names. No block is opened, so some that are new are not told."""
        new = self._recent.unknown(chunks)  # first: what leaves it is in a segment by then
        return set(new).difference(*(segment.passing(new) for segment in self._segments))

    def sound_pack(self, chunk: ChunkId) -> PackName | None:
        """The pack that surely has the chunk, or None."""
        place = self.find(chunk)
        return place.pack if place is not None and self._is_sound(place.pack) else None

    def packs_of(self, chunk: ChunkId) -> set[PackName]:
        """Every pack that is known to have the chunk."""
        found = {segment.place(row).pack for segment in self._segments for row in self._rows(segment, chunk)}
        return found | {place.pack for place in self._recent.places(chunk)}

    def __contains__(self, chunk: ChunkId) -> bool:
        """Whether the chunk is surely there: not when packs that are damaged, lost or condemned alone hold it."""
        return self.sound_pack(chunk) is not None

    def _is_sound(self, pack: PackName) -> bool:
        return pack not in self.suspect and pack not in self.lost and pack not in self.condemned

    def _rows(self, segment: Segment, chunk: ChunkId) -> list[bytes]:
        rows: list[bytes] = []
        try:
            if segment.passing([chunk]):
                self._blocks.take_rows(segment, chunk, rows)
        except Corrupt as error:
            self.damaged[segment.name] = error
        return rows

    def add_pack(self, pack: PackName, frames: Iterable[Sequence[ChunkId]]) -> None:
        """Make the chunks of a durable pack findable, given frame by frame: all of it at once."""
        self._recent.add(pack, frames)

    @property
    def recent(self) -> int:
        """How many entries are in no segment yet."""
        return len(self._recent)

    @property
    def recent_packs(self) -> int:
        """How many packs are in no segment yet."""
        return len(self._recent.packs())

    def packs(self, *, by_damaged: bool = False) -> set[PackName]:
        """Every pack that a sound segment or a recent entry names; or that a damaged one does, where that is asked."""
        segments = [segment for segment in self._segments if by_damaged or segment.name not in self.damaged]
        named = {pack for segment in segments for pack in segment.packs()}
        return named | self._recent.packs()

    def names(self, pack: PackName) -> bool:
        """Whether a sound segment in the store names a pack, at this moment. Raises BackendError."""
        self.load()
        return any(segment.names(pack) for segment in self._sound_segments())

    def chunks_in(self, pack: PackName) -> Iterator[ChunkId]:
        """The chunks that segments place in a pack. Of an id only what entries keep is known, which is all that is
        looked up. Raises Corrupt; ObjectMissing where nothing names the pack.
        """
        naming = [segment for segment in self._segments if segment.names(pack)]
        if not naming:
            raise ObjectMissing(pack_object(pack))
        for segment in naming:
            number = list(segment.packs()).index(pack).to_bytes(4, "big")
            for row in segment.rows():
                if row[KEY_SIZE : KEY_SIZE + 4] == number:
                    yield ChunkId(row[:KEY_SIZE] + bytes(CHUNK_ID_SIZE - KEY_SIZE))

    def forget_damaged(self, names: Collection[str]) -> None:
        """Delete these damaged segments, once sound ones name every pack that they named: they say nothing more."""
        with self._lock:
            self._segments = [segment for segment in self._segments if segment.name not in names]
            self.damaged = {name: error for name, error in self.damaged.items() if name not in names}
        for each in names:
            self._delete(each)

    def drop_packs(self, packs: frozenset[PackName], session: str) -> None:
        """Write the segments that name these packs anew without them: they are lost, or about to be deleted."""
        with self._flushing:
            for old in [s for s in self._segments if not packs.isdisjoint(s.packs())]:
                try:
                    new = self._write([], (), [old], session, packs)
                except Corrupt as error:
                    self.damaged[old.name] = error
                    continue
                with self._lock:
                    self._segments = [s for s in self._segments if s is not old] + [new]
                with suppress(ObjectMissing):  # no other error: what stays leads to where nothing is
                    self._backend.delete(old.name)
            self.lost &= {pack for segment in self._segments for pack in segment.packs()}

    def _delete(self, name: str) -> None:
        # Another writer did; or this host may not, and then a segment that says nothing more stays.
        with suppress(ObjectMissing, BackendError):
            self._backend.delete(name)

    def chunk_count(self) -> int:
        """Entries in all, a chunk that two segments hold counted twice."""
        return sum(segment.entries for segment in self._segments) + len(self._recent)

    def flush(self, session: str) -> None:
        """Write the recent entries, and small segments that they pile up with, as one durable segment."""
        with self._flushing:
            taken, packs = self._recent.entries()
            if not packs:
                return
            segment, merged = self._write_merged(taken, packs, session)
            with self._lock:
                self._segments = [s for s in self._segments if s not in merged] + [segment]
            self._recent.forget(packs)
        for name in [*(old.name for old in merged), *self._left_behind]:
            self._delete(name)
        self._left_behind = set()

    def _write_merged(
        self, recent: Sequence[Entry], packs: Collection[PackName], session: str
    ) -> tuple[Segment, list[Segment]]:
        """The new segment, and those that it stands for. One that proves damaged on the way is left as it is."""
        while True:
            merged = to_merge(self._sound_segments(), len(recent), MERGE_WHEN, MERGE_LIMIT)
            try:
                return self._write(recent, packs, merged, session, self.lost), merged
            except Corrupt as error:
                if all(segment.name != error.name for segment in merged):
                    raise
                self.damaged[error.name] = error

    def _sound_segments(self) -> list[Segment]:
        return [segment for segment in self._segments if segment.name not in self.damaged]

    def merge(self, session: str) -> None:
        """Merge segments of about one size, however few they are."""
        with self._flushing:
            merged = to_merge(self._sound_segments(), 0, 2, MERGE_LIMIT)
            if len(merged) > 1:
                new = self._write([], (), merged, session, self.lost)
                with self._lock:
                    self._segments = [s for s in self._segments if s not in merged] + [new]
                for old in merged:
                    self._delete(old.name)

    def _write(
        self,
        recent: Sequence[Entry],
        packs: Collection[PackName],
        merged: list[Segment],
        session: str,
        without: frozenset[PackName],
    ) -> Segment:
        # Nor condemned ones: a segment that named one after it was removed would make it look lost.
        without = without | self.condemned
        kept = (pack for segment in merged for pack in segment.packs() if pack not in without)
        named = dict.fromkeys(chain(packs, kept))
        # Of a chunk's places the one in the pack of the lowest number comes first: packs found damaged come last.
        numbers = {pack: number for number, pack in enumerate(sorted(named, key=self.suspect.__contains__))}
        count = len(recent) + sum(segment.entries for segment in merged)
        replaces = [name for segment in merged for name in (segment.name, *segment.head.replaces)]
        if len(merged) == 1 and not packs and self.suspect.isdisjoint(numbers):
            blocks = blocks_without(merged[0], numbers, without)
        else:
            rows = [sorted_entries(recent, numbers), *(renumbered(s, numbers, without) for s in merged)]
            blocks = blocks_of(heapq.merge(*rows))
        pieces = join_segment(encode_segment(blocks, count, numbers, replaces, session, self._key))
        hasher = blake3()
        for piece in pieces:
            hasher.update(piece)
        name = INDEX + hasher.hexdigest()
        self._backend.put(name, pieces)
        try:
            data = self._backend.view(name)
        except ObjectMissing:  # another session merged it already
            data = memoryview(b"".join(pieces))
        return Segment(name, data, self._key, self._filtered)
