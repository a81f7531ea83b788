"""The files of a cluster on their way into the store, from wherever they come, and the rows that they become.

Rule: the main thread hands over one file after the other, in any order, and fills buffers with whole cells (cells.py),
of several files where they are small; the workers hash, compare, compress and seal (cell_store.py). A file's row is
made when its last cell is stored.

Paths are those of the server: below its data directory, and for tablespaces below their locations. Rows are kept until
the end and sorted, for a tar comes in the order of its folders; long contents are lists by then. What is stored of a
backup that failed stays unreferenced.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Self, TypeAlias

from msgspec import Struct, field

from siltstone.store import DryWriter, Writer

from ..entry import EXTENT, HEAD_AT, extra, make_row, order_key, size_of
from ..events import Report, Warned, show_path
from ..extent_list import ExtentList
from ..manifest import ManifestWriter
from ..owners import SeenOwners
from ..teller import Teller
from ..workers import BUFFER, Workers
from .base_files import BaseFiles
from .cell_store import Again, CellStore, Piece, StoredPiece
from .cells import OldCell
from .grid import CELL, PAGE, RECORDS_CHUNK
from .layout import Fork, relation_file
from .pages import SEGMENT_BLOCKS

StillBad: TypeAlias = Callable[[bytes, list[int]], list[int] | None]

NAMED_BLOCKS = 20  # of a damaged file that a warning lists


class _File(Struct):
    """A file on its way. `name` is its path in the data directory."""

    path: bytes
    name: bytes
    head: bytes
    first_block: int | None
    extents: ExtentList
    old: Iterator[OldCell | None]
    size: int
    again: Again | None = None
    since: int = 0
    read: int = 0
    until: int = 0  # how far the bytes go that come now; to the end unless cells of the base level follow
    pieces: int = 0
    records: bytearray = field(default_factory=bytearray)
    bad: list[int] = field(default_factory=list)
    missed: list[int] = field(default_factory=list)
    ended: bool = False


class Gatherer:
    """Takes the files of one cluster. A context manager; its methods belong to one thread."""

    def __init__(
        self, sink: Writer | DryWriter, cells: CellStore, base: BaseFiles, report: Report, teller: Teller
    ) -> None:
        self._sink, self._cells, self._base, self._report, self._teller = sink, cells, base, report, teller
        self._workers = Workers(sink)
        self._buffer: memoryview | None = None
        self._filled = 0
        self._pieces: list[tuple[_File, Piece]] = []
        self._waiting: deque[tuple[Future[list[StoredPiece]], list[_File]]] = deque()
        self._file: _File | None = None
        self._rows: list[tuple[bytes, bytes, bytes]] = []
        self.stats: Counter[str] = Counter()
        self._damaged: list[_File] = []
        self.checked_since = 0  # the LSN for a cross-check of main forks (cross_check.py), 0 for none

    def __enter__(self) -> Self:
        self._workers.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._workers.__exit__(*exception)

    def begin(self, path: bytes, name: bytes, head: bytes, again: Again | None = None) -> None:
        """A regular file begins; `name` is its path in the data directory. `again` reads a page of it once more."""
        self._teller.tell(path)
        self._teller.files += 1
        size = size_of(head)
        relation = relation_file(name)
        block = None if relation is None or size % PAGE else relation.segment * SEGMENT_BLOCKS
        old = self._base.cells(path) if block is not None and size > CELL else iter(())
        since = self.checked_since if relation is not None and relation.fork is Fork.MAIN else 0
        self._file = _File(path, name, head, block, ExtentList(self._sink), old, size, again, since)
        self._file.until = size

    def space(self) -> memoryview:
        """Where the next bytes of the file go: as many as fit may be put there, at least one is wanted."""
        assert self._file is not None, "no file has begun"
        room = self._room(self._file)
        assert self._buffer is not None, "_room() saw to it"
        return self._buffer[self._filled : self._filled + room]

    def filled(self, count: int) -> None:
        """So many bytes were put into space()."""
        assert self._file is not None, "no file has begun"
        self._filled += count
        self._file.read += count

    def put(self, data: memoryview) -> None:
        """The next bytes of the file, copied."""
        while data:
            space = self.space()
            part = data[: len(space)]
            space[: len(part)] = part
            self.filled(len(part))
            data = data[len(part) :]

    def put_cell(self, data: memoryview, old: OldCell | None) -> None:
        """The next cell of the file; `old` is what the base level has there."""
        assert self._file is not None, "no file has begun"
        self._file.old, self._file.until = iter((old,)), self._file.read + len(data)
        self.put(data)

    def keep_cell(self, old: OldCell) -> None:
        """The next cell of the file is as the base level has it."""
        file = self._file
        assert file is not None, "no file has begun"
        if self._buffer is None:
            self._buffer, self._filled, self._pieces = self._workers.take_buffer(), 0, []
        last = self._pieces[-1] if self._pieces else None
        if last is None or last[0] is not file or not last[1].kept:
            self._pieces.append((file, Piece(self._filled, self._filled, None, ())))
            file.pieces += 1
        self._pieces[-1][1].kept.append(old)
        file.read += old.pages * PAGE

    def end(self) -> None:
        """All bytes of the file are there."""
        file, self._file = self._file, None
        assert file is not None, "no file has begun"
        file.ended = True
        self._finish_if_whole(file)

    def add_other(self, path: bytes, head: bytes, target: bytes = b"") -> None:
        """A folder, or a symbolic link to `target`."""
        self.stats["others" if target else "directories"] += 1
        self._add_row(path, make_row(path, head, b"", extra(target=target)))

    def keep(self, path: bytes, row: bytes) -> None:
        """A file that is as the base level has it."""
        self._teller.files += 1
        self._teller.tell(path)
        self.stats["files"] += 1
        self.stats["bytes"] += int.from_bytes(row[HEAD_AT + 16 : HEAD_AT + 24], "little")
        self._add_row(path, row)

    def finish(self) -> None:
        """Wait until everything is stored. Raises what storing raised."""
        self._submit()
        self._collect(until=0)
        self._workers.finish()

    def tell_damage(self, still_bad: StillBad | None = None) -> None:
        """Warn of what is damaged. `still_bad` says of a file's blocks which are so when they are read again, if that
        can be known.
        """
        for file in self._damaged:
            blocks = still_bad(file.name, file.bad) if still_bad is not None else file.bad
            if blocks is None:
                what = "damaged on the server, or it was writing there (who may call pg_read_binary_file can tell)"
                self._warn("checksum", file, what, file.bad)
            elif blocks:
                self._warn("checksum", file, "damaged on the server", blocks)

    def missing(self, paths: set[bytes]) -> list[bytes]:
        """Those of the paths of which nothing came, in order."""
        return sorted(paths - {path for _, path, _ in self._rows if path in paths})

    def write(self, manifest: ManifestWriter, owners: SeenOwners) -> int:
        """Write the rows in path order; how many they are."""
        self._rows.sort()
        self.stats["gone"] = self._base.count - self.stats["unchanged"] - self.stats["changed"]
        for _, path, row in self._rows:
            owners.pairs.add(row[8:16])
            manifest.add(path, row)
        return len(self._rows)

    # ---- one file

    def _room(self, file: _File) -> int:
        """How many bytes of the file the buffer still takes: cells never lie across two buffers."""
        while True:
            if self._buffer is None:
                self._buffer, self._filled, self._pieces = self._workers.take_buffer(), 0, []
            last = self._pieces[-1] if self._pieces else None
            if last is not None and last[0] is file and last[1].end > self._filled:
                return last[1].end - self._filled
            left, room = file.until - file.read, BUFFER - self._filled
            fits = left if left <= room else room // CELL * CELL
            if fits:
                cells = -(-fits // CELL)
                old = [next(file.old, None) for _ in range(cells)] if file.first_block is not None else []
                block = None if file.first_block is None else file.first_block + file.read // PAGE
                self._pieces.append((file, Piece(self._filled, self._filled + fits, block, old, file.again)))
                self._pieces[-1][1].since = file.since
                file.pieces += 1
                return fits
            self._submit()

    def _submit(self) -> None:
        """Give the buffer to the workers, and take in what they have done meanwhile."""
        if self._buffer is not None:
            pieces = [piece for _, piece in self._pieces]
            future = self._workers.submit(self._store, self._buffer, pieces)
            self._waiting.append((future, [file for file, _ in self._pieces]))
            self._teller.read(self._pieces[-1][0].path, self._filled)
            self._buffer, self._pieces = None, []
        self._collect(until=2 * self._workers.count)

    def _store(self, buffer: memoryview, pieces: list[Piece]) -> list[StoredPiece]:
        try:
            return self._cells.store(buffer, pieces)
        finally:
            self._workers.give_back(buffer)

    def _collect(self, *, until: int) -> None:
        """Take in what is stored; wait while more than `until` stretches are under way."""
        while self._waiting and (len(self._waiting) > until or self._waiting[0][0].done()):
            future, files = self._waiting.popleft()
            for file, stored in zip(files, future.result(), strict=True):
                file.extents.add(stored.extents)
                file.records += stored.records
                file.bad += stored.bad
                file.missed += stored.missed
                file.pieces -= 1
                self._finish_if_whole(file)

    def _finish_if_whole(self, file: _File) -> None:
        if not file.ended or file.pieces:
            return
        extents, indirect = file.extents.finish()
        row = make_row(file.path, file.head, extents, extra(indirect=indirect, cells=self._records(file)))
        self._add_row(file.path, row)
        self.stats["files"] += 1
        self.stats["bytes"] += size_of(file.head)
        if file.bad:
            self._damaged.append(file)
        if file.missed:
            self._warn("missed", file, "the level before had them otherwise, the server had not sent them", file.missed)

    def _warn(self, kind: str, file: _File, what: str, blocks: list[int]) -> None:
        shown = ", ".join(map(str, blocks[:NAMED_BLOCKS])) + (", ..." if len(blocks) > NAMED_BLOCKS else "")
        pages = "page of block" if len(blocks) == 1 else f"{len(blocks)} pages, of blocks"
        self._report(Warned(kind, show_path(file.path), f"{what}: {pages} {shown}"))

    def _records(self, file: _File) -> bytes:
        """Packed extents of a file's records; of a file of one cell there are none."""
        if file.size <= CELL or not file.records:
            return b""
        ends = [*range(RECORDS_CHUNK, len(file.records), RECORDS_CHUNK), len(file.records)]
        ids = self._sink.store_run(memoryview(bytes(file.records)), ends)
        return b"".join(
            EXTENT.pack(chunk, 0, end - start) for chunk, start, end in zip(ids, [0, *ends], ends, strict=False)
        )

    def _add_row(self, path: bytes, row: bytes) -> None:
        old = self._base.row(path)
        self.stats["new" if old is None else "unchanged" if old == row else "changed"] += 1
        self._rows.append((order_key(path), path, row))
