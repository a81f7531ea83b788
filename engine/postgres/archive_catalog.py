"""What is archived of a cluster: segments by timeline, where there are gaps, and what is proved to be absent.

Rule: everything follows from the names in the store, which are created exclusively and only ever by a commit. So a gap
cannot be forgotten: it is seen at each look, and needs no record of its own. Only the histories are read.

A request that recovery makes is answered "not there" only at the end: nothing later is on that timeline, and no other
timeline says that this one went on. Everything else that is missing is a gap, and an error.
"""

from collections.abc import Collection, Iterable, Iterator
from collections.abc import Set as AbstractSet

from msgspec import Struct, field

from siltstone.store import Store

from .archive_errors import NotArchived, WalGap
from .archive_names import WAL, StoredName, cluster_folder, open_name, parse_stored_name
from .archive_record import read_record
from .errors import Malformed
from .history import History, Timelines, parse_history
from .wal_names import WalFile, WalKind, WalSegment, history_name

DEFAULT_SIZE = 16 << 20
_BACKUP = "take a full backup now: no moment between the gap and that backup can be reached"
_LATER = "WAL was lost on its way, is still to come, or went with the levels that needed it: see 'silt wal status'"


class Run(Struct, frozen=True):
    """Whole segments of a timeline without a gap, by number, `last` included."""

    timeline: int
    first: int
    last: int


class TimelineFiles(Struct):
    """What is archived of one timeline. `parts`: the longest open part of a segment, by number."""

    whole: set[int] = field(default_factory=set)
    partial: set[int] = field(default_factory=set)
    parts: dict[int, int] = field(default_factory=dict)
    part_names: dict[int, list[str]] = field(default_factory=dict)

    @property
    def last(self) -> int:
        """The number of the last segment of which anything is there, -1 if there is none."""
        return max((*self.whole, *self.partial, *self.parts), default=-1)


