"""The level that a backup is compared with, as far as this host can read one.

Rule: what cannot be read, or cannot be relied on, is no base: then every file is read, which is always right. A host
that reads nothing back takes what it kept of its own levels (kept_levels.py), which may be an older level than the one
that a reading host would take.
"""

from collections.abc import Collection, Mapping

from msgspec import Struct

from siltstone.store import Corrupt, NewerFormat, NoKey, ObjectMissing, PackName, Store

from .events import Noted, Report, Warned
from .kept_levels import KeptLevels, KeptRows
from .level_plan import Plan
from .levels import Level, level_refs, read_level
from .manifest import ManifestReader


class Base(Struct, frozen=True):
    """A level, and where its manifests are read from: what this host `kept` of them, or the store."""

    level: Level
    kept: Mapping[str, KeptRows] | None = None

    def reader(self, store: Store, name: str, host: str) -> ManifestReader | KeptRows | None:
        """What reads the manifest of a host's file set; None where the level has no such set."""
        if self.kept is not None:
            return self.kept.get(name)
        return self.manifest(store, name, host)

    def manifest(self, store: Store, name: str, host: str) -> ManifestReader | None:
        """The manifest in the store, for who needs more than rows; None where this host cannot read it."""
        sets = self.level.sets if self.kept is None else ()
        mine = (files for files in sets if (files.name, files.host) == (name, host))
        return next((ManifestReader(store, self.level, files) for files in mine), None)


def find_base(store: Store, plan: Plan, kept: KeptLevels, report: Report) -> Base | None:
    """The level to compare with, or None: then every file is read, and it is said why."""
    if plan.base is None:
        return None
    if store.ring.may_read:
        try:
            return Base(read_level(store, plan.base))
        except (Corrupt, ObjectMissing) as error:
            report(Warned("damaged", plan.base.name, f"{error}; every file is read"))
        except NoKey as error:
            report(Noted(f"{plan.base.name}: {error}; every file is read"))
        return None
    found = kept.find(level_refs(store), plan.base)
    if found is None:
        report(Noted("no level of this group is kept on this host: every file is read, and nothing is stored twice"))
        return None
    return Base(found.level, found.sets)


def find_cells(store: Store, plan: Plan, report: Report) -> Base | None:
    """The level whose database cells a full backup takes over where they are proved equal: the newest there is, where
    this host can read it. Without it, a week of changed pages would be stored again as whole cells.
    """
    refs = [ref for ref in level_refs(store) if ref.deployment == plan.ref.deployment]
    if plan.kind != "full" or not refs or not store.ring.may_read:
        return None
    try:
        return trusted(store, Base(read_level(store, max(refs))), report)
    except (Corrupt, NewerFormat, NoKey, ObjectMissing):
        return None


def trusted(store: Store, base: Base | None, report: Report) -> Base | None:
    """The base, unless packs are lost, or damaged and not healed yet: then every file is read, and what they held is
    stored again.
    """
    suspect = store.index.suspect and store.index.suspect & store.index.packs()  # notes outlive packs
    unhealed = _unhealed(store, suspect) if suspect else []
    if base is None or not (store.index.lost or unhealed):
        return base
    counts = ((len(store.index.lost), "missing"), (len(unhealed), "damaged"))
    what = " and ".join(f"{number} packs are {how}" for number, how in counts if number)
    report(Warned("damaged", base.level.name, f"{what}; every file is read, to store again what they held"))
    return None


def _unhealed(store: Store, suspect: Collection[PackName]) -> list[PackName]:
    from siltstone.store import is_healed  # parity and all, which no store needs that is whole

    return [pack for pack in suspect if not is_healed(store, pack)]


def expected_size(store: Store, plan: Plan, base: Base | None, names: Collection[str]) -> tuple[int | None, int | None]:
    """About how many files and bytes of these file sets will be read, for the time left: nobody knows what of a known
    tree changed.
    """
    if base is not None:
        return sum(files.files for files in base.level.sets if files.name in names), None
    last = [ref for ref in level_refs(store) if ref.deployment == plan.ref.deployment]
    if not last:
        return None, None
    try:
        newest = read_level(store, max(last))
    except (Corrupt, NewerFormat, NoKey, ObjectMissing):
        return None, None
    mine = [files for files in newest.sets if files.name in names]
    return sum(files.files for files in mine), sum(files.bytes for files in mine)
