"""Finding paths over all levels at once.

Rule: all levels are walked side by side in path order, so what is found comes path by path, with every level that has
it; a manifest chunk that levels share is looked through once. Memory: the ids of manifest chunks without a match, the
last few with one, and one path at a time. What is damaged is a warning, and the rest is found.

A pattern means what it means to a selection, but only entries that match themselves are found, not what is below them.
"""

import heapq
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from msgspec import Struct

from siltstone.store import ChunkId, Corrupt, ObjectMissing, Store

from .browse_diff import changes
from .entry import Entry, order_key, parse_row, row_path, rows
from .events import Report, Warned
from .levels import Level, LevelRef, SetInfo, list_levels
from .manifest import ManifestReader
from .selection import Matcher

# Manifest chunks with matches that are kept: the walks over the levels are at nearly the same path.
KEPT_CHUNKS = 64


class FoundVersion(Struct, frozen=True):
    """An entry as it is in one level after another (of those that were searched)."""

    entry: Entry
    levels: tuple[LevelRef, ...]


class Found(Struct, frozen=True):
    """A path of a host, and what it is in the levels that have it, in their order."""

    deployment: str
    host: str  # whose it is; empty where hosts have no names
    path: bytes
    versions: tuple[FoundVersion, ...]

    @property
    def differs(self) -> bool:
        """Whether its content is not the same in all of these levels."""
        first = self.versions[0].entry
        return any({"content", "type", "target"} & changes(first, version.entry) for version in self.versions[1:])


def find(
    store: Store, patterns: Sequence[bytes], *, levels: Sequence[Level] | None = None, report: Report
) -> Iterator[Found]:
    """The paths that match one of the patterns, in path order, of these levels or of all."""
    store.ring.need("read", "finding files")
    searched = sorted(list_levels(store) if levels is None else levels, key=lambda level: level.ref)
    search = _Search(store, patterns, report)
    for level in searched:
        if level.damage:
            report(Warned("damaged", level.name, level.damage))
        elif level.sealed:
            report(Warned("sealed", level.name, "it is sealed to newer reader keys than the key that was given"))
    walks = [search.walk(level) for level in searched if not level.damage and not level.sealed]
    hits = heapq.merge(*walks, key=lambda hit: (order_key(hit.path), hit.ref.deployment, hit.host, hit.ref))
    for (path, deployment, host), those in groupby(hits, key=lambda hit: (hit.path, hit.ref.deployment, hit.host)):
        yield Found(deployment, host, path, tuple(_versions(those)))


class _Hit(NamedTuple):
    path: bytes
    ref: LevelRef
    host: str
    row: bytes


def _versions(hits: Iterable[_Hit]) -> Iterator[FoundVersion]:
    """The hits of one path, in the order of levels, with those that are the same put together."""
    row, entry = b"", None
    refs: list[LevelRef] = []
    for hit in hits:
        found = entry if entry is not None and hit.row == row else parse_row(hit.row)
        if entry is not None and found is not entry and changes(entry, found):
            yield FoundVersion(entry, tuple(refs))
            refs, entry = [], None
        if hit.ref not in refs:  # a path of two file sets of one level
            refs.append(hit.ref)
        if entry is None:
            row, entry = hit.row, found
    if entry is not None:
        yield FoundVersion(entry, tuple(refs))


class _Search:
    """The walks over the levels, and what they share."""

    def __init__(self, store: Store, patterns: Sequence[bytes], report: Report) -> None:
        self._store, self._report = store, report
        self._patterns = [_Pattern(pattern) for pattern in patterns]
        self._empty: set[ChunkId] = set()
        self._matches: OrderedDict[ChunkId, list[tuple[bytes, bytes]]] = OrderedDict()

    def walk(self, level: Level) -> Iterator[_Hit]:
        """What one level has, in path order."""
        sets = [self._walk_set(level, files) for files in level.sets]
        return heapq.merge(*sets, key=lambda hit: (order_key(hit.path), hit.host))

    def _walk_set(self, level: Level, files: SetInfo) -> Iterator[_Hit]:
        try:
            for chunk, _ in ManifestReader(self._store, level, files).chunks():
                for path, row in self._in_chunk(chunk, level):
                    yield _Hit(path, level.ref, files.host, row)
        except (Corrupt, ObjectMissing) as error:
            self._report(Warned("damaged", level.name, f"the entries of '{files.name}' cannot be listed: {error}"))

    def _in_chunk(self, chunk: ChunkId, level: Level) -> list[tuple[bytes, bytes]]:
        if chunk in self._empty:
            return []
        found = self._matches.get(chunk)
        if found is None:
            found = self._look_through(chunk, level)
            if not found:
                self._empty.add(chunk)
                return []
            self._matches[chunk] = found
            if len(self._matches) > KEPT_CHUNKS:
                self._matches.popitem(last=False)
        return found

    def _look_through(self, chunk: ChunkId, level: Level) -> list[tuple[bytes, bytes]]:
        try:
            read = [(row_path(row), row) for row in rows(self._store.read_chunk(chunk))]
        except (Corrupt, ObjectMissing, ValueError) as error:
            self._report(Warned("damaged", level.name, f"some of its entries cannot be read: {error}"))
            return []
        return [found for found in read if any(pattern.matches(found[0]) for pattern in self._patterns)]


class _Pattern:
    """A pattern as a selection understands it, but it matches no path merely for being below one that matches.

    A path that a selection takes is matched itself if it also ends as the pattern does: in the names after the last
    `**`. A pattern from the root without `**` has as many names as what it matches.
    """

    def __init__(self, pattern: bytes) -> None:
        self._selects = Matcher([pattern])
        names = self._selects.patterns[0].split(b"/")
        open_start = b"**" in names or not pattern.startswith(b"/")
        while b"**" in names:
            names = names[names.index(b"**") + 1 :]
        self._names = len(names)
        self._whole = not open_start
        self._ends = Matcher([b"/".join(names)]) if names and open_start else None

    def matches(self, path: bytes) -> bool:
        """Whether it matches the path itself."""
        if not self._selects.selects(path):
            return False
        names = path.split(b"/") if path != b"/" else [b"", b""]
        if self._whole:
            return len(names) == self._names
        return self._ends is None or self._ends.selects(b"/" + b"/".join(names[-self._names :]))
