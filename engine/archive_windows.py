"""The windows of a stream: which bytes are made together, and from which frames they are copied.

Rule: windows follow each other in the stream; a window ends where a frame does once it is nearly full, so that hardly
any frame is read for two. A chunk that cannot be found raises its error with the path that needs it. One thread; it
reads the index and footers, and no content.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from siltstone.store import (
    BLOCK,
    BackendError,
    ChunkId,
    Corrupt,
    ObjectMissing,
    PackName,
    Store,
    pack_object,
)

from .events import show_path

# Of plaintext: two full frames and the headers between their chunks. More would read more at once; but all buffers
# of it are touched anew, which is dear on a virtual machine: 2 MiB took it 7 ms.
WINDOW = 6 << 20


class Run(NamedTuple):
    """`length` bytes from `offset` of a chunk, or zeros where there is none, of the file `path`."""

    path: bytes
    chunk: ChunkId | None
    offset: int
    length: int


Part = Run | bytes


class Piece(NamedTuple):
    """`length` bytes from `start` of a frame's plaintext, which are of its chunk `slot`, go to `at` in the window's
    buffer, for the file `path`.
    """

    at: int
    start: int
    length: int
    path: bytes
    slot: int


class Window:
    """Bytes from `phase` to `end` of a buffer, which begins at a block's border of the stream."""

    __slots__ = ("end", "frames", "literals", "phase", "zeros")

    def __init__(self, phase: int) -> None:
        self.phase = self.end = phase
        self.literals: list[tuple[int, bytes]] = []
        self.zeros: list[tuple[int, int]] = []
        self.frames: dict[PackName, dict[int, list[Piece]]] = defaultdict(dict)


def windows_of(store: Store, parts: Iterable[Part]) -> Iterator[Window]:
    """The parts one behind the other. Raises Corrupt, ObjectMissing, BackendError."""
    planner = _Planner(store)
    for part in parts:
        if isinstance(part, bytes):
            planner.add_literal(part)
        elif part.chunk is None:
            planner.add_zeros(part.length)
        else:
            planner.add_run(part, part.chunk)
        if planner.full:
            yield from planner.full
            planner.full = []
    if planner.window.end > planner.window.phase:
        yield planner.window


class _Planner:
    """`window` is the one that is being filled; in `full` the caller finds those that are."""

    def __init__(self, store: Store) -> None:
        self._finder = _Finder(store)
        self._nearly = WINDOW - WINDOW // 3
        self._pieces: list[Piece] | None = None  # of the last frame, in this window
        self._last: tuple[PackName, int] = PackName(""), 0
        self.window = Window(0)
        self.full: list[Window] = []

    def _next(self) -> None:
        self.full.append(self.window)
        self.window, self._pieces = Window(self.window.end % BLOCK), None

    def add_literal(self, data: bytes) -> None:
        """Bytes as they stand."""
        while self.window.end + len(data) > WINDOW:
            room = WINDOW - self.window.end
            self.window.literals.append((self.window.end, data[:room]))
            self.window.end += room
            data = data[room:]
            self._next()
        self.window.literals.append((self.window.end, data))
        self.window.end += len(data)

    def add_zeros(self, length: int) -> None:
        """So many zeros."""
        while self.window.end + length > WINDOW:
            room = WINDOW - self.window.end
            self.window.zeros.append((self.window.end, room))
            self.window.end += room
            length -= room
            self._next()
        self.window.zeros.append((self.window.end, length))
        self.window.end += length

    def add_run(self, run: Run, chunk: ChunkId) -> None:
        """Bytes of a chunk."""
        finder, length = self._finder, run.length
        try:
            start = finder.find(chunk, run.offset, length)
        except (Corrupt, ObjectMissing, BackendError) as error:
            raise naming(error, run.path) from error
        if finder.frame != self._last[1] or finder.pack != self._last[0]:
            self._last, self._pieces = (finder.pack, finder.frame), None
            if self.window.end >= self._nearly:
                self._next()
        while self.window.end + length > WINDOW:
            room = WINDOW - self.window.end
            if room:
                self._place(start, room, run.path)
            start, length = start + room, length - room
            self._next()
        self._place(start, length, run.path)

    def _place(self, start: int, length: int, path: bytes) -> None:
        window = self.window
        if self._pieces is None:
            pack, frame = self._last
            self._pieces = window.frames[pack].setdefault(frame, [])
        self._pieces.append(Piece(window.end, start, length, path, self._finder.slot))
        window.end += length


class _Finder:
    """Where chunks lie. Those that follow each other in a tree mostly do so in a frame: the index is not asked then."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.pack, self.frame = PackName(""), 0
        self._ids: Sequence[ChunkId] = ()
        self._lengths: Sequence[int] = ()
        self._starts: Sequence[int] = ()
        self.slot = 0

    def find(self, chunk: ChunkId, offset: int, length: int) -> int:
        """Set `pack`, `frame` and `slot`; the place of a chunk's bytes in the frame's plaintext. Raises ObjectMissing,
        Corrupt.
        """
        slot = self.slot
        if not self._is_at(slot, chunk):
            slot += 1
            if not self._is_at(slot, chunk):
                slot = self._look_up(chunk)
        self.slot = slot
        if offset + length > self._lengths[slot]:
            raise Corrupt(pack_object(self.pack), "a level asks for more of a chunk than it holds", frame=self.frame)
        return self._starts[slot] + offset

    def _is_at(self, slot: int, chunk: ChunkId) -> bool:
        return slot < len(self._ids) and self._ids[slot] == chunk

    def _look_up(self, chunk: ChunkId) -> int:
        place = self._store.find(chunk)
        if place is None:
            raise ObjectMissing(f"chunk {chunk.hex()}", hint="run 'silt verify' to see what is concerned")
        if (place.pack, place.frame) != (self.pack, self.frame):
            frames = self._store.footer(place.pack).frames
            info = frames[place.frame] if place.frame < len(frames) else None
            self.pack, self.frame = place.pack, place.frame
            self._ids, self._lengths, self._starts = (info.ids, info.lengths, info.starts) if info else ((), (), ())
        if not self._is_at(place.slot, chunk):
            raise Corrupt(pack_object(place.pack), "it does not hold a chunk where the index says")
        return place.slot


def naming(error: Corrupt | ObjectMissing | BackendError, path: bytes) -> Corrupt | ObjectMissing | BackendError:
    """The same error, saying whose content it is about."""
    error.args = (f"{show_path(path)} cannot be read: {error}",)
    return error
