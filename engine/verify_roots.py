"""The levels as a verification needs them: those that can be read, and those whose roots are damaged or gone.

Rule: a root that cannot be read is damage, and the other levels are looked at. A level that was forgotten leaves a note
behind, so that any other gap in the numbers is a root that is gone. That the newest level of all is gone cannot be
seen.
"""

from collections.abc import Collection
from itertools import groupby

from siltstone.store import BackendError, Corrupt, ObjectMissing, Store, fault_of

from .forgotten import copies
from .levels import ABSENT, Level, LevelRef, level_refs, read_level
from .pins import PINS, pinned_refs
from .verify_blame import label
from .verify_damage import DamageLog


def read_roots(store: Store, log: DamageLog) -> tuple[list[Level], list[LevelRef]]:
    """The levels that can be read, and the names of those that are lost, which are in the log."""
    levels: list[Level] = []
    lost: list[LevelRef] = []
    there = set(level_refs(store))
    gone: set[LevelRef] = set()
    for ref in sorted(there):
        try:
            levels.append(read_level(store, ref))
        except ObjectMissing:
            gone.add(ref)  # it may have been forgotten a moment ago
        except (Corrupt, BackendError) as error:
            log.add(ref.name, fault_of(ref.name, error, store.backend).error)
            lost.append(ref)
    meant = _check_forgotten(store, log)
    for ref in sorted({*(gone - meant), *missing_levels(there - gone, meant)}):
        log.add(ref.name, "it is missing: there are later levels, and it was not forgotten")
        lost.append(ref)
    return levels, lost


def _check_forgotten(store: Store, log: DamageLog) -> set[LevelRef]:
    """The levels that were forgotten. What is wrong with their notes and copies, and with pins, goes into the log."""
    noted, copied = level_refs(store, ABSENT), copies(store)
    for ref in noted:
        said = f"whether level {label(ref)} was forgotten, or is lost, is not known for sure"
        _check_root(store, log, ref.below(ABSENT), ref.below(ABSENT), said)
    for copy in copied:
        _check_root(store, log, copy.name, copy.ref.name, f"level {label(copy.ref)} cannot be undeleted")
    for ref in pinned_refs(store):
        said = f"nothing is lost but its note: level {label(ref)} is pinned all the same"
        _check_root(store, log, ref.below(PINS), ref.below(PINS), said)
    return {*noted, *(copy.ref for copy in copied)}


def _check_root(store: Store, log: DamageLog, name: str, written_as: str, meaning: str) -> None:
    try:
        store.read_root(name, written_as)
    except ObjectMissing:
        pass  # undeleted, unpinned, or collected meanwhile
    except (Corrupt, BackendError) as error:
        log.add(name, f"{fault_of(name, error, store.backend).error}; {meaning}")


def missing_levels(there: Collection[LevelRef], forgotten: Collection[LevelRef] = ()) -> list[LevelRef]:
    """The levels whose roots must have been there: those before others of their group, and groups between others."""
    refs = [*there, *forgotten]
    missing = []
    for deployment, those in groupby(sorted(refs), key=lambda ref: ref.deployment):
        newest: dict[int, int] = {}
        known = set(those)
        for ref in known:
            newest[ref.group] = max(ref.level, newest.get(ref.group, 0))
        for group in range(min(newest), max(newest) + 1):
            wanted = (LevelRef(deployment, group, level) for level in range(newest.get(group, 0) + 1))
            missing += [ref for ref in wanted if ref not in known]
    return missing
