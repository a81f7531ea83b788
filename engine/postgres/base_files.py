"""The files of a database as the base level has them: for each, its cells in order, as long as anybody asks.

Rule: a cell of the base level is used only where its id is proved against what was read now, so nothing here has to be
believed. What cannot be read any more, or does not parse, is simply not there, and the file is stored anew.
Memory: the rows of one file set (long contents stand in lists of their own), and one list and one chunk of records.
"""

from collections.abc import Iterable, Iterator

from siltstone.store import Store, StoreError

from ..entry import Entry, Extent, parse_row, unpack_extents
from ..extent_content import read_content
from ..levels import Level
from ..manifest import ManifestReader, extents_of, packed_extents
from .cells import OldCell, parse_records
from .grid import CELL, packed_by


class BaseFiles:
    """One file set of the base level; without one it has no files."""

    def __init__(self, store: Store, base: ManifestReader | None, *, anew: bool = False) -> None:
        """`anew`: every file counts as new, and is read whatever its stat; it only has cells."""
        self.store = store
        self._anew = anew
        self._rows: dict[bytes, bytes] = {}
        self._level = base.level if base and not anew else None
        if base is not None:
            try:
                self._rows = dict(base.rows())
            except StoreError:
                self._rows = {}

    @property
    def count(self) -> int:
        """How many rows the base level has."""
        return 0 if self._anew else len(self._rows)

    def row(self, path: bytes) -> bytes | None:
        """The row of a path, if the base level has it."""
        return None if self._anew else self._rows.get(path)

    def level_of(self, system_identifier: int, timeline: int) -> Level | None:
        """The base level, if it is of that cluster and timeline: only then does an equal stat mean an equal file."""
        level = self._level
        database = level.database if level else None
        same = database is not None and (database.system_identifier, database.timeline) == (system_identifier, timeline)
        return level if same else None

    def cells(self, path: bytes) -> Iterator[OldCell | None]:
        """The cells of a relation file, in order; None, and no more, where one cannot be told."""
        entry = self.entry(path)
        if entry is not None and entry.cells:
            try:
                yield from self._cells(entry)
            except (StoreError, ValueError):
                pass

    def entry(self, path: bytes) -> Entry | None:
        """The entry of a path, if the base level has it."""
        row = self._rows.get(path)
        return None if row is None else parse_row(row)

    def content(self, path: bytes) -> Iterator[bytes]:
        """A file's bytes, piece by piece. Raises StoreError."""
        entry = self.entry(path)
        if entry is not None:
            yield from self.read(extents_of(self.store, entry))

    def read(self, extents: Iterable[Extent]) -> Iterator[bytes]:
        """Their bytes. Raises StoreError."""
        return read_content(self.store.read_chunk, extents)

    def _cells(self, entry: Entry) -> Iterator[OldCell]:
        extents = packed_by(packed_extents(self.store, entry), CELL)
        for part in unpack_extents(entry.cells):
            if part.id is None:
                return
            for cell, digests in parse_records(self.store.read_chunk(part.id)):
                packed = next(extents, b"")
                if not packed:
                    return
                yield OldCell(cell, digests, packed)
