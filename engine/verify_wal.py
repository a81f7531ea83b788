"""What damage means for the archived WAL: which files are lost, and from which levels recovery gets less far.

Rule: the archive as it is is held against the archive without what was lost with one object, by the same decisions that
retention and recovery make (postgres/way.py). WAL that is missing without a trace is a gap, and no damage that could be
told from WAL that never came: gaps are told beside it. Memory: the names of the WAL files, for as long as this takes.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress

from siltstone.store import Corrupt, ObjectMissing, Store

from .database_info import DatabaseInfo
from .live import Live
from .postgres.archive_catalog import DEFAULT_SIZE, Catalog, archived_clusters, read_catalog
from .postgres.archive_names import parse_stored_name
from .postgres.archive_read import last_commit
from .postgres.archive_record import ArchivedFile
from .postgres.errors import Malformed
from .postgres.history import parse_history
from .postgres.wal_names import WalKind, WalSegment
from .postgres.wal_retention import windows
from .postgres.way import Way
from .verify_blame import OWN_ROOT, Losses, label
from .verify_manifests import extent_columns
from .verify_result import Damage, Shortened


class WalBlame:
    """The archives of a store. Making one reads every root below wal/. Raises BackendError, NoKey, NewerFormat."""

    def __init__(self, store: Store, live: Live, losses: Losses) -> None:
        self._store = store
        self._levels = {label(level.ref): level.database for level in live.levels if level.database is not None}
        self._files: dict[int, dict[str, bytes]] = defaultdict(dict)  # of each cluster: name, and what histories say
        self._sizes: dict[int, int] = {}
        self._lost: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))  # with which object
        for name, file in live.wal.files():
            self._take(name, file, losses)
        for name in live.wal.lost:
            parts = name.split("/")
            if len(parts) == 4 and parts[1].isdecimal():
                self._files[int(parts[1])][parts[3]] = b""
                self._lost[name][int(parts[1])].add(parts[3])
        self._catalogs = {system: self._catalog(system) for system in self._files}

    def _take(self, name: str, file: ArchivedFile, losses: Losses) -> None:
        system = file.system_identifier
        self._files[system][file.name] = file.content
        if file.extents:
            self._sizes.setdefault(system, file.size)
        for key, end in zip(*(column.tolist() for column in extent_columns(file.references)), strict=True):
            owners = losses.owners.get(key, ())
            for owner in (*owners, *([OWN_ROOT] if end > losses.short.get(key, end) else [])):
                self._lost[owner or name][system].add(file.name)

    def _catalog(self, system: int) -> Catalog:
        catalog = Catalog(system, self._sizes.get(system, DEFAULT_SIZE))
        for name, content in self._files[system].items():
            try:
                parsed = parse_stored_name(name, catalog.size)
                catalog.add(name, parsed)
                if content and parsed.file.kind is WalKind.HISTORY and not parsed.other:
                    catalog.histories[parsed.file.timeline] = parse_history(name, parsed.file.timeline, content)
            except Malformed:
                continue  # nothing that recovery would ask for
        return catalog

    def assign(self, damages: dict[str, Damage]) -> None:
        """Enter files, and how far recovery gets, into the damages."""
        for owner, clusters in self._lost.items():
            damage = damages.setdefault(owner, Damage(owner, "what it refers to is not what is stored"))
            for system, names in clusters.items():
                catalog = self._catalogs[system]
                damage.wal += [f"{system}/{name}" for name in sorted(names)]
                for level, shortened in self._shortened(catalog, catalog.without(names)):
                    damage.reach.setdefault(level, []).append(shortened)

    def _shortened(self, whole: Catalog, left: Catalog) -> Iterator[tuple[str, Shortened]]:
        levels = {
            name: info for name, info in self._levels.items() if info.system_identifier == whole.system_identifier
        }
        try:
            after = {(each.level, each.timeline): each.end for each in windows(left, levels)}
            for each in windows(whole, levels):
                end = after.get((each.level, each.timeline), each.start)
                if end < each.end:
                    moment = self._moment(left, each.timeline, levels[each.level], end)
                    yield each.level, Shortened(each.timeline, end, each.end, moment)
        except Malformed:
            return  # histories that contradict each other lead nowhere

    def _moment(self, left: Catalog, timeline: int, info: DatabaseInfo, end: int) -> int | None:
        if end <= info.stop_lsn:
            return None
        way = Way(left, left.known_timelines, timeline)
        numbers = range((end - 1) // left.size, info.stop_lsn // left.size - 1, -1)
        try:
            return last_commit(self._store, left, map(way.segment, numbers))
        except (Corrupt, ObjectMissing):
            return None


def wal_gaps(store: Store) -> list[str]:
    """What is missing between archived segments, by cluster; of archives whose names or histories cannot be told,
    nothing. Raises BackendError, NoKey, NewerFormat.
    """
    found: list[str] = []
    with suppress(Malformed):
        for system in archived_clusters(store):
            with suppress(Corrupt, ObjectMissing, Malformed):
                found += _gaps(read_catalog(store, system))
    return found


def _gaps(catalog: Catalog) -> Iterator[str]:
    for gap in catalog.gaps():
        first, last = (WalSegment(gap.timeline, number).name(catalog.size) for number in (gap.first, gap.last))
        yield f"{catalog.system_identifier}/{first}" + (f" to {last}" if first != last else "")
