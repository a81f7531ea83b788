"""What is to be forgotten, by name or by rules, and doing it.

Rule: what stays and what goes is decided first, for all levels and with a reason for each (`Judgement`), and can be
shown instead of done. A level or a group that was named goes, unless it is pinned: then nothing goes. Rules judge each
deployment by itself. Only who can read a store may forget in it.
"""

import time
from collections.abc import Sequence
from itertools import groupby

from msgspec import Struct

from siltstone.store import NoKey, Store, StoreError

from .errors import EngineError, LevelNotFound
from .events import Noted, Report, Warned
from .forgotten import copies, forget_level, undelete_level
from .keep_rules import KeepRules, Retention
from .levels import ABSENT, Level, LevelRef, level_refs, list_levels
from .pins import pinned_refs
from .resolving import named
from .retention import Candidate, Decision, decide


class Judgement(Struct, frozen=True):
    """A level, and what becomes of it."""

    level: Level
    decision: Decision

    @property
    def ref(self) -> LevelRef:
        return self.level.ref

    @property
    def stays(self) -> bool:
        return self.decision.stays


def judge_by_rules(store: Store, rules: KeepRules, deployment: str | None = None) -> list[Judgement]:
    """What the rules make of every level, deployment by deployment; of one, if named. Raises LevelNotFound, NoKey."""
    store.ring.need("manage", "forgetting levels")
    levels = list_levels(store, deployment)
    if deployment is not None and not levels:
        raise LevelNotFound(f"deployment '{deployment}' has no backup in this store", hint="see 'silt list'")
    pinned = set(pinned_refs(store))
    now = time.time_ns()
    judged: list[Judgement] = []
    for _, mine in groupby(levels, key=lambda level: level.deployment):
        of_one = list(mine)
        seen = [
            Candidate(each.ref, each.started_ns, not (each.damage or each.sealed), each.ref in pinned)
            for each in of_one
        ]
        decisions = decide(seen, rules, now_ns=now)
        judged += [Judgement(*both) for both in zip(of_one, decisions, strict=True)]
    return judged


def judge_by_name(store: Store, words: Sequence[str]) -> list[Judgement]:
    """Every level of the deployments concerned, of which the named ones go. `words`: '0' is a group, '0/3' a level,
    with 'name:' before it where the store holds several deployments. Raises LevelNotFound, EngineError for pins, NoKey.
    """
    store.ring.need("manage", "forgetting levels")
    named = named_levels(level_refs(store), words)
    if pinned := named & set(pinned_refs(store)):
        one = min(pinned)
        many = (
            f"{len(pinned)} of these levels are pinned, {one} for one" if len(pinned) > 1 else f"level {one} is pinned"
        )
        raise EngineError(f"{many}: nothing was forgotten", hint=f"'silt unpin {one.deployment}:{one}' first")
    judged = []
    for deployment in sorted({ref.deployment for ref in named}):
        for level in list_levels(store, deployment):
            goes = level.ref in named
            decision = Decision(level.ref, not goes, ("by name",) if goes else ("not named",))
            judged.append(Judgement(level, decision))
    return judged


def named_levels(refs: Sequence[LevelRef], words: Sequence[str]) -> set[LevelRef]:
    """The levels that words mean: of '0' or 'name:0' all of the group, of '0/3' one. Raises LevelNotFound."""
    return {ref for word in words for ref in named(refs, word)}


def carry_out(store: Store, judged: Sequence[Judgement], window_ns: int, report: Report) -> list[Judgement]:
    """Forget what does not stay, the oldest first; what was forgotten. Raises StoreError; the same again goes on."""
    store.ring.need("manage", "forgetting levels")
    done = []
    for each in judged:
        if each.stays or each.ref in pinned_refs(store):
            continue
        try:
            forget_level(store, each.ref, each.decision.reasons[0], window_ns)
        except LevelNotFound:
            continue  # another host forgot it meanwhile
        report(Noted(f"forgot {each.ref.deployment}:{each.ref}: {each.decision.reasons[0]}"))
        done.append(each)
    return done


def keep_to(retention: Retention, store: Store, deployment: str, report: Report) -> tuple[LevelRef, ...]:
    """Forget what a deployment's rules do not keep, after a backup that was committed: the levels that were forgotten.
    WAL that no level needs any more goes, too.

    The backup is good whatever happens here: a failure is a warning, and the next backup tries again.
    """
    from .postgres.wal_pruning import prune_wal

    done: tuple[LevelRef, ...] = ()
    try:
        judged = judge_by_rules(store, retention.rules, deployment)
        done = tuple(each.ref for each in carry_out(store, judged, retention.window, report))
        prune_wal(store, report)
    except NoKey as error:
        report(Noted(f"{error}; what the rules do not keep was left"))
    except (StoreError, EngineError) as error:
        report(Warned("retention", deployment, f"what the rules do not keep could not be forgotten: {error}"))
    return done


def undelete(store: Store, words: Sequence[str]) -> list[tuple[LevelRef, bool]]:
    """Put back the levels, or whole groups, that words mean, the oldest first: each with whether it was not there.

    Raises LevelNotFound, EngineError, NoKey, StoreError.
    """
    store.ring.need("manage", "undeleting levels")
    known = {*level_refs(store), *level_refs(store, ABSENT), *(copy.ref for copy in copies(store))}
    return [(ref, undelete_level(store, ref)) for ref in sorted(named_levels(sorted(known), words))]
