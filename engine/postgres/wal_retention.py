"""Which archived WAL is still of use, which may go, and what can be reached before and after.

Rule: pure; nothing is removed here. What recovery needs from any kept level stays: everything from the segment in which
its backup began, on its timeline and on all that branch off later. A gap changes nothing, for it may yet be filled. All
histories stay: they are small, and prove where timelines went. Of a cluster of which no level is kept everything stays:
its first backup may be under way. What is open, and replaced by the whole segment, may go.
"""

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from ..database_info import DatabaseInfo
from .archive_catalog import Catalog
from .archive_names import StoredName, object_name
from .wal_names import WalKind
from .way import Way, ways


class Window(Struct, frozen=True, order=True):
    """From this level recovery reaches every LSN from `start` to `end` on the way to the end of a timeline."""

    level: str
    timeline: int
    start: int
    end: int


class WalPlan(Struct, frozen=True, kw_only=True):
    """Objects of one cluster's WAL, each in one of both lists; and the windows `before` and `after` they are gone.

    `after` is of the kept levels only.
    """

    needed: tuple[str, ...]
    may_go: tuple[str, ...]
    before: tuple[Window, ...]
    after: tuple[Window, ...]


def plan_wal(catalog: Catalog, levels: Mapping[str, DatabaseInfo], kept: Iterable[str]) -> WalPlan:
    """What to keep of a cluster's WAL. `levels`: the databases of all levels, by the levels' names, of this cluster or
    others; `kept`: the names of those from which recovery shall be possible from now on. Raises Malformed.
    """
    mine = {name: info for name, info in levels.items() if info.system_identifier == catalog.system_identifier}
    staying = {name: mine[name] for name in kept if name in mine}
    first = _first_needed(catalog, staying.values())
    needed: list[str] = []
    going: list[str] = []
    for name, parsed in sorted(catalog.names.items()):
        (needed if _is_needed(catalog, parsed, first) else going).append(name)
    return WalPlan(
        needed=tuple(object_name(catalog.system_identifier, name) for name in needed),
        may_go=tuple(object_name(catalog.system_identifier, name) for name in going),
        before=tuple(windows(catalog, mine)),
        after=tuple(windows(catalog.without(going), staying)),
    )


def windows(catalog: Catalog, levels: Mapping[str, DatabaseInfo]) -> Iterator[Window]:
    """What can be reached from each level of this cluster, along each timeline. Raises Malformed."""
    timelines = catalog.known_timelines
    known: dict[int, Way] = {}
    for name, info in sorted(levels.items()):
        for target in ways(catalog, info.timeline, info.stop_lsn) or [info.timeline]:
            way = known.setdefault(target, Way(catalog, timelines, target))
            yield Window(name, target, info.stop_lsn, way.end(info.stop_lsn))


def _first_needed(catalog: Catalog, levels: Iterable[DatabaseInfo]) -> dict[int, int]:
    """The number of the first segment that is needed of each timeline; empty where there is no level.

    A timeline whose history is lost may lead on from any.
    """
    first: dict[int, int] = {}
    timelines = catalog.known_timelines
    strangers = [each for each in catalog.timelines if each not in timelines]
    for info in levels:
        number = info.start_lsn // catalog.size
        targets = ways(catalog, info.timeline, info.stop_lsn)
        for target in {*targets, info.timeline, *strangers}:
            way = timelines.spans(target) if target in timelines else []
            on_the_way = [span.timeline for span in way if span.end is None or span.end > number * catalog.size]
            for timeline in {*on_the_way, target}:
                first[timeline] = min(number, first.get(timeline, number))
    return first


def _is_needed(catalog: Catalog, parsed: StoredName, first: Mapping[int, int]) -> bool:
    segment = parsed.file.segment
    if segment is None or parsed.file.kind is WalKind.HISTORY:
        return True
    if parsed.open_used is not None and not parsed.other and segment.number in catalog.whole_of(segment.timeline):
        return False
    if not first:
        return True
    return segment.timeline in first and segment.number >= first[segment.timeline]
