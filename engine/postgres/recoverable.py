"""What recovery can reach with the levels and the WAL that there are.

Rule: what wal_retention.py calls windows, of all levels, those put together that end at the same place on the same
timeline: from the end of the oldest one's backup every moment can be reached, by that level or a newer one. A level
whose root cannot be read reaches nothing.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from siltstone.store import Store

from .archive_catalog import Catalog
from .archive_read import last_commit
from .wal_retention import Window, windows
from .way import Way

if TYPE_CHECKING:
    from ..levels import Level


class Recoverable(Struct, frozen=True):
    """Every LSN from `start` to `end` on the way to the end of a timeline, by `count` levels, of which `level` is the
    oldest. In moments: from `since_ns` (since 1970 UTC), the end of its backup, to the last commit, `newest`
    (microseconds since 1970 UTC), None where the last segments hold none that came after it.
    """

    timeline: int
    start: int
    end: int
    level: str
    count: int
    since_ns: int
    newest: int | None


def recoverable(store: Store, catalog: Catalog, levels: Sequence["Level"]) -> list[Recoverable]:
    """By timeline and LSN. `levels`: of this cluster and others. Raises StoreError, Malformed."""
    mine = {
        f"{level.deployment}:{level.ref}": (level.database, level.finished_ns)
        for level in levels
        if level.database is not None and level.database.system_identifier == catalog.system_identifier
    }
    together: dict[tuple[int, int], list[Window]] = {}
    for window in windows(catalog, {name: info for name, (info, _) in mine.items()}):
        together.setdefault((window.timeline, window.end), []).append(window)
    found = []
    for (timeline, end), some in together.items():
        oldest = min(some, key=lambda window: (window.start, window.level))
        since_ns = mine[oldest.level][1]
        newest = newest_commit(store, catalog, oldest)
        late = newest is not None and newest * 1000 > since_ns
        found.append(
            Recoverable(timeline, oldest.start, end, oldest.level, len(some), since_ns, newest if late else None)
        )
    return sorted(found, key=lambda each: (each.timeline, each.start))


def newest_commit(store: Store, catalog: Catalog, window: Window) -> int | None:
    """The last commit (microseconds since 1970 UTC) that recovery gets to; None where none is near the window's end."""
    way = Way(catalog, catalog.known_timelines, window.timeline)
    numbers, _ = way.after(window.start)
    return last_commit(store, catalog, map(way.segment, reversed(numbers)))
