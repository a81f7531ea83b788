"""The rows of a level that a restore takes, straight from the manifests, in path order within each file set.

Rule: a damaged manifest chunk loses the entries in it and no others; what is lost is told by the range of paths. Rows
of folders above what is selected come with it, once, marked as not chosen. Memory holds the folders above the current
row, and one item for each manifest chunk of a file set.

It does not read contents. A store reads one chunk at a time, so whoever needs lists of extents beside this asks here.
"""

import heapq
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from siltstone.store import ChunkId, Corrupt, ObjectMissing, Store

from .entry import EXTENT, HEAD_AT, HEAD_END, PATH_AT, Entry, Extent, order_key, row_path, rows, unpack_extents
from .errors import NothingSelected
from .events import show_path
from .levels import Level, SetInfo
from .manifest import ManifestReader, packed_extents
from .selection import Matcher, Selection, is_within

DIRECTORY = 0x40  # second byte of the mode that a row's head begins with

Lost = Callable[[bytes, str], None]


class Row(NamedTuple):
    """A row and its path. Not `chosen`: a folder above something selected."""

    path: bytes
    row: bytes
    chosen: bool


def row_mode(row: bytes) -> int:
    """The mode of a row's entry, without parsing the rest."""
    return int.from_bytes(row[HEAD_AT : HEAD_AT + 4], "little")


def row_size(row: bytes) -> int:
    """The size of a row's entry, as its head says."""
    return int.from_bytes(row[HEAD_AT + 16 : HEAD_AT + 24], "little")


def row_has_extra(row: bytes) -> bool:
    """Whether a row says more than head, path and extents."""
    path_size = int.from_bytes(row[HEAD_END : HEAD_END + 2], "little")
    return len(row) > PATH_AT + path_size + EXTENT.size * int.from_bytes(row[HEAD_END + 2 : PATH_AT], "little")


def one_host(level: Level, sets: Sequence[SetInfo]) -> str:
    """The host whose these file sets are. Raises NothingSelected where there are several: each has paths of its own."""
    hosts = list(dict.fromkeys(files.host for files in sets))
    if len(hosts) > 1:
        hint = "their paths may be the same: say whose are meant with --host, or name one file set with --set"
        raise NothingSelected(f"level {level.ref} holds files of {', '.join(hosts)}", hint=hint)
    return hosts[0] if hosts else ""


def rows_of(store: Store, level: Level) -> Iterator[tuple[bytes, bytes]]:
    """(path, row) of a whole level in path order, each path once, whichever file sets hold it. Raises Corrupt,
    ObjectMissing.
    """
    one_host(level, level.sets)
    sets = [ManifestReader(store, level, files).rows() for files in level.sets]
    last: bytes | None = None
    for path, row in heapq.merge(*sets, key=lambda found: order_key(found[0])):
        if path != last:
            yield path, row
        last = path


