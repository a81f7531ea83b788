"""Looking without writing: reading back what was restored, and telling beforehand what a restore would write.

Rule: both compare contents with chunk ids, file by file, on every core; the store's packs are not read for it.
What is read back comes from the page cache where it is still there: this proves what the system took, not the disk.
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any

from .entry import parse_row
from .events import Report
from .restore_assembly import Site
from .restore_inplace import Comparer, Found, batches
from .restore_plan import Placed
from .restore_rows import LevelRows, row_mode, row_size
from .restore_tally import Tally

WORKERS = max(2, os.cpu_count() or 2)

# Groups of files that wait for a worker at a time: the plan of what is compared does not grow with the tree.
GROUPS = 64


class Pace:
    """Waits for workers, and reports progress meanwhile."""

    def __init__(self, tally: Tally, report: Report) -> None:
        self._tally, self._report = tally, report

    def wait(self, futures: Iterable[Future[Any]], phase: str) -> None:
        """Until all are done. Raises what one of them raised, without waiting for the others."""
        left = set(futures)
        while left:
            done, left = wait(left, timeout=0.1, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
            self._report(self._tally.progress(phase))


def read_back(rows: LevelRows, comparer: Comparer, site: Site, pool: ThreadPoolExecutor, pace: Pace) -> None:
    """Read all files that are in place, and make failures of those that are not what the level says."""

    def check(group: list[Placed]) -> None:
        for one, found in zip(group, comparer.look(group), strict=True):
            if not found.right:
                path = site.above(one.path)
                site.tally.retract(path, row_size(one.row), "what was read back is not what was stored")

    placed = (
        Placed(site.below(row.path), row.row)
        for row in rows
        if row.chosen and stat.S_ISREG(row_mode(row.row)) and not site.tally.has_failed(row.path)
    )
    _each(check, batches(placed), pool, pace, "verify")


def preview(rows: LevelRows, comparer: Comparer, base: bytes, tally: Tally, pace: Pace) -> None:
    """Count what would be written, and what is there already."""
    counted: set[tuple[int, int]] = set()

    def check(group: list[Placed]) -> None:
        for one, found in zip(group, comparer.look(group), strict=True):
            if found.right:
                tally.kept(row_size(one.row))
            else:
                tally.restored(1, row_size(one.row), missing(one, found), one.path)

    def missing(one: Placed, found: Found) -> int:
        entry = parse_row(one.row)
        if entry.link in counted:
            return 0
        if entry.link is not None:
            counted.add(entry.link)
        there = found.there
        lengths = (0 if extent.id is None else extent.length for extent in rows.extents(entry))
        return sum(length for at, length in enumerate(lengths) if there is None or not there[at])

    files = (row for row in rows if row.chosen and stat.S_ISREG(row_mode(row.row)))
    placed = (Placed(row.path[len(base) :] or b"/", row.row) for row in files)
    with ThreadPoolExecutor(WORKERS, "silt-compare") as pool:
        _each(check, batches(placed), pool, pace, "compare")


def _each(
    call: Callable[[list[Placed]], None],
    groups: Iterator[list[Placed]],
    pool: ThreadPoolExecutor,
    pace: Pace,
    phase: str,
) -> None:
    """Call for each group, some at a time."""
    while futures := [pool.submit(call, group) for group in islice(groups, GROUPS)]:
        pace.wait(futures, phase)
