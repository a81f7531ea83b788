"""The levels as a verification needs them: those that can be read, and those whose roots are damaged or gone.

Rule: a root that cannot be read is damage, and the other levels are looked at. A level that was forgotten leaves a note
behind, so that any other gap in the numbers is a root that is gone. That the newest level of all is gone cannot be
seen.
"""

from collections.abc import Collection
from itertools import groupby
from typing import NamedTuple

from siltstone.store import BackendError, Corrupt, ObjectMissing, Store, VoidRoot, asked_of, fault_of, in_parallel

from .forgotten import copies
from .hosts import Part
from .levels import ABSENT, Level, LevelRef, level_refs, part_object, read_level
from .parts import part_names, read_part
from .pins import PINS, pinned_refs
from .restore_notes import note_names
from .verify_blame import label
from .verify_damage import DamageLog

# Notes are small and may be many, one a forgotten level: several requests at once hide what each of them waits.
ROOT_THREADS = 4


class Lost(NamedTuple):
    """A root that cannot be read, or is gone, by the object's name; and the level that it is of."""

    name: str
    ref: LevelRef


def read_roots(store: Store, log: DamageLog) -> tuple[list[Level], list[Lost]]:
    """The levels that can be read, with the parts of those that are not whole, and what is lost, which is in the
    log. The parts are listed first: a level's root is there before its parts go.
    """
    lost: list[Lost] = []
    listed = part_names(store)
    levels = _read_parts(store, listed, lost, log)
    there = set(level_refs(store))
    gone: set[LevelRef] = set()
    refs = sorted(there)
    for ref, found in zip(refs, asked_of(store.backend, lambda ref: _level(store, ref), refs), strict=True):
        if isinstance(found, Level):
            levels.append(found)
        elif isinstance(found, VoidRoot):
            there.discard(ref)
        elif isinstance(found, ObjectMissing):
            gone.add(ref)  # it may have been forgotten a moment ago
        else:
            log.add(ref.name, fault_of(ref.name, found, store.backend).error)
            lost.append(Lost(ref.name, ref))
    meant = _check_forgotten(store, log)
    begun = {ref for ref, _ in listed}
    for ref in sorted({*(gone - meant), *missing_levels(there - gone, meant | begun)} - begun):
        log.add(ref.name, "it is missing: there are later levels, and it was not forgotten")
        lost.append(Lost(ref.name, ref))
    return levels, lost


def _level(store: Store, ref: LevelRef) -> Level | ObjectMissing | Corrupt | BackendError:
    try:
        return read_level(store, ref)
    except (ObjectMissing, Corrupt, BackendError) as error:
        return error


def _read_parts(store: Store, listed: list[tuple[LevelRef, Part]], lost: list[Lost], log: DamageLog) -> list[Level]:
    found = []
    for ref, part in listed:
        try:
            found.append(read_part(store, ref, part))
        except ObjectMissing:
            continue  # its level is whole by now
        except (Corrupt, BackendError) as error:
            name = part_object(ref, part)
            log.add(name, fault_of(name, error, store.backend).error)
            lost.append(Lost(name, ref))
    return found


def _check_forgotten(store: Store, log: DamageLog) -> set[LevelRef]:
    """The levels that were forgotten. What is wrong with their notes and copies, and with pins
    and the notes of restores, goes into the log.
    """
    noted, copied = level_refs(store, ABSENT), copies(store)
    roots = [
        *((r.below(ABSENT), "", f"whether level {label(r)} was forgotten or is lost is not known") for r in noted),
        *((each.name, each.ref.name, f"level {label(each.ref)} cannot be undeleted") for each in copied),
        *((r.below(PINS), "", f"level {label(r)} is pinned all the same") for r in pinned_refs(store)),
        *((name, "", "a restore is not remembered, nor what it overrode") for _, _, name in note_names(store)),
    ]

    def fault(root: tuple[str, str, str]) -> tuple[str, str] | None:
        name, written_as, meaning = root
        try:
            store.read_root(name, written_as)
        except ObjectMissing:
            return None  # undeleted, unpinned, or collected meanwhile
        except (Corrupt, BackendError) as error:
            return name, f"{fault_of(name, error, store.backend).error}; {meaning}"
        return None

    for found in in_parallel(fault, roots, ROOT_THREADS):
        if found is not None:
            log.add(*found)
    return {*noted, *(copy.ref for copy in copied)}


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