class LevelRows:
    """What is selected of a level and, with `base`, lies at or below it. `lost` hears of what cannot be read.

    Iterate from one thread; `extents` and `unmatched` may be asked from any.
    """

    def __init__(self, store: Store, level: Level, selection: Selection, *, base: bytes | None, lost: Lost) -> None:
        """Raises NothingSelected when the level has no such file set, or several hosts have and none is said."""
        self._store, self._level, self._lost = store, level, lost
        self._lock = threading.Lock()
        self._matcher, self._but = selection.matcher(), selection.but
        self._base = base
        self._prefix = (base or b"").rstrip(b"/") + b"/"
        meant = [files for files in level.sets if files.name not in selection.without_sets]
        of_sets = [files for files in meant if selection.set_name in (None, files.name)]
        self.sets = [files for files in of_sets if selection.host in (None, files.host)]
        self.left_out = 0  # entries that are selected and not below the base
        if not self.sets:
            names = ", ".join(files.name for files in meant)
            if of_sets:
                hosts = ", ".join(dict.fromkeys(files.host for files in of_sets))
                raise NothingSelected(
                    f"level {level.ref} has nothing of host '{selection.host}'", hint=f"it has: {hosts}"
                )
            raise NothingSelected(f"level {level.ref} has no file set '{selection.set_name}'", hint=f"it has: {names}")
        self.host = one_host(level, self.sets)

    @property
    def walked(self) -> tuple[bytes, ...]:
        """The paths from which the file sets were walked, but for those that lie below others."""
        return Matcher(()).roots(root for files in self.sets for root in files.roots)

    @property
    def roots(self) -> tuple[bytes, ...]:
        """The topmost paths that can be selected."""
        return self._matcher.roots(self.walked)

    @property
    def overlap(self) -> bool:
        """Whether file sets lie within each other, so that a folder of one is not finished when its set is."""
        roots = [(at, root) for at, files in enumerate(self.sets) for root in files.roots]
        return any(at != other and is_within(root, above) for at, root in roots for other, above in roots)

    def unmatched(self) -> tuple[bytes, ...]:
        """Patterns that have matched nothing so far."""
        return self._matcher.unmatched()

    def extents(self, entry: Entry) -> Iterator[Extent]:
        """See manifest.packed_extents. Raises Corrupt, ObjectMissing."""
        if not entry.indirect:
            yield from entry.extents
            return
        for packed in self.packed_extents(entry):
            yield from unpack_extents(packed)

    def packed_extents(self, entry: Entry) -> Iterator[bytes]:
        """See manifest.packed_extents. Raises Corrupt, ObjectMissing."""
        parts = packed_extents(self._store, entry)
        while True:
            with self._lock:
                part = next(parts, None)
            if part is None:
                return
            yield part

    def records(self, entry: Entry) -> Iterator[bytes]:
        """The records of a database file's cells, RECORD_CELLS of them at a time. Raises Corrupt, ObjectMissing."""
        for part in unpack_extents(entry.cells):
            if part.id is not None:
                yield self._read(part.id)

    def __iter__(self) -> Iterator[Row]:
        for part in self.parts():
            yield from part

    def parts(self) -> Iterator[list[Row]]:
        """The rows, those of a manifest chunk at a time."""
        self.left_out = 0
        for files in self.sets:
            above: list[tuple[bytes, Row]] = []  # folders that lead here, with their paths as prefixes; not yet yielded
            if self._base is not None and not self._matcher.patterns:
                self.left_out += files.entries
            for part in self._parts(files):
                if self._matcher.patterns:
                    yield [found for row in part for found in self._selected(row, above)]
                else:
                    yield part if self._base is None else self._inside_base(part)

    def _inside_base(self, part: list[Row]) -> list[Row]:
        inside = [row for row in part if self._below_base(row.path)]
        self.left_out -= len(inside)
        return inside

    def _selected(self, row: Row, above: list[tuple[bytes, Row]]) -> Iterator[Row]:
        """The row if it is selected, after the folders above it."""
        path = row.path
        while above and not path.startswith(above[-1][0]):
            above.pop()
        if self._matcher.selects(path):
            if self._below_base(path):
                yield from (found for _, found in above if self._below_base(found.path))
                above.clear()
                yield row
            else:
                self.left_out += 1
        elif row.row[HEAD_AT + 1] & 0xF0 == DIRECTORY:
            above.append((path if path == b"/" else path + b"/", row._replace(chosen=False)))

    def _below_base(self, path: bytes) -> bool:
        return self._base is None or path.startswith(self._prefix) or path == self._base

    def _parts(self, files: SetInfo) -> Iterator[list[Row]]:
        """The rows of each manifest chunk that can hold something selected."""
        reader = ManifestReader(self._store, self._level, files)
        try:
            with self._lock:
                chunks = list(reader.chunks())
        except (Corrupt, ObjectMissing) as error:
            for root in files.roots:
                self._lost(root, f"its list of entries cannot be read: {error}")
            return
        keys = [order_key(first) for _, first in chunks]
        for at, (chunk, first) in enumerate(chunks):
            if self._holds_selected(keys[at], keys[at + 1] if at + 1 < len(keys) else None):
                try:
                    part = [Row(row_path(row), row, True) for row in rows(self._read(chunk))]
                    if self._but:
                        part = [row for row in part if row.path not in self._but]
                except (Corrupt, ObjectMissing, ValueError) as error:
                    until = f"up to {show_path(chunks[at + 1][1])}" if at + 1 < len(chunks) else "and what follows"
                    self._lost(first, f"the entries from here {until} cannot be read: {error}")
                else:
                    yield part

    def _read(self, chunk: ChunkId) -> bytes:
        with self._lock:
            return self._store.read_chunk(chunk)

    def _holds_selected(self, start: bytes, stop: bytes | None) -> bool:
        """Whether a manifest chunk of these order keys can hold something selected, or a folder above that."""
        prefixes = self._matcher.prefixes if self._matcher.patterns or self._base is None else (self._base,)
        for prefix in prefixes:
            if prefix == b"/":
                return True
            key = order_key(prefix)
            if start < key + b"\1" and (stop is None or key < stop):
                return True
            names = key.split(b"\0")
            for count in range(1, len(names)):
                above = b"\0".join(names[:count]) or b"\0"
                if start <= above and (stop is None or above < stop):
                    return True
        return False
