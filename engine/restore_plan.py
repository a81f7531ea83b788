"""The plan of a restore, window by window: which frames are read, and where each piece of them goes.

Rule: within a window every frame is named once, whatever number of files needs it, under its pack, and packs stand in
the order in which they are first needed, so that a tree or a large file is written about from its beginning to its
end. A window has at most WINDOW_FILES files and WINDOW_PIECES pieces, which bounds memory; most restores are one.

Planning reads the index and the ends of packs, and writes nothing. What a file needs and the store does not have makes
that file fail, here or when the frame is read.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import TypeVar

from siltstone.store import BackendError, ChunkId, Corrupt, ObjectMissing, PackName, Store

from .entry import DIFFERENCE, EXTENT, HOLE, Entry, Extent, extents_of_row, plain_parts
from .restore_assembly import Assembly
from .restore_cell import DifferingCells
from .restore_rows import Row
from .restore_window import Copy, FrameWork, Goal, Piece, Window

try:
    from ._plan import plan_small
except ImportError:
    from .plan_plain import plan_small

# A planned file is some 400 bytes here, a piece 150: at most 25 MiB a window, and two windows are at work at once. A
# smaller first window, for the workers to begin sooner, made it slower: planning and writing share the interpreter.
WINDOW_FILES = 50_000
WINDOW_PIECES = 100_000

# Some 200 bytes each, so at most 10 MiB a window; what is not among them is found by the index.
KNOWN_CHUNKS = 50_000

# Bytes of differences that wait in memory for their cells; of two windows.
WINDOW_DIFFERENCES = 32 << 20

# What is copied within a file at a time, so that a large one is copied by every core.
COPY = 64 << 20

# What a remote store is asked about together: extents of a large file, of half a GiB; or parts of the manifest, of some
# 500 rows each.
EXTENTS_AHEAD, PARTS_AHEAD = 4096, 8

T = TypeVar("T")

Place = tuple[FrameWork, int]
"""A frame of the plan, and the number of a chunk in it."""


class Lost(Exception):
    """A chunk that a file needs cannot be had; the text says why."""


class Planner:
    """Puts the contents of files into the window at hand. One thread."""

    def __init__(self, store: Store, *, most_assemblies: int) -> None:
        self._store = store
        self._most_assemblies = most_assemblies
        self._unusable: dict[PackName, str] = {}
        self._work: FrameWork | None = None
        self._slot = 0
        self._known: dict[bytes, Place] = {}  # chunks of the window's frames
        self._differences: tuple[ChunkId, FrameWork, int] | None = None  # where the last difference lies
        self.window = Window()

    @property
    def full(self) -> bool:
        """Whether the window should be carried out before anything is added."""
        window = self.window
        return (
            window.files >= WINDOW_FILES or window.pieces >= WINDOW_PIECES or window.assemblies >= self._most_assemblies
        )

    def take(self) -> Window:
        """The window at hand; the next one begins."""
        window, self.window, self._work, self._known = self.window, Window(), None, {}
        self._differences = None
        return window

    def ahead(self, parts: Iterable[list[Row]]) -> Iterator[list[Row]]:
        """The same rows, with what their planning reads of a remote store brought for many of them at once."""
        return self._ahead(
            parts, PARTS_AHEAD, lambda part: chain.from_iterable(extents_of_row(row.row) for row in part)
        )

    def _ahead(self, items: Iterable[T], many: int, extents: Callable[[T], Iterable[Extent | None]]) -> Iterator[T]:
        if not self._store.backend.remote:
            yield from items
            return
        items = iter(items)
        while some := list(islice(items, many)):
            self._store.expect([each.id for item in some for each in extents(item) if each and each.id is not None])
            yield from some

    def add_plain(self, rows: list[Row], at: int, cut: int, folder: bytes, prefix: bytes) -> tuple[int, int]:
        """Plan files of a folder from rows[at] on: where one comes that needs another look, and their bytes. See
        plan_plain.py.
        """
        window, size = self.window, 0
        while True:
            begin = at
            at, self._work, self._slot, more = plan_small(
                rows, at, cut, folder, prefix, self._work, self._slot, self._known, window.empty
            )
            window.files += at - begin
            size += more
            if at == len(rows) or not self._becomes_known(rows[at].row):
                return at, size

    def _becomes_known(self, row: bytes) -> bool:
        """Whether a plain file begins with a chunk of a frame that is new to the window, and needs nothing yet."""
        parts = plain_parts(row) if len(self._known) < KNOWN_CHUNKS else None
        if parts is None or not parts[4] or parts[4].startswith(HOLE):
            return False
        chunk = ChunkId(parts[4][: len(HOLE)])
        if chunk in self._known:
            return False
        try:
            self._found(chunk, self.window.packs)
        except Lost:
            return False  # it is said where this file is looked at
        return chunk in self._known

    def add_small(self, directory: bytes, name: bytes, row: bytes, entry: Entry) -> bool:
        """Plan a file whose extents all lie in one stretch of one frame. False: they do not. Raises Lost."""
        first: FrameWork | None = None
        start = end = 0
        for extent in entry.extents:
            if extent.id is None or extent.is_difference:
                return False
            work, slot = self._locate(extent.id)
            at = work.starts[slot] + extent.offset
            if extent.offset + extent.length > work.lengths[slot]:
                raise Lost("the level asks for more than a chunk holds")
            if first is None:
                first, start, end = work, at, at
            if work is not first or at != end:
                return False
            end = at + extent.length
        if first is None:
            small = self.window.empty_others if entry.xattrs else self.window.empty
        else:
            small = first.others if entry.xattrs else first.small
        small.append((directory, name, start, end - start, row))
        self.window.files += 1
        return True

    def add_pieces(self, file: Assembly, packed: Iterable[bytes], there: bytes | None) -> Iterator[Window]:
        """Plan a file that is assembled, of packed extents; yields windows that became full meanwhile. A Lost chunk
        fails the file.

        `there` has a byte for each extent: whether the file that stands there has it already, at the same place.
        """
        end = 0
        difference: Extent | None = None
        self.window.files += 1
        self.window.assemblies += 1
        try:
            for at, length, extent in self._ahead(_parts(packed, there), EXTENTS_AHEAD, lambda part: part[2:]):
                if extent is None:
                    if not file.patched:
                        self._keep(file, at, length)
                elif extent.id is None:
                    pass  # a hole is what nobody writes
                elif not extent.is_difference:
                    file.foresee(at, length)
                    if difference is not None:
                        self._add_cell(file, at, difference, extent)
                    else:
                        self._add_piece(file, at, extent.id, extent)
                difference = extent if extent is not None and extent.is_difference else None
                end = at + length
                if self.window.pieces >= WINDOW_PIECES or self.window.differing >= WINDOW_DIFFERENCES:
                    yield self.take()
                    self.window.assemblies += 1
            if difference is not None:
                raise Lost("the level says how a part differs, and not from what")
            if end != file.entry.size:
                raise Lost(f"the level says that it has {file.entry.size:,} bytes, and lists {end:,}")
        except (Lost, Corrupt, ObjectMissing) as error:
            file.fail(str(error), damaged=True)
        file.settle()

    def _add_cell(self, file: Assembly, at: int, difference: Extent, old: Extent) -> None:
        assert difference.id is not None, "a difference is no hole"
        if self._differences is None or self._differences[0] != difference.id:
            self._differences = difference.id, *self._found(difference.id, self.window.differences)
        _, work, slot = self._differences
        work.needed[slot] = 1
        if difference.start + difference.length > work.lengths[slot]:
            raise Lost("the level asks for more than a chunk holds")
        assert old.id is not None, "what differs is no hole"
        cells = self._add_old_cell(file, at, old.id, old)
        start = work.starts[slot] + difference.start
        work.pieces.append(Piece(cells.add(old.length, difference.id), 0, start, difference.length))
        self.window.differing += difference.length

    def _add_old_cell(self, file: Assembly, at: int, chunk: ChunkId, old: Extent) -> DifferingCells:
        """The goal of an old cell: that of the one before it, where it follows that in the file and in the frame."""
        work, slot = self._locate(chunk)
        last = work.pieces[-1] if work.pieces else None
        if last is not None and isinstance(cells := last.file, DifferingCells):
            follows = (last.start + last.length, cells.end) == (work.starts[slot] + old.offset, at)
            if follows and cells.file is file and old.offset + old.length <= work.lengths[slot]:
                work.pieces[-1] = last._replace(length=last.length + old.length)
                return cells
        cells = DifferingCells(file, at)
        self._add_piece(cells, 0, chunk, old)
        return cells

    def _keep(self, file: Assembly, at: int, length: int) -> None:
        for start in range(at, at + length, COPY):
            file.expect()
            self.window.copies.append(Copy(file, start, min(COPY, at + length - start)))
            self.window.pieces += 1

    def _add_piece(self, file: Goal, at: int, chunk: ChunkId, extent: Extent) -> None:
        work, slot = self._locate(chunk)
        start, length = work.starts[slot] + extent.offset, extent.length
        if extent.offset + length > work.lengths[slot]:
            raise Lost("the level asks for more than a chunk holds")
        last = work.pieces[-1] if work.pieces else None
        if last is not None and last.file is file and (last.at + last.length, last.start + last.length) == (at, start):
            work.pieces[-1] = Piece(file, last.at, last.start, last.length + length)
            return
        file.expect()
        work.pieces.append(Piece(file, at, start, length))
        self.window.pieces += 1

    def _locate(self, chunk: ChunkId) -> Place:
        """The frame of a chunk, now part of the window, and the chunk's number in it. Raises Lost.

        Chunks that follow each other in a tree mostly do so in a frame: then the index need not be asked. A tree that
        was backed up several times goes from one frame to another and back.
        """
        work, slot = self._work, self._slot + 1
        if work is None or slot >= len(work.ids) or work.ids[slot] != chunk:
            work, slot = self._known.get(chunk) or self._found(chunk, self.window.packs)
            self._work = work
        self._slot = slot
        work.needed[slot] = 1
        return work, slot

    def _found(self, chunk: ChunkId, packs: dict[PackName, dict[int, FrameWork]]) -> Place:
        place = self._store.find(chunk)
        if place is None:
            raise Lost(f"chunk {chunk.hex()} is not in the store")
        work, slot = self._frame(place.pack, place.frame, packs), place.slot
        if slot >= len(work.ids) or work.ids[slot] != chunk:
            raise Lost(f"pack {place.pack} does not hold chunk {chunk.hex()} where the index says")
        return work, slot

    def _frame(self, pack: PackName, number: int, packs: dict[PackName, dict[int, FrameWork]]) -> FrameWork:
        frames = packs.setdefault(pack, {})
        if number not in frames:
            if pack in self._unusable:
                raise Lost(self._unusable[pack])
            try:
                footer = self._store.footer(pack)
            except (Corrupt, ObjectMissing, BackendError) as error:
                check_store(self._store, error)
                self._unusable[pack] = str(error)
                raise Lost(str(error)) from None
            if number >= len(footer.frames):
                raise Lost(f"pack {pack} does not have the frame that the index names")
            frames[number] = work = FrameWork(footer.frames[number])
            if packs is self.window.packs and len(self._known) < KNOWN_CHUNKS:
                self._known.update((chunk, (work, slot)) for slot, chunk in enumerate(work.ids))
        return frames[number]


def _parts(packed: Iterable[bytes], there: bytes | None) -> Iterator[tuple[int, int, Extent | None]]:
    """(offset in the file, bytes, extent): of each extent that is a hole or not there, and of each stretch between
    them, which has no extent.
    """
    at = number = kept = 0
    for part in packed:
        for chunk, offset, length in EXTENT.iter_unpack(part):
            size = length if offset < DIFFERENCE else 0
            if chunk != HOLE and there is not None and there[number]:
                kept += size
            else:
                if kept:
                    yield at - kept, kept, None
                    kept = 0
                yield at, size, Extent(None if chunk == HOLE else ChunkId(chunk), offset, length)
            at += size
            number += 1
    if kept:
        yield at - kept, kept, None


def check_store(store: Store, error: Exception) -> None:
    """Raise a BackendError again if nothing can be read any more; if only this object cannot, the rest still can."""
    if isinstance(error, BackendError):
        store.backend.get("config", 0, 1)
