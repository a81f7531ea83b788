"""Garbage collection of a store: what no root refers to goes, while others write. The order is in store/collection.py.

Rule: the roots are known here, and everything else there. Nothing is removed or condemned unless every root could be
read, every chunk that they refer to was found, and no more than the expected share of the store would go. Copies of
forgotten levels that can be undeleted are roots; those that cannot any more are removed before the roots are listed.
Levels whose parts are all there are made whole first, as a backup of a host that reads would do.
"""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from msgspec import Struct, field

from siltstone.store import (
    EVERYTHING,
    MISSING,
    Collection,
    Marks,
    ObjectMissing,
    Removed,
    Shard,
    Store,
    Verdict,
    Writer,
    judge,
)

from .errors import EngineError
from .events import Noted, Report
from .forgotten import copies, note_absence, until_ns
from .levels import LevelRef
from .live import Live
from .parts import settle
from .postgres.wal_pruning import prune_wal
from .verify_damage import DamageLog
from .verify_tell import Teller

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

# Forgetting removes the old levels of a store that goes on, and rarely more than half of its bytes at a time.
MOST_SHARE = 0.5
# Leases are renewed every minute: three renewals that did not come, on top of those since the run before.
PATIENCE_SECONDS = 180.0


class Limits(Struct, frozen=True, kw_only=True):
    """What a run may do. `seconds`: nothing is begun after them; `copy_bytes`: of packs that are copied; `share`: of
    the store's bytes that may be condemned, or of the shard's; `waste`: share of dead frames from which on a pack is
    copied; `shard`: the packs that are judged.
    """

    seconds: float | None = None
    copy_bytes: int | None = None
    share: float = MOST_SHARE
    waste: float = 0.5
    patience: float = PATIENCE_SECONDS
    shard: Shard = EVERYTHING


NO_LIMITS = Limits()


class Collected(Struct):
    """What a run found and did; after a dry run, what one would do. Counts are packs, `_bytes` of them."""

    packs: int = 0
    bytes: int = 0
    references: int = 0
    dead: int = 0
    repacked: int = 0
    freed_bytes: int = 0
    copied_bytes: int = 0
    left: int = 0
    removed: Removed = field(default_factory=Removed)
    generation: int | None = None
    pending: int = 0
    waiting_for: list[str] = field(default_factory=list)
    given_up: list[str] = field(default_factory=list)
    void: list[str] = field(default_factory=list)
    expired: int = 0
    dry_run: bool = False


def collect(store: Store, *, limits: Limits = NO_LIMITS, dry_run: bool = False, report: Report) -> Collected:
    """Collect garbage once. Raises EngineError when it refuses, NoKey where the key is not for it, StoreError."""
    store.ring.need("manage", "collecting garbage")
    if not store.backend.holds_conditions():
        raise EngineError(
            f"{store.backend.location}: the storage does not create objects exclusively, so nothing can be removed "
            "safely while others write",
            hint="use storage that honours If-None-Match; backups into this one go on working",
        )
    if dry_run:
        return _Run(store, None, limits, report).look()
    with store.writer() as session:
        return _Run(store, session, limits, report).carry_out(session)


class _Run:
    def __init__(self, store: Store, session: Writer | None, limits: Limits, report: Report) -> None:
        self._store, self._limits, self._report = store, limits, report
        self._result = Collected(dry_run=session is None)
        stop_at = None if limits.seconds is None else time.monotonic() + limits.seconds
        self._collection = Collection(store, session, stop_at, limits.shard)
        self._tell = Teller(report)

    def look(self) -> Collected:
        """Find out what a run would do now, and change nothing."""
        verdict, _ = self._judged(self._roots())
        self._add(verdict)
        return self._result

    def carry_out(self, session: Writer) -> Collected:
        """Do it."""
        self._settle_sessions()
        settle(self._store)
        self._drop_expired()
        roots = self._roots()
        verdict, marks = self._judged(roots)
        self._refuse_too_much(verdict)
        self._add(verdict)
        self._result.removed = self._collection.remove(marks)
        self._result.generation = self._collection.condemn(verdict, marks, roots.names)
        return self._result

    def _settle_sessions(self) -> None:
        sessions, result = self._collection.sessions, self._result
        result.given_up = sessions.give_up(self._collection.seen_before(), self._limits.patience, time.sleep)
        result.void = sessions.settle()
        for name in result.void:
            folder, deployment, group, level = name.split("/")[:4]
            if folder == "backups":
                ref = LevelRef(deployment, int(group), int(level))
                note_absence(self._store, ref, "void: its session had been given up")
        for session in result.given_up:
            self._report(Noted(f"session {session} was given up: its lease was not renewed"))

    def _drop_expired(self) -> None:
        """Remove copies that cannot be undeleted any more, and the WAL that only they needed. An undeletion that has
        read a copy has a session, which any condemnation after this waits for.
        """
        now = time.time_ns()
        for copy in copies(self._store):
            if until_ns(self._store, copy) < now:
                self._result.expired += 1
                try:
                    self._store.backend.delete(copy.name)
                except ObjectMissing:
                    pass
        prune_wal(self._store, self._report)

    def _roots(self) -> Live:
        self._log = DamageLog(self._report)
        return Live(self._store, self._log)

    def _judged(self, live: Live) -> tuple[Verdict, Marks]:
        marks = self._collection.mark(self._references(live), self._tell.ranges)
        if not live.complete:
            raise EngineError(
                "not every root of the store can be read: nothing was removed, since what they need is not known",
                hint="'silt verify' names them; heal them, or forget the levels that are lost",
            )
        if marks.unknown:
            raise EngineError(
                f"roots refer to {marks.unknown} chunks that the index does not know: nothing was removed",
                hint="'silt verify' says which files that concerns; the next 'silt backup' heals what it can",
            )
        limits, spared = self._limits, self._collection.spared
        verdict = judge(marks, spared, waste=limits.waste, budget=limits.copy_bytes, shard=limits.shard)
        self._survey(marks)
        return verdict, marks

    def _references(self, live: Live) -> "Iterator[NDArray[numpy.uint64]]":
        for keys, _ in live.references(self._tell.entries):
            self._result.references += len(keys)
            yield keys

    def _survey(self, marks: Marks) -> None:
        result, collection = self._result, self._collection
        there = [
            size
            for name, size in zip(marks.packs.names, marks.packs.sizes, strict=True)
            if size != MISSING and self._limits.shard.holds(name)
        ]
        result.packs, result.bytes = len(there), sum(there)
        result.pending = sum(len(each.packs) for each in collection.pending)
        blocking = collection.sessions.in_the_way_of(collection.pending[-1].generation) if collection.pending else []
        result.waiting_for = [lease.session for lease in blocking]

    def _add(self, verdict: Verdict) -> None:
        result = self._result
        result.dead, result.repacked, result.left = len(verdict.dead), len(verdict.repacked), verdict.left
        result.freed_bytes, result.copied_bytes = verdict.bytes, verdict.copied

    def _refuse_too_much(self, verdict: Verdict) -> None:
        share = verdict.bytes / self._result.bytes if self._result.bytes else 0.0
        if share > self._limits.share:
            raise EngineError(
                f"{share:.0%} of the store's bytes belong to no level, more than the {self._limits.share:.0%} that may "
                "go at a time: nothing was removed",
                hint="look at 'silt list' and 'silt list --forgotten'; if that is meant: silt gc --max-share 100%",
            )
