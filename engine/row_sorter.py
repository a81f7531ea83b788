"""Rows in path order, whatever the order in which they come: sorted runs that spill to a temporary file.

Rule: memory is bounded by RUN rows; of several rows of one path the one that came last stays. It may be iterated more
than once, and rows may be added in between. It promises nothing about rows that are added during an iteration.
"""

import heapq
import tempfile
from collections.abc import Iterator
from itertools import count
from typing import BinaryIO, Self

from .entry import order_key, row_path

RUN = 100_000  # some 30 MB
READ = 1 << 20  # of a run at once; of a longer row, all of it


class RowSorter:
    """A context manager; leaving it removes the temporary file."""

    def __init__(self) -> None:
        self._file: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115  # closed by __exit__
        self._runs: list[tuple[int, int]] = []  # where each spilled run begins and ends
        self._rows: list[tuple[bytes, int, bytes]] = []  # order key, minus the number of its coming, row
        self._numbers = count()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, path: bytes, row: bytes) -> None:
        """The next row, which is of this path."""
        self._rows.append((order_key(path), -next(self._numbers), row))
        if len(self._rows) >= RUN:
            self._spill()

    def _spill(self) -> None:
        start = self._file.seek(0, 2)
        self._rows.sort()
        for _, number, row in self._rows:
            self._file.write((-number).to_bytes(8, "little") + row)
        self._runs.append((start, self._file.tell()))
        self._rows = []

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        """(path, row), ascending, each path once."""
        self._rows.sort()
        last: bytes | None = None
        for key, _, row in heapq.merge(*(self._read(start, end) for start, end in self._runs), self._rows):
            if key != last:
                yield row_path(row), row
            last = key

    def _read(self, start: int, end: int) -> Iterator[tuple[bytes, int, bytes]]:
        at, want = start, READ
        while at < end:
            self._file.seek(at)
            data = self._file.read(min(want, end - at))
            used = 0
            while used + 12 <= len(data):
                want = 12 + int.from_bytes(data[used + 8 : used + 12], "little")
                if used + want > len(data):
                    break
                row = data[used + 8 : used + want]
                yield order_key(row_path(row)), -int.from_bytes(data[used : used + 8], "little"), row
                used += want
            at, want = at + used, max(READ, want)
