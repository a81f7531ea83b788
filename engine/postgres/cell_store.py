"""Storing stretches of a database's files, cell by cell: whole, as it was, or patched. The work of the threads.

Rule: a cell whose pages all have the digests of the base level keeps its extents and costs nothing more: its id, a hash
three times as dear, is made of changed and new cells alone. Where a good part of a stretch changed, its old chunks are
read, and of each cell the difference is stored. Elsewhere, and where old chunks are not to be had, the pages that
changed are, where cells.pages_to_patch says that this pays. What a stretch stores goes into one run of chunks,
so that it shares frames. Pages are judged before (pages.judge): one that is wrong is read again where that is possible,
since a server may have been writing it; the judgement stops nothing.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from msgspec import Struct, field

from siltstone.store import ChunkId, Store, chunk_id

from ..chunk_batch import read_chunks
from ..entry import DIFFERENCE, EXTENT, Extent, pack_extents, unpack_extents
from ..workers import ChunkSink
from .cells import OldCell, make_record, pages_to_patch, patch
from .cross_check import missed_pages
from .differences import make_difference
from .grid import CELL, DIGEST, PAGE, PAGES
from .page_digest import changed_pages
from .pages import Digester, judge

# Seconds before each time that wrong pages are read again: a server writes one in microseconds, on a busy disk in more.
PATIENCE = (0.0, 0.05)

CELL_DIGESTS = PAGES * DIGEST

# Old chunks are read where so many of the pages of a stretch changed. A frame holds 16 cells, and to open it for the
# sake of one page takes longer than to store that page; a burst takes longer, too, and adds a twentieth
# (docs/performance.md).
LEAST_CHANGED = 1 / 16

Again: TypeAlias = Callable[[int], bytes | None]


class Piece(Struct):
    """Some cells of one file that lie in a buffer from `start` to `end`. `old`: those of the base level, as far as it
    has them. `first_block`: of a relation file, the number of its first page; None for any other file. `again` reads a
    page of that number once more: None where it is gone; without it nothing can be read twice. `kept`: cells of the
    base level that are taken over, in the place of bytes. `since`: changes before that LSN are in the base level; 0:
    this is not known, or not of such a file.
    """

    start: int
    end: int
    first_block: int | None
    old: Sequence[OldCell | None]
    again: Again | None = None
    kept: list[OldCell] = field(default_factory=list)
    since: int = 0


class StoredPiece(Struct):
    """Packed extents and records of a piece, and the numbers of the blocks that are damaged; `missed`: of those that
    differ from the base level though they did not change since.
    """

    extents: bytes = b""
    records: bytes = b""
    bad: list[int] = field(default_factory=list)
    missed: list[int] = field(default_factory=list)


class CellStore:
    """Stores pieces. Any thread. `start_lsn` of the backup is to be set first: newer pages come again from the WAL.
    `old`: the store from which old chunks are read; None where they cannot be, or cost more than they spare.
    """

    def __init__(self, sink: ChunkSink, id_key: bytes, *, checksummed: bool, old: Store | None = None) -> None:
        self._sink, self._id_key, self._old = sink, id_key, old
        self.digester = Digester(id_key)
        self.start_lsn, self._checksummed = 0, checksummed

    def store(self, buffer: memoryview, pieces: Sequence[Piece]) -> list[StoredPiece]:
        """Store the pieces, which lie in the buffer one behind the other. Raises what the sink raises."""
        bad = [self._judged(piece, buffer) for piece in pieces]
        changes = any(any(piece.old) for piece in pieces)
        stored = self._store_changes(buffer, pieces) if changes else self._store_whole(buffer, pieces)
        for piece, each, blocks in zip(pieces, stored, bad, strict=True):
            each.bad = blocks
            if piece.since and piece.first_block is not None:
                data = buffer[piece.start : piece.end]
                missed = missed_pages(data, list(piece.old), each.records, piece.since)
                each.missed = [piece.first_block + page for page in missed]
            if piece.kept:
                each.extents = b"".join(cell.packed for cell in piece.kept)
                each.records = b"".join(make_record(cell.id, cell.digests) for cell in piece.kept)
        return stored

    def _store_whole(self, buffer: memoryview, pieces: Sequence[Piece]) -> list[StoredPiece]:
        ends = [end for piece in pieces for _, end in _cells(piece)]
        ids = iter(self._sink.store_run(buffer, ends, pages=True) if ends else ())
        stored = []
        for piece in pieces:
            chunks = [(next(ids), start, end) for start, end in _cells(piece)]
            extents = pack_extents(Extent(chunk, 0, end - start) for chunk, start, end in chunks)
            digests = self._digests(piece, buffer)
            records = [
                make_record(chunk, digests[at * CELL_DIGESTS : (at + 1) * CELL_DIGESTS])
                for at, (chunk, _, _) in enumerate(chunks if digests else ())
            ]
            stored.append(StoredPiece(extents, b"".join(records)))
        return stored

    def _store_changes(self, buffer: memoryview, pieces: Sequence[Piece]) -> list[StoredPiece]:
        read = [list(self._read(piece, buffer)) for piece in pieces]
        chunks = self._old_chunks([cell for cells in read for cell in cells])
        fresh = _Fresh()
        planned = [[self._plan(cell, chunks, fresh) for cell in cells] for cells in read]
        fresh.end_differences()
        ids = self._sink.store_run(memoryview(fresh.bytes), fresh.ends, pages=True)
        stored = []
        for cells in planned:
            extents = b"".join([cell.extents(ids) for cell in cells])
            records = b"".join([cell.record for cell in cells])
            stored.append(StoredPiece(extents, records))
        return stored

    def _read(self, piece: Piece, buffer: memoryview) -> Iterator["_Read"]:
        digests = self._digests(piece, buffer)
        for number, (start, end) in enumerate(_cells(piece)):
            old = piece.old[number] if number < len(piece.old) else None
            yield _Read(buffer[start:end], digests[number * CELL_DIGESTS : (number + 1) * CELL_DIGESTS], old)

    def _old_chunks(self, cells: Sequence["_Read"]) -> dict[ChunkId, bytes]:
        """The chunks from which differences are to be made."""
        if self._old is None:
            return {}
        changed = [(old, len(changed_pages(old.digests, new))) for _, new, old in cells if old and old.digests != new]
        much = sum(pages for _, pages in changed) >= LEAST_CHANGED * len(cells) * PAGES
        wanted = {old.origin for old, _ in changed if much or old.differs}
        return read_chunks(self._old, (chunk for chunk in wanted if chunk is not None))

    def _plan(self, cell: "_Read", chunks: Mapping[ChunkId, bytes], fresh: "_Fresh") -> "_Cell":
        data, digests, old = cell
        if not digests:
            return _Cell(b"", len(data), fresh=fresh.add(data))
        if old is not None and old.digests == digests:
            return _Cell(make_record(old.id, digests), len(data), kept=old.packed)
        record = make_record(chunk_id(data, self._id_key), digests)
        origin = old.origin if old is not None else None
        was = chunks.get(origin) if origin is not None else None
        differing = difference = None
        if was is not None and len(was) == len(data):
            now = bytes(data)
            differing = [at // PAGE for at in range(0, len(now), PAGE) if was[at : at + PAGE] != now[at : at + PAGE]]
            difference = make_difference(was, now, differing)
        if origin is not None and difference is not None:
            kept = pack_extents([Extent(origin, 0, len(data))])
            return _Cell(record, len(data), kept=kept, difference=fresh.add_difference(difference))
        patching = pages_to_patch(old, digests, differing) if old is not None else None
        if patching is None:
            return _Cell(record, len(data), fresh=fresh.add(data))
        kept, pages = patching
        place = fresh.add(*(data[page * PAGE : (page + 1) * PAGE] for page in pages))
        return _Cell(record, len(data), kept=kept, fresh=place, pages=pages)

    def _digests(self, piece: Piece, buffer: memoryview) -> bytes:
        """Of all pages of a piece; empty where it has none."""
        return self.digester.digests(buffer[piece.start : piece.end]) if piece.first_block is not None else b""

    def _judged(self, piece: Piece, buffer: memoryview) -> list[int]:
        """The blocks that are damaged; those that were torn are in the buffer as they are now."""
        pages = buffer[piece.start : piece.end]
        if piece.first_block is None:
            return []
        bad = self._bad(pages, piece.first_block)
        for pause in PATIENCE if piece.again is not None else ():
            if bad:
                time.sleep(pause)
                bad = [block for block in bad if self._stays_bad(pages, piece, block)]
        return bad

    def _bad(self, pages: memoryview, first_block: int) -> list[int]:
        found = judge(pages, first_block, self.start_lsn, checksummed=self._checksummed)
        return [first_block + page for page in found.bad]

    def _stays_bad(self, pages: memoryview, piece: Piece, block: int) -> bool:
        assert piece.first_block is not None, "a relation's pages"
        assert piece.again is not None, "somebody who reads it"
        page = piece.again(block)
        if page is None:  # cut off or dropped meanwhile: the WAL says so, too
            return False
        at = (block - piece.first_block) * PAGE
        pages[at : at + PAGE] = page
        return bool(self._bad(pages[at : at + PAGE], block))


class _Read(NamedTuple):
    """A cell as it is now, the digests of its pages (none: it is of no relation), and as the base level has it."""

    data: memoryview
    digests: bytes
    old: OldCell | None


class _Fresh:
    """What a stretch stores anew, chunk behind chunk. The differences of its cells are one chunk, the last."""

    def __init__(self) -> None:
        self.bytes = bytearray()
        self.ends: list[int] = []
        self._differences = bytearray()

    def add(self, *parts: memoryview) -> int:
        """One chunk of these parts; its number."""
        for part in parts:
            self.bytes += part
        self.ends.append(len(self.bytes))
        return len(self.ends) - 1

    def add_difference(self, difference: bytes) -> tuple[int, int]:
        """A difference; where it will lie in the last chunk, and its length."""
        self._differences += difference
        return len(self._differences) - len(difference), len(difference)

    def end_differences(self) -> None:
        """All are there."""
        if self._differences:
            self.add(memoryview(self._differences))


class _Cell(Struct):
    """A cell on its way: from a fresh chunk, from what is `kept` of the base level (packed extents), or from both: with
    `pages` from the fresh one, or with a `difference`.
    """

    record: bytes
    length: int
    kept: bytes = b""
    fresh: int | None = None
    pages: list[int] = field(default_factory=list)
    difference: tuple[int, int] | None = None

    def extents(self, ids: Sequence[ChunkId]) -> bytes:
        """Packed. `ids` of the fresh chunks."""
        if self.difference is not None:
            at, length = self.difference
            return EXTENT.pack(ids[-1], at | DIFFERENCE, length) + self.kept
        if self.fresh is None:
            return self.kept
        if not self.kept:
            return pack_extents([Extent(ids[self.fresh], 0, self.length)])
        return pack_extents(patch(tuple(unpack_extents(self.kept)), self.pages, ids[self.fresh]))


def _cells(piece: Piece) -> list[tuple[int, int]]:
    """Where the cells of a piece lie in its buffer: (start, end)."""
    return [(at, min(at + CELL, piece.end)) for at in range(piece.start, piece.end, CELL)]
