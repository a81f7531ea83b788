"""A stream of bytes made of literal bytes, zeros and runs of chunks, read from the store in windows.

Rule: within a window each frame is read once, whatever number of runs it holds, packs in the order in which they are
needed; windows are filled in the background while the one before is written. Memory: 5 windows. A chunk that cannot be
had raises its error with the path that needs it, before any byte of its window is written.
"""

import queue
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from mmap import mmap
from typing import NamedTuple, Protocol

from siltstone.store import (
    BackendError,
    ChunkId,
    Corrupt,
    FrameInfo,
    ObjectMissing,
    PackName,
    Store,
    in_parallel,
    pack_object,
)

from .events import show_path

# Larger windows read fewer frames twice (at most one of about 1 MiB at each border), and take more memory.
WINDOW = 16 << 20
THREADS = 2

_ZEROS = memoryview(bytes(1 << 20))


class Run(NamedTuple):
    """`length` bytes from `offset` of a chunk, or zeros where there is none, of the file `path`."""

    path: bytes
    chunk: ChunkId | None
    offset: int
    length: int


class _Piece(NamedTuple):
    at: int  # in the window
    run: Run


@dataclass(slots=True)
class _Window:
    used: int = 0
    literals: list[tuple[int, bytes]] = field(default_factory=list)
    zeros: list[tuple[int, int]] = field(default_factory=list)
    pieces: list[_Piece] = field(default_factory=list)

    def place(self, at: int, run: Run) -> None:
        """A run that fits begins there."""
        if run.chunk is None:
            self.zeros.append((at, run.length))
        else:
            self.pieces.append(_Piece(at, run))


Part = Run | bytes


class Sink(Protocol):
    """What takes bytes: a file, a pipe, or what writes past the page cache."""

    def write(self, data: memoryview, /) -> int | None: ...


def write_stream(store: Store, parts: Iterable[Part], out: Sink) -> int:
    """Write the parts one behind the other; how many bytes. Raises Corrupt, ObjectMissing, BackendError, OSError."""
    filler = _Filler(store)
    total = 0
    for buffer, used in in_parallel(filler.fill, _windows(parts), THREADS):
        _write_all(out, buffer[:used])
        filler.give_back(buffer)
        total += used
    return total


def _write_all(out: Sink, data: memoryview) -> None:
    while data:
        written = out.write(data)
        data = data[written or len(data) :]


def _windows(parts: Iterable[Part]) -> Iterator[_Window]:
    window = _Window()
    for part in parts:
        rest = _add(window, part)
        while rest is not None:
            yield window
            window = _Window()
            rest = _add(window, rest)
    if window.used:
        yield window


def _add(window: _Window, part: Part) -> Part | None:
    """Add as much of a part as fits; the rest."""
    at, room = window.used, WINDOW - window.used
    if isinstance(part, bytes):
        window.used += min(room, len(part))
        window.literals.append((at, part if len(part) <= room else part[:room]))
        return part[room:] or None
    length = part.length
    if length > room:
        window.used += room
        if room:
            window.place(at, part._replace(length=room))
        return part._replace(offset=part.offset + room, length=length - room)
    window.used += length
    window.place(at, part)
    return None


class _Filler:
    """Fills windows. `fill` from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._buffers: queue.SimpleQueue[memoryview] = queue.SimpleQueue()
        for _ in range(2 * THREADS + 1):
            self._buffers.put(memoryview(mmap(-1, WINDOW)))

    def give_back(self, buffer: memoryview) -> None:
        """The buffer is free again."""
        self._buffers.put(buffer)

    def fill(self, window: _Window) -> tuple[memoryview, int]:
        """The bytes of a window: a buffer, and how much of it."""
        buffer = self._buffers.get()
        for at, literal in window.literals:
            buffer[at : at + len(literal)] = literal
        for at, length in window.zeros:
            for start in range(at, at + length, len(_ZEROS)):
                stop = min(start + len(_ZEROS), at + length)
                buffer[start:stop] = _ZEROS[: stop - start]
        for pack, frames in self._plan(window).items():
            self._copy_frames(pack, frames, buffer)
        return buffer, window.used

    def _copy_frames(self, pack: PackName, frames: dict[int, list[tuple[int, _Piece]]], buffer: memoryview) -> None:
        done = -1
        try:
            for number, plain in self._store.read_frames(pack, sorted(frames)):
                for start, (at, run) in frames[number]:
                    buffer[at : at + run.length] = plain[start : start + run.length]
                done = number
        except (Corrupt, ObjectMissing, BackendError) as error:
            frame = getattr(error, "frame", None)
            first = frame if frame in frames else min(number for number in frames if number > done)
            raise _naming(error, frames[first][0][1].run.path) from error

    def _plan(self, window: _Window) -> dict[PackName, dict[int, list[tuple[int, _Piece]]]]:
        """pack -> frame -> (offset in the frame's plaintext, piece)."""
        plan: dict[PackName, dict[int, list[tuple[int, _Piece]]]] = defaultdict(lambda: defaultdict(list))
        finder = _Finder(self._store)
        for piece in window.pieces:
            run = piece.run
            try:
                start = finder.find(run)
            except (Corrupt, ObjectMissing, BackendError) as error:
                raise _naming(error, run.path) from error
            plan[finder.pack][finder.frame].append((start, piece))
        return plan


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


def _naming(error: Corrupt | ObjectMissing | BackendError, path: bytes) -> Corrupt | ObjectMissing | BackendError:
    """The same error, saying whose content it is about."""
    error.args = (f"{show_path(path)} cannot be read: {error}",)
    return error
