"""Which levels and files need what was lost: one pass over all manifests, with the lost chunks at hand.

Rule: a manifest chunk is looked through once, whatever number of levels shares it; only its hits are kept. Entries in
a lost part of a manifest cannot be named: they are told as a `Stretch` between the paths around them. Memory grows
with the damage (lost chunks, and the paths concerned), and by one id for each manifest chunk.
"""

from collections.abc import Iterator, Mapping
from itertools import pairwise

from msgspec import Struct

from siltstone.store import ChunkId, Store

from .entry import Entry, parse_row, rows, unpack_extents
from .levels import Level, LevelRef, SetInfo
from .verify_damage import Key
from .verify_manifests import Item, Manifests, extent_columns, key_of, list_chunks, row_extents
from .verify_result import Damage, Stretch

# In place of an object: the root of whichever level it is, because what is wrong is in its manifest alone.
OWN_ROOT = ""


class Losses(Struct, frozen=True):
    """Chunks that cannot be had, with the objects that held them; and chunks that are shorter than asked for."""

    owners: Mapping[Key, tuple[str, ...]]
    short: Mapping[Key, int]

    def __bool__(self) -> bool:
        return bool(self.owners or self.short)


def label(ref: LevelRef) -> str:
    """A level as results name it, and as users may."""
    return f"{ref.deployment}:{ref}"


class Blame:
    """Enters levels and files into the damages. One thread."""

    def __init__(self, store: Store, manifests: Manifests, losses: Losses, damages: dict[str, Damage]) -> None:
        import numpy

        self._store, self._manifests, self._losses, self._damages = store, manifests, losses, damages
        self._sought = numpy.array(sorted({*losses.owners, *losses.short}), dtype=numpy.uint64)
        self._hits: dict[bytes, list[tuple[bytes, str]]] = {}
        self._clean: set[bytes] = set()

    def run(self) -> None:
        """Look through every level."""
        for level in self._manifests.levels:
            for files in level.all_sets:
                self._look_through(level, files)

    def _look_through(self, level: Level, files: SetInfo) -> None:
        before: Item | None = None
        for index, items in self._indexes(files):
            if items is None:
                self._unlisted(level, index, Stretch(files.name, _after(before), None, _left(files)))
                continue
            for item, following in pairwise([*items, None]):
                assert item is not None  # only the last of a pair is ever None
                if self._owners(item.chunk):
                    after = following.first if following else None
                    self._unlisted(level, item.chunk, Stretch(files.name, item.first, after, item.rows))
                else:
                    self._blame_entries(level, item)
                before = item

    def _indexes(self, files: SetInfo) -> Iterator[tuple[ChunkId, list[Item] | None]]:
        for index, _ in files.index:
            yield index, None if self._owners(index) else self._manifests.items(index)

    def _owners(self, chunk: bytes) -> tuple[str, ...]:
        return self._losses.owners.get(key_of(chunk), ())

    def _unlisted(self, level: Level, chunk: bytes, stretch: Stretch) -> None:
        for owner in self._owners(chunk):
            damage = self._damage(level, owner)
            damage.levels.setdefault(label(level.ref), [])
            damage.unlisted.setdefault(label(level.ref), []).append(stretch)

    def _blame_entries(self, level: Level, item: Item) -> None:
        if item.chunk in self._clean:
            return
        hits = self._hits.get(item.chunk)
        if hits is None:
            hits = list(dict.fromkeys(self._look_into(item.chunk)))
            if not hits:
                self._clean.add(item.chunk)
                return
            self._hits[item.chunk] = hits
        for path, owner in hits:
            self._damage(level, owner).levels.setdefault(label(level.ref), []).append(path)

    def _damage(self, level: Level, owner: str) -> Damage:
        if owner != OWN_ROOT:
            return self._damages[owner]
        error = "its manifest does not fit what is stored: it was written wrongly"
        return self._damages.setdefault(level.name, Damage(level.name, error))

    def _look_into(self, chunk: ChunkId) -> Iterator[tuple[bytes, str]]:
        """(path, object) of each entry of a manifest chunk that needs something lost."""
        data = self._manifests.read(chunk) or b""
        every, lists, _ = row_extents(data)
        parts = [self._manifests.read(part) for part in list_chunks(lists)]
        if any(map(self._is_concerned, [b"".join(every), *filter(None, parts)])):
            for entry in map(parse_row, rows(data)):
                for owner in self._owners_of(entry):
                    yield entry.path, owner

    def _is_concerned(self, packed: bytes) -> bool:
        import numpy

        keys, _ = extent_columns(packed)
        return bool(numpy.isin(keys, self._sought).any())

    def _owners_of(self, entry: Entry) -> Iterator[str]:
        """The objects with which something was lost that an entry needs."""
        for extent in (*entry.extents, *unpack_extents(entry.cells)):
            if extent.id is None:
                continue
            yield from self._owners_of_extent(extent.id, extent.start + extent.length)
            if entry.indirect and not self._owners(extent.id):
                for part in unpack_extents(self._manifests.read(extent.id) or b""):
                    if part.id is not None:
                        yield from self._owners_of_extent(part.id, part.start + part.length)

    def _owners_of_extent(self, chunk: bytes, end: int) -> Iterator[str]:
        key = key_of(chunk)
        yield from self._losses.owners.get(key, ())
        if end > self._losses.short.get(key, end):
            yield OWN_ROOT


def _after(before: Item | None) -> bytes | None:
    return before.first if before else None


def _left(files: SetInfo) -> int | None:
    """How many entries a lost index chunk leads to, if it is the only one."""
    return files.entries if len(files.index) == 1 else None
