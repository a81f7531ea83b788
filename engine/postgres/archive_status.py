"""What `silt wal status` tells: ranges of WAL by timeline, gaps, what can be reached, and how far the server is ahead.

Rule: the names in the store say what is there; of each timeline, and of what can be reached along it, only the roots of
the last segments are read, for the time of their last commit. Nothing is changed, here or on the server.
"""

from collections.abc import Sequence

from msgspec import Struct

from siltstone.store import Store

from ..levels import Level, list_levels
from .archive_catalog import Catalog, Run, archived_clusters, lost_histories, read_catalog
from .archive_read import last_commit
from .archive_record import read_record
from .connection import connect
from .identity import identify
from .recoverable import Recoverable, recoverable
from .slots import Slot, read_slot
from .wal_names import WalSegment


class TimelineStatus(Struct, frozen=True):
    """Whole segments in `runs`; `end` is the LSN up to which there is WAL, `newest` the time of the last commit found
    (microseconds since 1970 UTC), None where the last segments hold none.
    """

    timeline: int
    runs: tuple[Run, ...]
    end: int
    newest: int | None


class ArchiveStatus(Struct, frozen=True):
    """The archive of a cluster. `aside`: names of bytes that came under taken names; `reachable`: by the levels that
    are there.
    """

    system_identifier: int
    segment_size: int
    timelines: tuple[TimelineStatus, ...]
    gaps: tuple[Run, ...]
    lost_histories: tuple[str, ...]
    aside: tuple[str, ...]
    reachable: tuple[Recoverable, ...]

    def names_of(self, run: Run) -> tuple[str, str]:
        """The names of the first and the last segment of a run or a gap."""
        first, last = (WalSegment(run.timeline, number).name(self.segment_size) for number in (run.first, run.last))
        return first, last

    def end_of(self, timeline: int) -> int | None:
        """The LSN up to which WAL of a timeline is archived."""
        return next((each.end for each in self.timelines if each.timeline == timeline), None)


class SlotStatus(Struct, frozen=True):
    """The server's side: where it writes, and its slot, if there is one of that name."""

    system_identifier: int
    timeline: int
    lsn: int
    slot: Slot | None


def archive_status(store: Store) -> list[ArchiveStatus]:
    """Of every cluster whose WAL the store has. Raises StoreError, Malformed."""
    clusters = archived_clusters(store)
    levels = list_levels(store) if clusters else []
    return [_status(store, read_catalog(store, system), levels) for system in clusters]


def slot_status(dsn: str, slot: str | None) -> SlotStatus:
    """Ask the server. Raises PostgresError, ServerAway."""
    with connect(dsn, replication=True) as connection:
        identity = identify(connection)
        found = None if slot is None else read_slot(connection, slot)
        return SlotStatus(identity.system_identifier, identity.position.timeline, identity.position.lsn, found)


def _status(store: Store, catalog: Catalog, levels: Sequence[Level]) -> ArchiveStatus:
    runs = catalog.runs()
    timelines = [
        TimelineStatus(
            timeline, tuple(run for run in runs if run.timeline == timeline), *_end(store, catalog, timeline)
        )
        for timeline in sorted(catalog.timelines)
    ]
    return ArchiveStatus(
        catalog.system_identifier,
        catalog.size,
        tuple(timelines),
        tuple(catalog.gaps()),
        tuple(lost_histories(catalog)),
        tuple(catalog.aside),
        tuple(recoverable(store, catalog, levels)),
    )


def _end(store: Store, catalog: Catalog, timeline: int) -> tuple[int, int | None]:
    """The LSN behind what is archived of a timeline, and its newest commit."""
    segment = WalSegment(timeline, catalog.timelines[timeline].last)
    name = catalog.source_of(segment)
    if name is None:
        return 0, None
    record = read_record(store, catalog.system_identifier, name)
    whole = segment.number in catalog.whole_of(timeline)
    before = (WalSegment(timeline, number) for number in range(segment.number, -1, -1))
    return record.start + record.size if whole else record.end, last_commit(store, catalog, before)
