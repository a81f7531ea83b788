"""A backup: the tree is scanned, merged with the level it is compared with, stored, and committed as one root.

Rule: an entry whose path and head (type, size, times, inode, owner, mode) equal those of the base level keeps its row
and is not opened; everything else is read. Nothing exists before the root is created. A backup that is cut off leaves
chunks that the next one reuses. Files that change or vanish meanwhile are warnings, not failures.
"""

import os
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Literal

from siltstone.store import (
    DryWriter,
    Inherited,
    ObjectExists,
    SiltError,
    Store,
    StoreError,
    Writer,
)

from .base_level import Base, expected_size, find_base, trusted
from .database_info import SET_NAME, DatabaseInfo
from .deployment import Deployment, ResolvedSet, resolve_deployment
from .events import Event, Noted, Report, Warned
from .forgetting import keep_to
from .hooks import Around
from .kept_levels import KeptLevels
from .levels import ABSENT, Level, LevelRef, Plan, SetInfo, level_refs, next_ref, plan_level, to_root
from .manifest import manifest_chunks
from .owners import SeenOwners
from .sources import check_sources
from .teller import Teller
from .walk import SetWalk

# Warnings kept in the root; the rest is counted.
KEPT_WARNINGS = 1000

# What is counted of every backup, be it 0; the names that `silt show --json` uses.
COUNTS = (
    "files", "bytes", "directories", "others", "new", "changed", "unchanged", "gone", "skipped", "read_bytes",
)  # fmt: skip

# In the stats of a level: the newest condemnation that its session had read.
GENERATION = "generation"

# How often a commit may find its level taken by another backup of the same deployment before it gives up.
COMMIT_TRIES = 100


@dataclass(frozen=True, slots=True)
class BackupResult:
    """What a backup did. `level` is None after a dry run."""

    ref: LevelRef
    level: Level | None
    stats: dict[str, int]
    warnings: int
    dry_run: bool
    forgotten: tuple[LevelRef, ...] = ()  # by the deployment's retention, once the level was there


def back_up(
    store: Store,
    deployment: Deployment,
    *,
    kind: Literal["auto", "full", "incr", "diff"] = "auto",
    dry_run: bool = False,
    compression: str | None = None,
    report: Report,
    keep_in: str | None = None,
) -> BackupResult:
    """Back the deployment up as a new level, between its hooks, and then forget what it does not keep. After an error
    nothing was committed: StoreError, ConfigError, SourceError, HookFailed.

    `keep_in`: a folder of this host, where one that reads nothing back keeps what it needs of its own levels.
    """
    with ExitStack() as around:
        kept = around.enter_context(KeptLevels(store, keep_in, deployment.name, report))
        if dry_run:
            return _back_up(store, deployment, kind, compression, report, kept, dry_run=True)
        hooks = around.enter_context(Around(deployment.hooks, deployment.name, report))
        result = _back_up(store, deployment, kind, compression, report, kept, dry_run=False)
        hooks.level = str(result.ref)
    warned = _Warnings(report)
    forgotten = keep_to(deployment.retention, store, deployment.name, warned)
    return replace(result, warnings=result.warnings + hooks.warnings + warned.count, forgotten=forgotten)


def _back_up(
    store: Store,
    deployment: Deployment,
    kind: Literal["auto", "full", "incr", "diff"],
    compression: str | None,
    report: Report,
    kept: KeptLevels,
    *,
    dry_run: bool,
) -> BackupResult:
    started = time.time_ns()
    sets = resolve_deployment(deployment)
    warned = _Warnings(report)
    _check_key(store, warned)
    check_sources(store, sets, deployment, warned)
    plan = plan_level(deployment.name, kind, level_refs(store), level_refs(store, ABSENT))
    base = find_base(store, plan, kept, warned)
    if base is not None:
        plan = replace(plan, base=base.level.ref)
    expected = expected_size(store, plan, base)
    if kind in ("incr", "diff") and plan.kind == "full":
        report(Noted(f"{deployment.name} has no full backup in this store to go on from: this becomes one"))
    if dry_run:
        sink = store.dry_writer()
        run = _Run(store, sink, trusted(store, base, warned), expected, warned)
        run.walk(sets, deployment)
        return BackupResult(plan.ref, None, run.finished_stats(started, 0), warned.count, True)
    with store.writer(compression) as writer:
        mine = trusted(store, base, warned)
        if mine is not None and not store.ring.may_read and not _is_vouched_for(writer, mine.level):
            report(Noted("garbage was collected without a look at the last level: every file is read"))
            mine = None
        run = _Run(store, writer, mine, expected, warned, kept)
        run.walk(sets, deployment)
        writer.flush()
        level = _level(deployment, plan, run, started, writer, warned)
        level = _commit(store, writer, level, run.base)
    kept.keep(level)
    if level.kind == "full":
        _tidy_up(store, warned)
    return BackupResult(level.ref, level, level.stats, warned.count, False)


def _is_vouched_for(writer: Writer, base: Level) -> bool:
    """Whether nothing that the base refers to can have been condemned: a host that reads nothing back cannot look."""
    return writer.may_take_over(base.name, base.stats.get(GENERATION, 0))


