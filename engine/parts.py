"""Parts of levels: what each host has sent, until the level is whole.

    parts/<deployment>/<group>/<level>/<host>/<file set>      a root: the level as far as this part goes

Rule: a part names all parts that its level is to have. When they are there, whoever sees it first makes the level's
root of them, which is the same whoever does it; only when that is durable do the parts go. Until then they hold their
chunks as any root does. A level that stays incomplete stays, and is told: nothing of it is ever removed unasked.
"""

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from siltstone.store import Corrupt, Inherited, NewerFormat, ObjectExists, ObjectMissing, Store

from .errors import EngineError
from .hosts import Part
from .levels import (
    ABSENT,
    GENERATION,
    KEPT_WARNINGS,
    PARTS,
    Level,
    LevelRef,
    Names,
    level_from_root,
    level_refs,
    part_object,
    read_level,
    to_root,
)
from .manifest import manifest_chunks


class Incomplete(Struct, frozen=True):
    """A level of which parts are missing. `level` holds what is there; None where no part of it can be read."""

    ref: LevelRef
    there: tuple[Part, ...]
    missing: tuple[Part, ...]
    level: Level | None


def part_names(store: Store) -> list[tuple[LevelRef, Part]]:
    """Every part in the store, sorted; also those whose level is whole, which are on their way out."""
    found = []
    for name in store.root_names(PARTS):
        words = name.split("/")
        if len(words) == 6 and words[2].isdecimal() and words[3].isdecimal():
            found.append((LevelRef(words[1], int(words[2]), int(words[3])), Part(words[5], words[4])))
    return sorted(found)


def incomplete_refs(store: Store) -> list[LevelRef]:
    """The levels that are not whole, sorted. Their numbers are taken. The parts are listed before the levels: whoever
    makes a level whole creates its root before the parts go.
    """
    refs = {ref for ref, _ in part_names(store)}
    return sorted(refs - set(level_refs(store)) - set(level_refs(store, ABSENT))) if refs else []


def read_part(store: Store, ref: LevelRef, part: Part) -> Level:
    """Raises ObjectMissing, Corrupt, NewerFormat."""
    name = part_object(ref, part)
    found = level_from_root(ref, name, store.read_root(name))
    if found.part != part:
        raise Corrupt(name, "the root is of another part")
    return found


def parts_there(store: Store, ref: LevelRef) -> list[Level]:
    """The parts of a level that are there. Raises Corrupt, NewerFormat."""
    found = []
    for each, part in part_names(store):
        if each == ref:
            try:
                found.append(read_part(store, ref, part))
            except ObjectMissing:
                continue  # the level is whole by now
    return found


def incomplete_levels(store: Store, deployment: str | None = None) -> list[Incomplete]:
    """The levels that are not whole, each with what is there of it."""
    found = []
    listed = part_names(store)
    for ref in incomplete_refs(store):
        if deployment in (None, ref.deployment):
            there = tuple(part for each, part in listed if each == ref)
            try:
                level = assembled(parts_there(store, ref))
                found.append(Incomplete(ref, there, missing_of(level), level))
            except (Corrupt, NewerFormat, EngineError):
                found.append(Incomplete(ref, there, (), None))
    return found


def missing_of(level: Level) -> tuple[Part, ...]:
    """The parts that a level put together of parts does not have."""
    there = {(files.name, files.host) for files in level.sets}
    return tuple(part for part in level.expected if part not in there)


def check_expectations(parts: Sequence[Level], wanted: Sequence[Part]) -> None:
    """Raises EngineError where hosts do not agree on which parts a level has."""
    for part in parts:
        if set(part.expected) != set(wanted):
            one, other = (", ".join(map(str, sorted(each))) for each in (part.expected, wanted))
            raise EngineError(
                f"part {part.part} of level {part.ref} was made for other parts: {one}; here they are {other}",
                hint=f"make the deployment files of all hosts alike, and 'silt forget {part.deployment}:{part.ref}'",
            )


