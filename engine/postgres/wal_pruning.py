"""Archived WAL that no level needs any more is removed from the store; and what that will mean, told before.

Rule: what wal_retention.py says may go, goes, the oldest first; nothing else does. Levels that can still be undeleted
count as kept, so that an undeleted level recovers as far as it did before; so WAL goes when their window has passed,
with the next forgetting or backup. Levels that wait for parts count as kept, too. No copy is kept of WAL: nothing that
could come back needs it. Where the root of any level is damaged nothing is removed, since nobody knows which WAL it
needs.

Recovery is never led across what was removed: it lies before all that kept levels ask for, or on a timeline to which
none of them leads, and whoever asks for it is told of a gap. A backup that is under way loses nothing either. The WAL
of its own time comes with it, and what follows is younger than the levels that are there; on a timeline to which none
of these leads, what was stored after the newest of them stays.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

from msgspec import Struct

from siltstone.store import Corrupt, ObjectMissing, Store

from ..database_info import DatabaseInfo
from ..events import Noted, Report, Warned
from ..forgotten import forgotten_levels
from ..levels import PARTS, Level, LevelRef, level_refs, list_levels, read_level_or_damage
from ..parts import incomplete_levels
from .archive_catalog import archived_clusters, read_catalog
from .archive_names import cluster_folder
from .archive_record import read_object
from .errors import Malformed
from .recoverable import newest_commit
from .wal_retention import WalPlan, Window, plan_wal


class ClusterWal(Struct, frozen=True):
    """A cluster whose WAL is archived, and what becomes of it. `commits`: for each window of `plan.before`, the moment
    (microseconds since 1970 UTC) of the last commit to which recovery gets there, None where none is near its end.
    """

    system_identifier: int
    plan: WalPlan
    commits: Mapping[Window, int | None]


def wal_outlook(store: Store, levels: Sequence[Level], going: Collection[LevelRef]) -> list[ClusterWal]:
    """What would become of each cluster's WAL without the levels that go, once they cannot be undeleted any more.

    Raises Malformed, StoreError.
    """
    kept = [_label(level) for level in levels if level.ref not in going]
    databases = _databases(levels)
    found = []
    for cluster in archived_clusters(store):
        catalog = read_catalog(store, cluster)
        plan = plan_wal(catalog, databases, kept)
        commits = {window: newest_commit(store, catalog, window) for window in plan.before}
        found.append(ClusterWal(cluster, plan, commits))
    return found


def prune_wal(store: Store, report: Report) -> int:
    """Remove what no level needs that is there or can be undeleted; how many files. Raises StoreError.

    An archive that is damaged is left alone, with a warning.
    """
    clusters = archived_clusters(store)
    if not clusters:
        return 0
    levels = [*list_levels(store), *(each.level for each in forgotten_levels(store))]
    undeleted = set(level_refs(store)) - {level.ref for level in levels}  # while the others were looked for
    levels += [read_level_or_damage(store, ref, ref.name) for ref in sorted(undeleted)]
    unfinished = incomplete_levels(store)
    if any(each.level is None for each in unfinished):
        said = "no part of a level can be read, and so nobody knows here which WAL it needs: none was removed"
        report(Warned("damaged", PARTS, said))
        return 0
    levels += [each.level for each in unfinished if each.level is not None]
    for level in levels:
        if level.damage or level.sealed:
            how = "damaged" if level.damage else "sealed"
            said = f"its root is {how}, and so nobody knows here which WAL it needs: none was removed"
            report(Warned(how, level.name, said))
            return 0
    return sum(_prune(store, cluster, levels, report) for cluster in clusters)


def _prune(store: Store, cluster: int, levels: Sequence[Level], report: Report) -> int:
    databases = _databases(levels)
    newest_ns = max((each.finished_ns for each in levels if _is_of(each, cluster)), default=0)
    try:
        plan = plan_wal(read_catalog(store, cluster), databases, databases)
        going = list(_surely_old(store, plan, newest_ns))
    except (Malformed, Corrupt, ObjectMissing) as error:
        report(Warned("damaged", cluster_folder(cluster), f"{error}; nothing of this WAL was removed"))
        return 0
    for name in going:
        try:
            store.backend.delete(name)
        except ObjectMissing:
            pass  # another host did
    if going:
        last = going[-1].rpartition("/")[2]
        report(Noted(f"removed {len(going)} WAL files of cluster {cluster} that no level needs, the last {last}"))
    return len(going)


def _surely_old(store: Store, plan: WalPlan, newest_ns: int) -> Iterator[str]:
    """Of what may go, what is of no backup under way: of a timeline that levels need, or older than the newest."""
    needed = {name.rpartition("/")[0] for name in plan.needed if not name.endswith(".history")}
    for name in plan.may_go:
        if name.rpartition("/")[0] in needed or read_object(store, name).stored_ns < newest_ns:
            yield name


def _is_of(level: Level, cluster: int) -> bool:
    return level.database is not None and level.database.system_identifier == cluster


def _databases(levels: Sequence[Level]) -> dict[str, DatabaseInfo]:
    return {_label(level): level.database for level in levels if level.database is not None}


def _label(level: Level) -> str:
    return f"{level.deployment}:{level.ref}"
