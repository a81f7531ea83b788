"""The windows of a stream: which bytes are made together, and from which frames they are copied.

Rule: windows follow each other in the stream; a window ends where a frame does once it is nearly full, so that hardly
any frame is read for two. A chunk that cannot be found raises its error with the path that needs it. One thread; it
reads the index and footers, and no content.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from siltstone.store import (
    BLOCK,
    BackendError,
    ChunkId,
    Corrupt,
    FrameInfo,
    ObjectMissing,
    PackName,
    Store,
    pack_object,
)

from .events import show_path

# Of plaintext. Some frames, so that few requests read what lies side by side; buffers of it are all touched anew.
WINDOW = 8 << 20


class Run(NamedTuple):
    """`length` bytes from `offset` of a chunk, or zeros where there is none, of the file `path`."""

    path: bytes
    chunk: ChunkId | None
    offset: int
    length: int


Part = Run | bytes


class Piece(NamedTuple):
    """`length` bytes from `start` of a frame's plaintext go to `at` in the window's buffer, for the file `path`."""

    at: int
    start: int
    length: int
    path: bytes


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
            yield from planner.add_literal(part)
        elif part.chunk is None:
            yield from planner.add_zeros(part.length)
        else:
            yield from planner.add_run(part)
    if planner.window.end > planner.window.phase:
        yield planner.window


class _Planner:
    """`window` is the one that is being filled; the methods yield those that are full."""

    def __init__(self, store: Store) -> None:
        self._finder = _Finder(store)
        self._nearly = WINDOW - WINDOW // 4
        self._pieces: list[Piece] | None = None  # of the last frame, in this window
        self._last: tuple[PackName, int] = PackName(""), 0
        self.window = Window(0)

    def _next(self) -> Window:
        full = self.window
        self.window, self._pieces = Window(full.end % BLOCK), None
        return full

    def add_literal(self, data: bytes) -> Iterator[Window]:
        """Bytes as they stand."""
        while self.window.end + len(data) > WINDOW:
            room = WINDOW - self.window.end
            self.window.literals.append((self.window.end, data[:room]))
            self.window.end += room
            data = data[room:]
            yield self._next()
        self.window.literals.append((self.window.end, data))
        self.window.end += len(data)

    def add_zeros(self, length: int) -> Iterator[Window]:
        """So many zeros."""
        while self.window.end + length > WINDOW:
            room = WINDOW - self.window.end
            self.window.zeros.append((self.window.end, room))
            self.window.end += room
            length -= room
            yield self._next()
        self.window.zeros.append((self.window.end, length))
        self.window.end += length

    def add_run(self, run: Run) -> Iterator[Window]:
        """Bytes of a chunk."""
        try:
            start = self._finder.find(run)
        except (Corrupt, ObjectMissing, BackendError) as error:
            raise naming(error, run.path) from error
        frame, length = (self._finder.pack, self._finder.frame), run.length
        if frame != self._last:
            self._last, self._pieces = frame, None
            if self.window.end >= self._nearly:
                yield self._next()
        while self.window.end + length > WINDOW:
            room = WINDOW - self.window.end
            if room:
                self._place(start, room, run.path)
            start, length = start + room, length - room
            yield self._next()
        self._place(start, length, run.path)

    def _place(self, start: int, length: int, path: bytes) -> None:
        window = self.window
        if self._pieces is None:
            pack, frame = self._last
            self._pieces = window.frames[pack].setdefault(frame, [])
        self._pieces.append(Piece(window.end, start, length, path))
        window.end += length


class _Finder:
    """Where chunks lie. Those that follow each other in a tree mostly do so in a frame: the index is not asked then."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.pack, self.frame = PackName(""), 0
        self._info: FrameInfo | None = None
        self._starts: list[int] = []
        self._slot = 0

    def find(self, run: Run) -> int:
        """Set `pack` and `frame`; the run's offset in the frame's plaintext. Raises ObjectMissing, Corrupt."""
        assert run.chunk is not None
        info, slot = self._info, self._slot
        if info is None or not self._is_at(info, slot, run.chunk):
            slot += 1
            if info is None or not self._is_at(info, slot, run.chunk):
                info, slot = self._look_up(run.chunk)
        self._slot = slot
        if run.offset + run.length > info.lengths[slot]:
            raise Corrupt(pack_object(self.pack), "a level asks for more of a chunk than it holds", frame=self.frame)
        return self._starts[slot] + run.offset

    @staticmethod
    def _is_at(info: FrameInfo, slot: int, chunk: ChunkId) -> bool:
        return slot < len(info.ids) and info.ids[slot] == chunk

    def _look_up(self, chunk: ChunkId) -> tuple[FrameInfo, int]:
        place = self._store.find(chunk)
        if place is None:
            raise ObjectMissing(f"chunk {chunk.hex()}", hint="run 'silt verify' to see what is concerned")
        frames = self._store.footer(place.pack).frames
        if place.frame >= len(frames) or not self._is_at(frames[place.frame], place.slot, chunk):
            raise Corrupt(pack_object(place.pack), "it does not hold a chunk where the index says")
        if self._info is not frames[place.frame]:
            self.pack, self.frame, self._info = place.pack, place.frame, frames[place.frame]
            self._starts = self._info.starts
        return self._info, place.slot


def naming(error: Corrupt | ObjectMissing | BackendError, path: bytes) -> Corrupt | ObjectMissing | BackendError:
    """The same error, saying whose content it is about."""
    error.args = (f"{show_path(path)} cannot be read: {error}",)
    return error