def _tidy_up(store: Store, report: Report) -> None:
    """Drop what killed writers left half written; once a full backup, since it walks the whole store."""
    try:
        store.backend.remove_stale()
    except StoreError as error:
        report(Noted(f"half-written objects of killed backups could not be removed: {error}"))


class _Warnings:
    """Passes events on, and remembers the warnings."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.count = 0
        self.kept: list[tuple[str, str, str]] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, Warned):
            # Names from the system (attributes, users) may be no UTF-8, and a root holds nothing else.
            event = replace(event, message=event.message.encode("utf-8", "backslashreplace").decode())
            self.count += 1
            if len(self.kept) < KEPT_WARNINGS:
                self.kept.append((event.kind, event.path, event.message))
        self._report(event)


def _check_key(store: Store, report: Report) -> None:
    if store.ring.outdated:
        said = "the key is outdated: whoever kept the reader keys of before the rotation can read this backup"
        report(Warned("key", store.backend.location, said))


class _Run:
    """The walk over all file sets of one backup."""

    def __init__(
        self,
        store: Store,
        sink: Writer | DryWriter,
        base: Base | None,
        expected: tuple[int | None, int | None],
        report: Report,
        kept: KeptLevels | None = None,
    ) -> None:
        self._store, self._sink, self._base, self._report, self._kept = store, sink, base, report, kept
        self.stats: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))
        self.owners = SeenOwners()
        self.sets: list[SetInfo] = []
        self.database: DatabaseInfo | None = None
        self._teller = Teller(report, sink, *expected)

    def walk(self, sets: Iterable[ResolvedSet], deployment: Deployment) -> None:
        """Scan and store every file set, and the database or the configuration in it."""
        for each in sets:
            name = each.file_set.name
            base = self._base.reader(self._store, name) if self._base else None
            copy = self._kept.copier(name) if self._kept else None
            walk = SetWalk(self._store, self._sink, each, base, self._report, self._teller, copy)
            self.sets.append(walk.run(self.stats, self.owners))
        if deployment.tables is not None:
            from .config_tables import back_up_tables

            seed = self._store.ring.cut_seed
            self.sets.append(back_up_tables(self._sink, deployment.tables, seed, self._teller, self.stats))
        if deployment.database is not None:
            from .postgres.database import back_up_database

            manifest = self._base.manifest(self._store, SET_NAME) if self._base else None
            files, self.database = back_up_database(
                self._store,
                self._sink,
                deployment.database,
                manifest,
                self._report,
                self._teller,
                self.stats,
                self.owners,
            )
            self.sets.append(files)

    @property
    def base(self) -> Level | None:
        """The level that this one was compared with."""
        return self._base.level if self._base else None

    def finished_stats(self, started_ns: int, stored: int) -> dict[str, int]:
        """All counts, by the names that `silt show --json` uses."""
        counts = {
            "read_bytes": self._teller.read_bytes,
            "new_chunks": self._sink.new_chunks,
            "new_bytes": self._sink.new_bytes,
            "known_chunks": self._sink.known_chunks,
            "stored_bytes": stored,
            "duration_ns": time.time_ns() - started_ns,
        }
        return {**self.stats, **counts}


def _level(deployment: Deployment, plan: Plan, run: _Run, started: int, writer: Writer, warned: _Warnings) -> Level:
    owners, groups = run.owners.names()
    base = run.base
    return Level(
        plan.ref,
        kind=plan.kind,
        parent=plan.base.level if plan.base else None,
        started_ns=started,
        finished_ns=time.time_ns(),
        host=os.uname().nodename,
        product_version=deployment.version,
        privilege=deployment.privilege or "",
        sets=tuple(run.sets),
        stats=run.finished_stats(started, writer.stored_bytes)
        | {"warnings": warned.count, GENERATION: writer.generation},
        warnings=tuple(warned.kept),
        # What is unchanged is not parsed, and its ACLs may name owners whom only the base level knows.
        owners={**(base.owners if base else {}), **owners},
        groups={**(base.groups if base else {}), **groups},
        database=run.database,
    )


def inherited_from(base: Level | None, store: Store, level: Level) -> Inherited | None:
    """What a level took over from another without a look at where it lies: what is unchanged."""
    if base is None:
        return None
    return Inherited(base.name, lambda: manifest_chunks(store, level), base.stats.get(GENERATION, 0))


def _commit(store: Store, writer: Writer, level: Level, base: Level | None) -> Level:
    """Create the root. Where another backup of the deployment took the level meanwhile, take the next one."""
    inherited = inherited_from(base, store, level)
    for _ in range(COMMIT_TRIES):
        try:
            writer.commit(level.name, to_root(level), inherited)
            return level
        except ObjectExists:
            taken = [*level_refs(store), *level_refs(store, ABSENT)]
            level = replace(level, ref=next_ref(level.ref, level.kind, taken))
    raise SiltError(
        f"level {level.ref} was taken by other backups {COMMIT_TRIES} times", hint="let one of them end, and try again"
    )
