"""What happened near a moment: commits and restore points in the archive, for who chooses where recovery shall stop.

Rule: the times of first and last commit stand in each segment's root, so a search reads few of them, and the commit
indexes of the segments next to the moment. Times may go back a little within the WAL: "before" is what recovery to that
moment would keep. Aborts are left out. Of one timeline at a time.
"""

from msgspec import Struct

from siltstone.store import Store

from ..errors import ConfigError
from .archive_catalog import Catalog, archived_clusters, read_catalog
from .archive_read import read_commit_index
from .archive_record import ArchivedFile, read_record
from .commit_index import CommitIndex
from .wal_names import WalSegment
from .wal_record import RestorePoint, Transaction


class Moment(Struct, frozen=True):
    """A commit, or a restore point where `name` is not empty. `time` in microseconds since 1970 UTC."""

    time: int
    timeline: int
    lsn: int
    xid: int = 0
    name: str = ""
    before: bool = True


def moments_near(
    store: Store, time: int, *, count: int = 5, system_identifier: int | None = None, timeline: int | None = None
) -> list[Moment]:
    """Up to `count` moments at or before a time and as many after it, in their order, of the newest timeline.

    Raises ConfigError when nothing says which cluster is meant, StoreError, Malformed.
    """
    catalog = read_catalog(store, _cluster(store, system_identifier))
    chosen = max(catalog.timelines, default=1) if timeline is None else timeline
    around = _Around(store, catalog, chosen)
    number = around.last_begun(time)
    before = around.collect(number, time, count, step=-1)
    after = around.collect(number, time, count, step=1)
    return [*before[-count:], *after[:count]]


def _cluster(store: Store, given: int | None) -> int:
    clusters = archived_clusters(store)
    if given is None and len(clusters) == 1:
        return clusters[0]
    if given in clusters and given is not None:
        return given
    if not clusters:
        raise ConfigError("the store has no WAL yet", hint="'silt wal stream' or 'silt-wal push' bring it there")
    what = "of several clusters" if given is None else f"of {len(clusters)}, and none of the cluster {given}"
    raise ConfigError(f"the store has WAL {what}", hint=f"name one with --system: {', '.join(map(str, clusters))}")


class _Around:
    """The segments on the way to the end of a timeline, by number."""

    def __init__(self, store: Store, catalog: Catalog, timeline: int) -> None:
        self._store, self._catalog = store, catalog
        timelines = catalog.known_timelines
        self._names: dict[int, str] = {}
        for each in [span.timeline for span in timelines.spans(timeline)] if timeline in timelines else [timeline]:
            files = catalog.timelines.get(each)
            for number in sorted({*files.whole, *files.partial, *files.parts}) if files else ():
                if timeline not in timelines or timelines.segment(timeline, number, catalog.size).timeline == each:
                    name = catalog.source_of(WalSegment(each, number))
                    if name is not None:
                        self._names[number] = name
        self._numbers = sorted(self._names)

    def last_begun(self, time: int) -> int:
        """The place in the list of the last segment whose first commit is not later; 0 if all are."""
        low, high = 0, len(self._numbers)
        while low < high:
            middle = (low + high) // 2
            at = next((each for each in range(middle, high) if self._record(each).times is not None), None)
            times = None if at is None else self._record(at).times
            if at is None or times is None or times[0] > time:
                high = middle
            else:
                low = at + 1
        return max(0, low - 1)

    def collect(self, at: int, time: int, count: int, *, step: int) -> list[Moment]:
        """Moments before (step -1) or after (1) a time, from the segment at that place on, until there are enough."""
        found: list[Moment] = []
        while 0 <= at < len(self._numbers) and len(found) < count:
            index = self._index(at)
            if index is not None:
                moments = sorted(_moments(index, time, count, before=step < 0), key=lambda each: each.lsn)
                found = [*moments, *found] if step < 0 else [*found, *moments]
            at += step
        return found

    def _record(self, at: int) -> ArchivedFile:
        return read_record(self._store, self._catalog.system_identifier, self._names[self._numbers[at]])

    def _index(self, at: int) -> CommitIndex | None:
        index = read_commit_index(self._store, self._record(at))
        if index is None or at == 0 or self._numbers[at - 1] != self._numbers[at] - 1:
            return index
        previous = read_commit_index(self._store, self._record(at - 1))
        return index if previous is None else index.with_cut_of(previous)


def _moments(index: CommitIndex, time: int, count: int, *, before: bool) -> list[Moment]:
    commits = index.near(time, count)[0 if before else 1]
    points = [point for point in index.restore_points if (point.time <= time) == before]
    return [*(_moment(index, each, before) for each in commits), *(_moment(index, each, before) for each in points)]


def _moment(index: CommitIndex, each: Transaction | RestorePoint, before: bool) -> Moment:
    timeline = index.segment.timeline
    if isinstance(each, RestorePoint):
        return Moment(each.time, timeline, each.lsn, name=each.name, before=before)
    return Moment(each.time, timeline, each.lsn, xid=each.xid, before=before)
