"""What a backup tells of its progress while it runs.

Rule: it counts what has been seen and what has really been read, across file sets, and speaks at most ten times a
second. Totals are those of the newest level there is: an estimate, and nothing depends on it.
"""

import time
from typing import Protocol

from .events import Progress, Report, show_path

SECONDS = 0.1


class _Counts(Protocol):
    @property
    def new_bytes(self) -> int: ...


class Teller:
    """One backup's progress. One thread."""

    def __init__(self, report: Report, sink: _Counts, total_files: int | None, total_bytes: int | None) -> None:
        self._report, self._sink = report, sink
        self._totals = (total_files, total_bytes)
        self._next = 0.0
        self.files = 0
        self.read_bytes = 0

    def tell(self, path: bytes) -> None:
        """`path` is at work."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + SECONDS
        files, size = self._totals
        self._report(
            Progress("backup", self.files, self.read_bytes, self._sink.new_bytes, show_path(path), files, size)
        )

    def read(self, path: bytes, size: int) -> None:
        """So many bytes more of `path` were read."""
        self.read_bytes += size
        self.tell(path)
