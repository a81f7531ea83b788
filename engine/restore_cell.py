"""Cells of a database's files that are made of an old chunk and a difference, and where the two meet in a restore.

Rule: a window's differences are read before anything else of it, so that cells are written as soon as their chunks
come, and only differences wait in memory. Cells that follow each other in a file and in a frame are written in one go.
Both stand where an `Assembly` does, as goals of pieces of frames.
"""

import threading

from siltstone.store import ChunkId, Corrupt, page_buffer

from .extent_content import apply_to
from .restore_assembly import Assembly

_local = threading.local()


class DifferingCells:
    """The goal of the old chunks of cells that lie one behind the other, from `at` of a file on."""

    __slots__ = ("_at", "_differences", "file")

    def __init__(self, file: Assembly, at: int) -> None:
        self.file, self._at = file, at
        self._differences: list[tuple[int, CellDifference]] = []

    def add(self, length: int, chunk: ChunkId) -> "CellDifference":
        """One more cell, of so many bytes, whose difference lies in `chunk`: the goal of that."""
        difference = CellDifference(self.file, chunk)
        self._differences.append((length, difference))
        return difference

    @property
    def end(self) -> int:
        """Where in the file the last cell ends."""
        return self._at + sum(length for length, _ in self._differences)

    def expect(self) -> None:
        """See Assembly.expect."""
        self.file.expect()

    def write(self, _: int, data: memoryview) -> None:
        """The old cells have come. Raises TargetFull."""
        cells = _room(len(data))
        cells[:] = data
        at = 0
        try:
            for length, difference in self._differences:
                difference.apply(cells[at : at + length])
                at += length
        except Corrupt as error:
            self.fail(str(error), damaged=True)
        else:
            self.file.write(self._at, cells)

    def settle(self) -> None:
        """See Assembly.settle."""
        self.file.settle()

    def fail(self, reason: str, *, damaged: bool = False) -> None:
        """See Assembly.fail."""
        self.file.fail(reason, damaged=damaged)


class CellDifference:
    """The goal of a difference."""

    __slots__ = ("_chunk", "_data", "_file")

    def __init__(self, file: Assembly, chunk: ChunkId) -> None:
        self._file, self._chunk, self._data = file, chunk, b""

    def expect(self) -> None:
        """The cell is what the file waits for."""

    def write(self, _: int, data: memoryview) -> None:
        """It has come."""
        self._data = bytes(data)

    def settle(self) -> None:
        """Nothing is to be done before the old cell comes."""

    def fail(self, reason: str, *, damaged: bool = False) -> None:
        """See Assembly.fail."""
        self._file.fail(reason, damaged=damaged)

    def apply(self, cell: memoryview) -> None:
        """Make the cell what it is to be. Raises Corrupt."""
        data, self._data = self._data, b""
        apply_to(cell, data, self._chunk)


def _room(size: int) -> memoryview:
    """This thread's buffer, which lives as long as it does: fresh pages cost more than what is done to them."""
    if len(getattr(_local, "room", b"")) < size:
        _local.room = page_buffer(size)
    room: memoryview = _local.room
    return room[:size]
