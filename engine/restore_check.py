"""Looking without writing: reading back what was restored, and telling beforehand what a restore would write.

Rule: both compare contents with chunk ids, file by file, on every core; the store's packs are not read for it.
What is read back comes from the page cache where it is still there: this proves what the system took, not the disk.
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from functools import lru_cache
from itertools import islice
from typing import Any

from .directory import in_words
from .entry import parse_row, row_path
from .events import Report, show_path
from .restore_assembly import Site
from .restore_inplace import NOTHING, Comparer, Found, batches
from .restore_rows import LevelRows, row_mode, row_size
from .restore_tally import Tally
from .restore_window import Placed
from .selection import is_within

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


class Way:
    """What stands in the way of a restore that is only looked at: folders that a `Target` would refuse or replace."""

    def __init__(self, root: bytes, roots: Sequence[bytes], *, replace: bool) -> None:
        """As `Target` takes them."""
        self._root, self._roots, self._replace = root.rstrip(b"/"), roots, replace
        self.obstacle = lru_cache(maxsize=1024)(self._obstacle)  # files of one folder come together

    def _obstacle(self, folder: bytes) -> str | None:
        """Why nothing can be written into a folder below the target; "" if what is there gives way; None: nothing."""
        names = folder.split(b"/")[1:] if folder else []
        for count in range(1, len(names) + 1):
            path = b"/" + b"/".join(names[:count])
            try:
                mode = os.lstat(self._root + path).st_mode
            except (OSError, ValueError):
                return None  # it would be made; or whoever writes there will say why not
            if not stat.S_ISDIR(mode):
                if self._replace and any(is_within(path, root) for root in self._roots):
                    return ""
                return f"{show_path(path)}: {in_words(mode)} stands where a directory must be"
        return None


def preview(rows: LevelRows, comparer: Comparer, way: Way, base: bytes, tally: Tally, pace: Pace) -> None:
    """Count what would be written, and what is there already; what would be refused fails."""
    counted: set[tuple[int, int]] = set()

    def check(group: list[Placed]) -> None:
        for one, found in zip(group, comparer.look(group), strict=True):
            obstacle = way.obstacle(one.path.rpartition(b"/")[0])
            if obstacle:
                tally.fail(row_path(one.row), obstacle)
            elif obstacle is not None:  # what was compared lies behind it, and not here
                tally.restored(1, row_size(one.row), missing(one, NOTHING), one.path)
            elif found.right:
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
        lengths = (0 if extent.id is None else extent.size for extent in rows.extents(entry))
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
