"""The windows of a stream: which bytes are made together, and from which frames they are copied.

Rule: windows follow each other in the stream; one that is half full ends before the first frame of which it needs
nothing yet, so that hardly any frame is read for two. A chunk that cannot be found raises its error with the path that
needs it. One thread; it reads the index and footers, and no content.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
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

# Of plaintext: two full frames and the headers between their chunks. More would read more at once; but all buffers
# of it are touched anew, which is dear on a virtual machine: 2 MiB took it 7 ms.
WINDOW = 6 << 20
# A window that is so full is closed to other frames. An archive that was imported lies in batches of two frames and one
# more, of its headers, which all of a batch needs: in windows that ended wherever the frame is another than before,
# once they had 4 MiB, a fifth more was decompressed.
CLOSING = WINDOW // 2

# Some 200 bytes each: what is not among them is found by the index.
KNOWN_CHUNKS = 1 << 14


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


class _Frame:
    """A frame, as its footer says."""

    __slots__ = ("ids", "lengths", "number", "pack", "starts")

    def __init__(self, pack: PackName, number: int, info: FrameInfo | None) -> None:
        self.pack, self.number = pack, number
        self.ids: Sequence[ChunkId] = info.ids if info else ()
        self.lengths: Sequence[int] = info.lengths if info else ()
        self.starts: Sequence[int] = info.starts if info else ()


class _Planner:
    """`window` is the one that is being filled; in `full` the caller finds those that are."""

    def __init__(self, store: Store) -> None:
        self._finder = _Finder(store)
        self._pieces: dict[_Frame, list[Piece]] = {}  # of the window's frames
        self.window = Window(0)
        self.full: list[Window] = []

    def _next(self) -> None:
        self.full.append(self.window)
        self.window, self._pieces = Window(self.window.end % BLOCK), {}

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
        path, _, offset, length = run
        try:
            frame, slot = self._finder.find(chunk)
            if offset + length > frame.lengths[slot]:
                raise Corrupt(
                    pack_object(frame.pack), "a level asks for more of a chunk than it holds", frame=frame.number
                )
        except (Corrupt, ObjectMissing, BackendError) as error:
            raise naming(error, path) from error
        start = frame.starts[slot] + offset
        if self.window.end >= CLOSING and frame not in self._pieces:
            self._next()
        while self.window.end + length > WINDOW:
            room = WINDOW - self.window.end
            if room:
                self._place(frame, Piece(self.window.end, start, room, path, slot))
            start, length = start + room, length - room
            self._next()
        self._place(frame, Piece(self.window.end, start, length, path, slot))

    def _place(self, frame: _Frame, piece: Piece) -> None:
        pieces = self._pieces.get(frame)
        if pieces is None:
            pieces = self._pieces[frame] = self.window.frames[frame.pack].setdefault(frame.number, [])
        pieces.append(piece)
        self.window.end += piece.length


class _Finder:
    """Where chunks lie. Those that follow each other in a tree mostly do so in a frame, and those of an archive come
    from a few frames in turn: the index is asked once a frame.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._frame, self._slot = _Frame(PackName(""), 0, None), 0
        self._known: dict[ChunkId, tuple[_Frame, int]] = {}

    def find(self, chunk: ChunkId) -> tuple[_Frame, int]:
        """The frame of a chunk, and the chunk's number in it. Raises ObjectMissing, Corrupt, BackendError."""
        frame, slot = self._frame, self._slot + 1
        if slot >= len(frame.ids) or frame.ids[slot] != chunk:
            frame, slot = self._known.get(chunk) or self._look_up(chunk)
            self._frame = frame
        self._slot = slot
        return frame, slot

    def _look_up(self, chunk: ChunkId) -> tuple[_Frame, int]:
        place = self._store.find(chunk)
        if place is None:
            raise ObjectMissing(f"chunk {chunk.hex()}", hint="run 'silt verify' to see what is concerned")
        frames = self._store.footer(place.pack).frames
        frame = _Frame(place.pack, place.frame, frames[place.frame] if place.frame < len(frames) else None)
        if place.slot >= len(frame.ids) or frame.ids[place.slot] != chunk:
            raise Corrupt(pack_object(place.pack), "it does not hold a chunk where the index says")
        if len(self._known) > KNOWN_CHUNKS:
            self._known.clear()
        self._known.update((each, (frame, slot)) for slot, each in enumerate(frame.ids))
        return frame, place.slot


def naming(error: Corrupt | ObjectMissing | BackendError, path: bytes) -> Corrupt | ObjectMissing | BackendError:
    """The same error, saying whose content it is about."""
    error.args = (f"{show_path(path)} cannot be read: {error}",)
    return error
