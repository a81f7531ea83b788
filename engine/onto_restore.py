"""Carrying out what this host has of a plan for restoring a level onto another deployment (onto.py).

Rule: nothing is written before every rule that is broken was overridden by its name, and every share that this host
needs is mounted. Files first, then the database, each as a restore of its own: running it again after an interruption
completes it. Other hosts' steps are theirs: the same command, there.
"""

from collections.abc import Collection

from siltstone.store import Store

from .errors import EngineError, TargetError
from .events import Noted, Report, Warned
from .hosts import Part
from .levels import Level, level_refs, read_level
from .mounts import mount_fault
from .onto import OntoPlan, Step
from .parts import assembled, incomplete_refs, missing_of, parts_there
from .path_mapping import Move
from .resolving import resolve_ref
from .restore import restore_level
from .restore_matrix import RULES, remarks
from .restore_tally import RestoreResult, combined
from .selection import Selection


class NotAllowed(EngineError):
    """Restoring there breaks rules. `rules` are their names."""

    def __init__(self, message: str, rules: tuple[str, ...]) -> None:
        words = " ".join(f"--allow {rule}" for rule in rules)
        super().__init__(message, hint=f"to do it all the same: {words}")
        self.rules = rules


def level_for_onto(store: Store, spec: str) -> tuple[Level, tuple[Part, ...]]:
    """The level that words name, and which parts of it are missing. Raises LevelNotFound, StoreError."""
    unfinished = incomplete_refs(store)
    ref = resolve_ref([*level_refs(store), *(unfinished if not spec.endswith("latest") else ())], spec)
    if ref not in unfinished:
        return read_level(store, ref), ()
    level = assembled(parts_there(store, ref))
    return level, missing_of(level)


def check_allowed(plan: OntoPlan, allowed: Collection[str], report: Report) -> tuple[str, ...]:
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
    return tuple(refusal.rule for refusal in plan.refusals)


def restore_onto(
    store: Store,
    level: Level,
    plan: OntoPlan,
    here: str,
    *,
    dry_run: bool = False,
    verify: bool = False,
    numeric_ids: bool = False,
    report: Report,
) -> RestoreResult | None:
    """Restore what the plan has for this host; None where that is nothing. Raises what restore_level and
    restore_cluster raise, and TargetError for a share that is not mounted.
    """
    mine = [step for step in plan.steps if step.host == here]
    for step in mine:
        if step.share is not None and (fault := mount_fault(step.share, may_be_empty=True)):
            raise TargetError(f"file set {step.set_name}: {fault}", hint="mount the share first")
    results = [
        _restore(store, level, step, move, dry_run=dry_run, verify=verify, numeric_ids=numeric_ids, report=report)
        for step in mine
        for move in step.moves
    ]
    database = plan.database
    if database is not None and database.host == here:
        if database.target is None:
            said = "the destination does not say where its database goes: [postgres] data-directory, or"
            report(Warned("database", "", f"{said} 'silt restore {level.ref} --database --to DIR' on its host"))
        else:
            from .postgres.restore_cluster import restore_cluster

            results.append(
                restore_cluster(
                    store, level, database.target, tablespaces=database.tablespaces, dry_run=dry_run, verify=verify,
                    numeric_ids=numeric_ids, report=report,
                )
            )  # fmt: skip
    return combined(results) if results else None


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
