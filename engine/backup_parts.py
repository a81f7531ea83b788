"""A level to which several hosts send their parts: this host's are backed up, one by one.

Rule: each part is a root of its own, created exclusively. A part joins the newest level that is not whole yet, if its
own part of it is not there, that level is newer than any whole one, and its first part is not older than the deployment
says; else it opens the next level. Who opens a level chooses whether it is full, and those who join follow. Only a full
one that was asked for does not join an incremental one. Choosing is pure (`choose_level`).
"""

import time
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from siltstone.store import Corrupt, NoKey, ObjectExists, SiltError, Store, Writer

from .backup_run import Warnings, inherited_of, take_level
from .database_info import CONFIG_SET_NAME, SET_NAME
from .deployment import Deployment
from .events import Noted, Report
from .hosts import Part
from .kept_levels import KeptLevels
from .level_plan import Plan, plan_level
from .levels import ABSENT, Kind, Level, LevelRef, level_refs, to_root
from .parts import check_expectations, complete, incomplete_refs, part_names, parts_there, settle
from .topology import parts_of

# How often a part may find its place taken by the same part of another run before it gives up.
TRIES = 20


class PartsDone(Struct, frozen=True):
    """The level that the parts went to; `level` where it is whole now, else what is `missing`."""

    ref: LevelRef
    level: Level | None
    missing: tuple[Part, ...]
    stats: dict[str, int]


class Open(Struct, frozen=True):
    """A level that is not whole: which parts are there, and what the oldest of them says."""

    ref: LevelRef
    there: tuple[Part, ...]
    kind: Kind
    parent: int | None
    started_ns: int


def only(deployment: Deployment, parts: Collection[Part]) -> Deployment:
    """The deployment with these parts and no others."""
    names = {part.set_name for part in parts}
    return replace(
        deployment,
        file_sets=tuple(each for each in deployment.file_sets if each.name in names),
        database=deployment.database if SET_NAME in names else None,
        tables=deployment.tables if CONFIG_SET_NAME in names else None,
    )


def choose_level(
    part: Part,
    kind: Literal["auto", "full", "incr", "diff"],
    unfinished: Sequence[Open],
    whole: Collection[LevelRef],
    oldest_ns: int,
) -> Open | None:
    """The level that a part joins, of those of its deployment; None: it opens one."""
    newest = max(unfinished, key=lambda each: each.ref, default=None)
    if newest is None or part in newest.there or newest.started_ns < oldest_ns:
        return None
    if any(ref > newest.ref for ref in whole) or (kind == "full" and newest.kind != "full"):
        return None
    return newest


def plan_part(
    store: Store, deployment: Deployment, kind: Literal["auto", "full", "incr", "diff"], part: Part, report: Report
) -> Plan:
    """The level that a part goes to. Raises EngineError where hosts do not agree on the parts, StoreError."""
    name = deployment.name
    unfinished = [ref for ref in incomplete_refs(store) if ref.deployment == name]
    whole = [ref for ref in level_refs(store) if ref.deployment == name]
    gone = level_refs(store, ABSENT)
    oldest = time.time_ns() - deployment.topology.parts_within_ns
    newest = _open_level(store, max(unfinished), deployment) if unfinished else None
    joined = choose_level(part, kind, [newest] if newest else [], [*whole, *_of(gone, name)], oldest)
    if joined is None:
        # Of hosts that may only add, none makes a level whole: it will be, and the next one goes on from it.
        full = [ref for ref in unfinished if _of_level(store, ref) >= set(parts_of(deployment))]
        if unfinished and max(unfinished) not in full:
            report(Noted(f"level {max(unfinished)} of {name} stays incomplete: this part opens another"))
        return plan_level(name, kind, [*whole, *full], [*gone, *unfinished])
    base = None if joined.parent is None else LevelRef(name, joined.ref.group, joined.parent)
    return Plan(joined.ref, joined.kind, base)


def back_up_parts(
    store: Store,
    deployment: Deployment,
    parts: Sequence[Part],
    kind: Literal["auto", "full", "incr", "diff"],
    here: str,
    compression: str | None,
    keep_in: str | None,
    warned: Warnings,
) -> PartsDone:
    """Back up these parts of this host. What was stored before an error stays. Raises what `take_level` raises."""
    if store.ring.may_read:
        settle(store, deployment.name)
    stats: Counter[str] = Counter()
    ref: LevelRef | None = None
    for part in parts:
        with KeptLevels(store, keep_in, deployment.name, warned, part) as kept:
            level = _back_up_part(store, deployment, part, kind, here, compression, kept, warned)
            kept.keep(level)
        stats.update(level.stats)
        ref = level.ref
        warned(Noted(f"{part} was stored as part of level {ref}"))
    assert ref is not None, "a host has a part, or there is no backup"
    if not store.ring.may_read:
        there = _of_level(store, ref)
        warned(Noted(f"this host may only add: the next backup of one that may read, or 'silt gc', makes {ref} whole"))
        return PartsDone(ref, None, tuple(part for part in parts_of(deployment) if part not in there), dict(stats))
    whole, missing = complete(store, ref)
    return PartsDone(ref, whole, missing, dict(stats))


def _back_up_part(
    store: Store,
    deployment: Deployment,
    part: Part,
    kind: Literal["auto", "full", "incr", "diff"],
    here: str,
    compression: str | None,
    kept: KeptLevels,
    warned: Warnings,
) -> Level:
    before = warned.count

    def commit(writer: Writer, level: Level, base: Level | None) -> Level:
        inherited = inherited_of(store, level, base)
        stats = level.stats | {"warnings": warned.count - before}
        level = replace(level, part=part, expected=parts_of(deployment), stats=stats)
        for _ in range(TRIES):
            try:
                writer.commit(level.name, to_root(level), inherited)
                return level
            except ObjectExists:  # the same part of another run was quicker: this one is of the next level
                plan = plan_part(store, deployment, kind, part, warned)
                parent = plan.base.level if plan.base else None
                level = replace(level, ref=plan.ref, kind=plan.kind, parent=parent)
        raise SiltError(f"{level.name} was taken by other backups {TRIES} times", hint="let one of them end")

    plan = plan_part(store, deployment, kind, part, warned)
    return take_level(store, only(deployment, [part]), plan, here, compression, kept, warned, commit)


def _open_level(store: Store, ref: LevelRef, deployment: Deployment) -> Open | None:
    there = tuple(sorted(_of_level(store, ref)))
    try:
        levels = parts_there(store, ref)
    except Corrupt:
        return None  # nobody adds to what cannot be read
    except NoKey:  # this host may add and not read: it joins by the name alone
        return Open(ref, there, "incr" if ref.level else "full", ref.level - 1 if ref.level else None, time.time_ns())
    if not levels:
        return None
    oldest = min(levels, key=lambda level: level.started_ns)
    if oldest.started_ns >= time.time_ns() - deployment.topology.parts_within_ns:
        check_expectations(levels, parts_of(deployment))
    return Open(ref, there, oldest.kind, oldest.parent, oldest.started_ns)


def _of_level(store: Store, ref: LevelRef) -> set[Part]:
    """The parts of a level that are there, by their names."""
    return {part for each, part in part_names(store) if each == ref}


def _of(refs: Sequence[LevelRef], name: str) -> list[LevelRef]:
    return [ref for ref in refs if ref.deployment == name]