class Catalog:
    """The archive of a cluster as its names tell it at one moment."""

    def __init__(self, system_identifier: int, size: int) -> None:
        self.system_identifier, self.size = system_identifier, size
        self.timelines: dict[int, TimelineFiles] = {}
        self.histories: dict[int, History] = {}
        self.aside: list[str] = []  # names under which other bytes were kept
        self.names: dict[str, StoredName] = {}  # everything

    def add(self, name: str, parsed: StoredName) -> None:
        """Take note of one object; of a history, that it is there."""
        self.names[name] = parsed
        if parsed.other:
            self.aside.append(name)
            return
        files = self.timelines.setdefault(parsed.file.timeline, TimelineFiles())
        segment = parsed.file.segment
        if segment is None or parsed.file.kind is WalKind.BACKUP:
            return
        if parsed.open_used is not None:
            files.parts[segment.number] = max(files.parts.get(segment.number, 0), parsed.open_used)
            files.part_names.setdefault(segment.number, []).append(name)
        elif parsed.file.kind is WalKind.PARTIAL:
            files.partial.add(segment.number)
        else:
            files.whole.add(segment.number)

    def without(self, names: Collection[str]) -> "Catalog":
        """The archive as it would be if these objects were not there."""
        left = Catalog(self.system_identifier, self.size)
        for name, parsed in self.names.items():
            if name not in names:
                left.add(name, parsed)
        left.histories = {each: kept for each, kept in self.histories.items() if history_name(each) not in names}
        return left

    @property
    def known_timelines(self) -> Timelines:
        """The timelines whose histories are archived. Raises Malformed when two contradict each other."""
        return Timelines(self.histories.values())

    def runs(self) -> list[Run]:
        """All whole segments, by timeline and number."""
        found: list[Run] = []
        for timeline, files in sorted(self.timelines.items()):
            for number in sorted(files.whole):
                if found and found[-1].timeline == timeline and found[-1].last == number - 1:
                    found[-1] = Run(timeline, found[-1].first, number)
                else:
                    found.append(Run(timeline, number, number))
        return found

    def gaps(self) -> list[Run]:
        """What is missing on the way from the first archived segment to the last of each timeline."""
        timelines = self.known_timelines
        return sorted(
            {gap for target in self.timelines for gap in self._gaps(target, timelines)},
            key=lambda gap: (gap.timeline, gap.first),
        )

    def _gaps(self, target: int, timelines: Timelines) -> Iterator[Run]:
        if target not in timelines:  # its history is lost: it is only known by itself
            timelines = Timelines([])
            way = dict.fromkeys(self._span(self.timelines[target].whole), target)
        else:
            on_the_way = [span.timeline for span in timelines.spans(target) if span.timeline in self.timelines]
            numbers = [number for each in on_the_way for number in self.timelines[each].whole]
            last = self.timelines[target].last
            span = self._span([*(number for number in numbers if number <= last), *([last] if last >= 0 else [])])
            way = {number: timelines.segment(target, number, self.size).timeline for number in span}
        missing = [(each, number) for number, each in way.items() if not self.has(each, number)]
        start = 0
        for at, (timeline, number) in enumerate(missing):
            if at + 1 == len(missing) or missing[at + 1] != (timeline, number + 1):
                yield Run(timeline, missing[start][1], number)
                start = at + 1

    @staticmethod
    def _span(numbers: Iterable[int]) -> range:
        found = sorted(numbers)
        return range(found[0], found[-1] + 1) if found else range(0)

    def has(self, timeline: int, number: int) -> bool:
        """Whether that segment can be given: whole, or what there is of one that is the last of its timeline."""
        files = self.timelines.get(timeline, TimelineFiles())
        return number in files.whole or (number == files.last and number >= 0)

    def source_of(self, segment: WalSegment) -> str | None:
        """The name from which a segment can be given: the whole one, or of the timeline's last the longest part."""
        files = self.timelines.get(segment.timeline, TimelineFiles())
        if segment.number in files.whole:
            return segment.name(self.size)
        if segment.number != files.last:
            return None
        if segment.number in files.partial:
            return segment.partial_name(self.size)
        used = files.parts.get(segment.number)
        return None if used is None else open_name(segment, self.size, used)

    def whole_of(self, timeline: int) -> AbstractSet[int]:
        """The numbers of the whole segments of a timeline."""
        files = self.timelines.get(timeline)
        return files.whole if files else set()

    def end_of(self, segment: WalSegment) -> int:
        """The LSN behind what there is of a segment; of a `.partial` where its timeline was left, if that is known."""
        files = self.timelines.get(segment.timeline, TimelineFiles())
        if segment.number in files.whole:
            return segment.end(self.size)
        if segment.number not in files.partial and segment.number in files.parts:
            return segment.start(self.size) + files.parts[segment.number]
        forks = (each for history in self.histories.values() for each in history.ancestors)
        left = [fork.left for fork in forks if fork.timeline == segment.timeline]
        return min([segment.end(self.size), *(lsn for lsn in left if lsn > segment.start(self.size))])

    def refuse_absent(self, name: str, file: WalFile) -> NotArchived:
        """The error for a file that is not there, once it is proved to be beyond the end. Raises WalGap if not."""
        if file.kind is WalKind.HISTORY:
            self._refuse_lost_history(name, file.timeline)
        elif file.segment is not None and file.kind is WalKind.SEGMENT:
            self._refuse_gap(name, file.segment)
        return NotArchived(f"{name}: the archive ends before it", hint="recovery ends here if nothing else follows")

    def _refuse_lost_history(self, name: str, timeline: int) -> None:
        later = [each for each in self._all_timelines() if each >= timeline > 1]
        if later:
            what = f"{name} is not in the archive, and timeline {max(later)} is"
            raise WalGap(what, hint=f"fetch it from the server's pg_wal and run 'silt wal push' on it; {_LATER}")

    def _refuse_gap(self, name: str, segment: WalSegment) -> None:
        files = self.timelines.get(segment.timeline, TimelineFiles())
        later = sorted(number for number in {*files.whole, *files.partial, *files.parts} if number > segment.number)
        if later:
            following = WalSegment(segment.timeline, later[0]).name(self.size)
            raise WalGap(f"{name} is missing in the archive, and {following} is there", hint=f"{_LATER}; {_BACKUP}")
        for history in self.histories.values():
            left = [each.left for each in history.ancestors if each.timeline == segment.timeline]
            if left and left[0] > segment.start(self.size):
                what = f"{name} is missing in the archive, and timeline {history.timeline} began behind its start"
                raise WalGap(what, hint=f"{_LATER}; {_BACKUP}")

    def _all_timelines(self) -> set[int]:
        ancestors = {each.timeline for history in self.histories.values() for each in history.ancestors}
        return {*self.timelines, *self.histories, *ancestors}


def read_catalog(store: Store, system_identifier: int) -> Catalog:
    """What the store has of a cluster. Raises StoreError, and Malformed for names that no archive writes; NoKey where
    the key does not read: histories, and the size of segments, are in roots.
    """
    store.ring.need("read", "looking into the WAL archive")
    folder = cluster_folder(system_identifier)
    names = [name.rpartition("/")[2] for name in store.root_names(folder)]
    catalog = Catalog(system_identifier, _segment_size(store, system_identifier, names))
    for name in names:
        parsed = parse_stored_name(name, catalog.size)
        catalog.add(name, parsed)
        if parsed.file.kind is WalKind.HISTORY and not parsed.other:
            text = read_record(store, system_identifier, name).content
            catalog.histories[parsed.file.timeline] = parse_history(name, parsed.file.timeline, text)
    return catalog


def archived_clusters(store: Store) -> list[int]:
    """The system identifiers of which the store has WAL. Raises Malformed."""
    found = {name.split("/")[1] for name in store.root_names(WAL)}
    if not all(text.isdecimal() for text in found):
        raise Malformed(WAL, "holds a folder that is no system identifier")
    return sorted(map(int, found))


def _segment_size(store: Store, system_identifier: int, names: list[str]) -> int:
    for name in names:
        if not name.endswith((".history", ".backup")) and ".other-" not in name:
            return read_record(store, system_identifier, name).size
    return DEFAULT_SIZE


def lost_histories(catalog: Catalog) -> list[str]:
    """Names of histories that must have been, and are not archived."""
    return [history_name(each) for each in sorted(catalog.timelines) if each > 1 and each not in catalog.histories]
