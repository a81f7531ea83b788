"""Carrying out what this host has of a plan for restoring a level onto another deployment (onto.py).

Rule: nothing is written before every rule that is broken was overridden by its name, and every share that this host
needs is mounted. Files first, then the database, each as a restore of its own: running it again after an interruption
completes it. Other hosts' steps are theirs: the same command, there.
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from siltstone.store import Corrupt, NewerFormat, ObjectMissing, Store

from .errors import EngineError, TargetError
from .events import Noted, Report, Warned
from .hosts import Part
from .levels import Level, LevelRef, level_refs, read_level
from .mounts import mount_fault
from .onto import OntoPlan, Step
from .parts import assembled, incomplete_refs, missing_of, parts_there
from .path_mapping import Move
from .resolving import resolve_ref
from .restore import restore_level
from .restore_matrix import RULES, Refusal, remarks
from .restore_notes import note_begun, note_ended
from .restore_tally import RestoreResult, combined
from .selection import Selection

if TYPE_CHECKING:
    from .postgres.recovery import Recovery


class NotAllowed(EngineError):
    """Restoring there breaks rules. `rules` are their names."""

    def __init__(self, message: str, rules: tuple[str, ...]) -> None:
        words = " ".join(f"--allow {rule}" for rule in rules)
        super().__init__(message, hint=f"to do it all the same: {words}")
        self.rules = rules


def level_for_onto(
    store: Store, spec: str, recovery: "Recovery | None" = None
) -> tuple[Level, tuple[Part, ...], "Recovery | None"]:
    """The level that words name, which parts of it are missing, and the recovery once it is proved that it gets there:
    of 'latest' and a moment, the newest level from which it does. Raises LevelNotFound, EngineError, StoreError.
    """
    if recovery is None:
        return (*_level_of(store, spec), None)
    from .postgres.reach import level_before, reachable

    level, missing = _level_of(store, spec)
    if not missing:
        level = level_before(store, spec, recovery)
    elif level.database is None:
        raise EngineError(f"the database of level {level.ref} was never sent", hint="choose another level")
    return level, missing, reachable(store, level, recovery)


def full_of(store: Store, level: Level) -> Level | None:
    """Level 0 of a level's group, where it is there and can be read."""
    try:
        return read_level(store, LevelRef(level.deployment, level.group, 0))
    except (ObjectMissing, Corrupt, NewerFormat):
        return None


def _level_of(store: Store, spec: str) -> tuple[Level, tuple[Part, ...]]:
    unfinished = incomplete_refs(store)
    ref = resolve_ref([*level_refs(store), *(unfinished if not spec.endswith("latest") else ())], spec)
    if ref not in unfinished:
        return read_level(store, ref), ()
    level = assembled(parts_there(store, ref))
    return level, missing_of(level)


def check_allowed(plan: OntoPlan, allowed: Collection[str], report: Report) -> tuple[Refusal, ...]:
    """The rules that are broken and overridden, each a warning. Raises NotAllowed for the others, EngineError for
    a word that names no rule.
    """
    for word in allowed:
        if word not in RULES:
            raise EngineError(f"there is no rule '{word}'", hint=f"the rules are: {', '.join(RULES)}")
    broken = [refusal for refusal in plan.refusals if refusal.rule not in allowed]
    if broken:
        said = "; ".join(f"{refusal.rule}: {refusal.sentence}" for refusal in broken)
        raise NotAllowed(said, tuple(refusal.rule for refusal in broken))
    for refusal in plan.refusals:
        report(Warned("allowed", "", f"{refusal.rule}: {refusal.sentence}; it was overridden"))
    for said in (*remarks(plan.origin, plan.destination), *plan.left_out):
        report(Noted(said))
    return plan.refusals


def restore_onto(
    store: Store,
    level: Level,
    plan: OntoPlan,
    here: str,
    *,
    allowed: Sequence[Refusal] = (),
    recovery: "Recovery | None" = None,
    keep_archiving: bool = False,
    dry_run: bool = False,
    verify: bool = False,
    numeric_ids: bool = False,
    report: Report,
) -> RestoreResult | None:
    """Restore what the plan has for this host; None where that is nothing. That it begins, although these rules are
    broken, and what came of it, is remembered in the store. Raises what restore_level and restore_cluster raise, and
    TargetError for a share that is not mounted.
    """
    _check_recovery(level, plan, recovery, report)
    mine = [step for step in plan.steps if step.host == here]
    for step in mine:
        if step.share is not None and (fault := mount_fault(step.share, may_be_empty=True)):
            raise TargetError(f"file set {step.set_name}: {fault}", hint="mount the share first")
    database = plan.database if plan.database is not None and plan.database.host == here else None
    if database is not None and database.target is None:
        _tell_way(level, recovery, report)
        database = None
    if not mine and database is None:
        return None
    note = None
    if not dry_run:
        note = note_begun(store, level.ref, here, plan.destination.configuration, allowed, report)
    results = [
        _restore(store, level, step, move, dry_run=dry_run, verify=verify, numeric_ids=numeric_ids, report=report)
        for step in mine
        for move in step.moves
    ]
    if database is not None and database.target is not None:
        from .postgres.restore_cluster import restore_cluster

        results.append(
            restore_cluster(
                store, level, database.target, tablespaces=database.tablespaces, recovery=recovery,
                keep_archiving=keep_archiving, dry_run=dry_run, verify=verify, numeric_ids=numeric_ids, report=report,
            )
        )  # fmt: skip
    result = combined(results)
    if note is not None:
        note_ended(store, note, result, report)
    return result


def _check_recovery(level: Level, plan: OntoPlan, recovery: "Recovery | None", report: Report) -> None:
    if recovery is None:
        return
    if plan.database is None:
        raise EngineError("the destination has no database to recover", hint="leave --until out, or add [postgres]")
    if plan.steps:
        report(Noted(f"files are restored as of level {level.ref}; the database alone is recovered further"))


def _tell_way(level: Level, recovery: "Recovery | None", report: Report) -> None:
    """The database is of this host, and nobody said where it goes."""
    until = " and the same --until" if recovery else ""
    said = "the destination does not say where its database goes: [postgres] data-directory, or"
    way = f"'silt restore {level.deployment}:{level.ref} --database --to DIR'{until} on its host"
    report(Warned("database", "", f"{said} {way}"))


def _restore(
    store: Store,
    level: Level,
    step: Step,
    move: Move,
    *,
    dry_run: bool,
    verify: bool,
    numeric_ids: bool,
    report: Report,
) -> RestoreResult:
    selection = Selection(move.roots, step.set_name, host=step.source)
    in_place = move.old == move.new
    return restore_level(
        store,
        level,
        target=None if in_place else move.new,
        selection=selection,
        base=None if in_place or move.old == b"/" else move.old,
        dry_run=dry_run,
        verify=verify,
        numeric_ids=numeric_ids,
        report=report,
    )
