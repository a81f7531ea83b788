"""How a verification reports its progress: at most some ten events a second, whatever the pace of the work.

Rule: a phase is one word, and counts within it only grow. Phases: `structure` (packs whose footers were read), `levels`
(entries), `packs` (packs and bytes read whole), `marks` (ranges of chunk ids). It reports nothing but progress; damage
is told by the record of it.
"""

import time

from siltstone.store import PackName, pack_object

from .events import Progress, Report

INTERVAL = 0.1


class Teller:
    """Passes progress on. One thread."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._told = 0.0
        self._phase = ""

    def structure(self, read: int, total: int, pack: PackName) -> None:
        """So many footers of so many were read."""
        if self._due("structure"):
            self._report(Progress("structure", read, 0, current=pack_object(pack), total_files=total))

    def entries(self, count: int) -> None:
        """So many entries of levels were looked at."""
        if self._due("levels"):
            self._report(Progress("levels", count, 0))

    def ranges(self, done: int, total: int) -> None:
        """So many ranges of chunk ids of so many were held against what is live."""
        if self._due("marks"):
            self._report(Progress("marks", done, 0, total_files=total))

    def packs(self, read: int, size: int, pack: PackName, total: int, total_size: int) -> None:
        """So many packs, and bytes, of so many were read whole."""
        if self._due("packs") or read == total:
            current = pack_object(pack)
            self._report(Progress("packs", read, size, current=current, total_files=total, total_bytes=total_size))

    def _due(self, phase: str) -> bool:
        now = time.monotonic()
        if phase == self._phase and now - self._told < INTERVAL:
            return False
        self._told, self._phase = now, phase
        return True
