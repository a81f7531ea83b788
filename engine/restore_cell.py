"""Cells of a database's files that are made of an old chunk and a difference, and where the two meet in a restore.

Rule: a window's differences are read before anything else of it, so that a cell is written as soon as its chunk comes,
and only differences wait in memory. Both stand where an `Assembly` does, as goals of pieces of frames.
"""

from siltstone.store import ChunkId, Corrupt

from .extent_content import applied
from .restore_assembly import Assembly


class DifferingCell:
    """The goal of the old chunk of the cell that lies at `at` of a file."""

    __slots__ = ("_at", "_file", "difference")

    def __init__(self, file: Assembly, at: int, chunk: ChunkId) -> None:
        """`chunk`: where the difference lies."""
        self._file, self._at = file, at
        self.difference = CellDifference(file, chunk)

    def expect(self) -> None:
        """See Assembly.expect."""
        self._file.expect()

    def write(self, _: int, data: memoryview) -> None:
        """The old cell has come. Raises TargetFull."""
        try:
            cell = self.difference.apply(data)
        except Corrupt as error:
            self.fail(str(error), damaged=True)
        else:
            self._file.write(self._at, memoryview(cell))

    def settle(self) -> None:
        """See Assembly.settle."""
        self._file.settle()

    def fail(self, reason: str, *, damaged: bool = False) -> None:
        """See Assembly.fail."""
        self._file.fail(reason, damaged=damaged)


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

    def apply(self, old: memoryview) -> bytearray:
        """The cell as it is to be. Raises Corrupt."""
        data, self._data = self._data, b""
        return applied(old, data, self._chunk)
