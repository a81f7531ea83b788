"""The levels as a verification needs them: those that can be read, and those whose roots are damaged or gone.

Rule: a root that cannot be read is damage, and the other levels are looked at. Nothing in this program removes a level,
so that a gap in the numbers is a root that is gone. That the newest level of all is gone cannot be seen.
"""

from collections.abc import Sequence
from itertools import groupby

from siltstone.store import BackendError, Corrupt, ObjectMissing, Store, fault_of

from .levels import Level, LevelRef, level_refs, read_level
from .verify_damage import DamageLog


def read_roots(store: Store, log: DamageLog) -> tuple[list[Level], list[LevelRef]]:
    """The levels that can be read, and the names of those that are lost, which are in the log."""
    levels: list[Level] = []
    lost: list[LevelRef] = []
    refs = level_refs(store)
    for ref in refs:
        try:
            levels.append(read_level(store, ref))
        except (Corrupt, ObjectMissing, BackendError) as error:
            log.add(ref.name, fault_of(ref.name, error, store.backend).error)
            lost.append(ref)
    for ref in missing_levels(refs):
        log.add(ref.name, "it is missing: there are later levels, and nothing removes one from between")
        lost.append(ref)
    return levels, lost


def missing_levels(refs: Sequence[LevelRef]) -> list[LevelRef]:
    """The levels whose roots must have been there: those before others of their group, and groups between others."""
    missing = []
    for deployment, those in groupby(sorted(refs), key=lambda ref: ref.deployment):
        newest: dict[int, int] = {}
        there = set(those)
        for ref in there:
            newest[ref.group] = max(ref.level, newest.get(ref.group, 0))
        for group in range(min(newest), max(newest) + 1):
            wanted = (LevelRef(deployment, group, level) for level in range(newest.get(group, 0) + 1))
            missing += [ref for ref in wanted if ref not in there]
    return missing