def assembled(parts: Sequence[Level]) -> Level:
    """The level that parts make, as far as they are there: the same whoever puts it together. Raises EngineError."""
    assert parts, "a level of no parts"
    order = {part: at for at, part in enumerate(parts[0].expected)}
    check_expectations(parts, parts[0].expected)
    parts = sorted(parts, key=lambda level: order[level.part or Part("", "")])
    first, stats = parts[0], Counter[str]()
    names_on: dict[str, tuple[Names, Names]] = {}
    for part in parts:
        stats.update(part.stats)
        owners, groups = names_on.setdefault(part.part.host if part.part else "", ({}, {}))
        owners.update(part.owners)
        groups.update(part.groups)
    origins = [part.origin for part in parts if part.origin is not None]
    variables = {host: values for origin in origins for host, values in origin.variables.items()}
    opener = min(parts, key=lambda part: (part.started_ns, part.part or Part("", "")))
    stats[GENERATION] = min(part.stats.get(GENERATION, 0) for part in parts)
    return replace(
        first,
        kind=opener.kind,
        parent=opener.parent,
        started_ns=opener.started_ns,
        finished_ns=max(part.finished_ns for part in parts),
        host=", ".join(dict.fromkeys(part.host for part in parts)),
        sets=tuple(files for part in parts for files in part.sets),
        stats=dict(stats),
        warnings=tuple(warning for part in parts for warning in part.warnings)[:KEPT_WARNINGS],
        owners={number: name for owners, _ in reversed(names_on.values()) for number, name in owners.items()},
        groups={number: name for _, groups in reversed(names_on.values()) for number, name in groups.items()},
        database=next((part.database for part in parts if part.database is not None), None),
        origin=replace(origins[0], variables=variables) if origins else None,
        names_on=names_on,
    )


def complete(store: Store, ref: LevelRef) -> tuple[Level | None, tuple[Part, ...]]:
    """Make the level of its parts if all are there; (the level, what is missing). Of two runs of one part at the same
    time, the level has the first. Raises StoreError, EngineError.
    """
    parts = parts_there(store, ref)
    if parts and ref not in {*level_refs(store), *level_refs(store, ABSENT)}:
        level = assembled(parts)
        if missing := missing_of(level):
            return None, missing
        level = replace(level, part=None, expected=())
        # No condemnation names the level's root: so every chunk of it is held against those that came since.
        inherited = Inherited(ref.name, lambda: manifest_chunks(store, level), level.stats.get(GENERATION, 0))
        try:
            with store.writer() as writer:
                writer.commit(ref.name, to_root(level), inherited)
        except ObjectExists:
            pass  # another host did, and made the same of them
    drop_parts(store, ref)
    return read_level(store, ref), ()


def settle(store: Store, deployment: str | None = None) -> None:
    """Finish what was cut off, of a deployment or of all: levels whose parts are all there, and parts whose level is
    whole. Raises StoreError.
    """
    refs = sorted({ref for ref, _ in part_names(store) if deployment in (None, ref.deployment)})
    whole = {*level_refs(store), *level_refs(store, ABSENT)} if refs else set()
    for ref in refs:
        if ref in whole:
            drop_parts(store, ref)
        else:
            try:
                complete(store, ref)
            except (Corrupt, NewerFormat, ObjectMissing, EngineError):
                continue  # it stays incomplete, and is told where levels are listed


def discard(store: Store, ref: LevelRef) -> bool:
    """Forget a level that is not whole: its parts go, for good, and its number stays taken. False: it is no such level.
    Raises NoKey, StoreError.
    """
    store.ring.need("manage", "forgetting levels")
    if ref not in incomplete_refs(store):
        return False
    from .forgotten import note_absence

    note_absence(store, ref, "it was incomplete")
    drop_parts(store, ref)
    return True


def drop_parts(store: Store, ref: LevelRef) -> None:
    """Remove the parts of a level."""
    for each, part in part_names(store):
        if each == ref:
            try:
                store.backend.delete(part_object(ref, part))
            except ObjectMissing:
                continue  # another host did
