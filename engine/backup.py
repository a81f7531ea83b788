"""A backup: the tree is scanned, merged with the level it is compared with, stored, and committed as one root.

Rule: an entry whose path and head (type, size, times, inode, owner, mode) equal those of the base level keeps its row
and is not opened; everything else is read. Nothing exists before the root is created. A backup that is cut off leaves
chunks that the next one reuses. Files that change or vanish meanwhile are warnings, not failures.
"""

import os
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from siltstone.store import (
    Corrupt,
    DryWriter,
    NewerFormat,
    ObjectExists,
    ObjectMissing,
    SiltError,
    Store,
    StoreError,
    Writer,
)

from .database_info import SET_NAME, DatabaseInfo
from .deployment import Deployment, ResolvedSet, resolve_deployment
from .events import Event, Noted, Report, Warned
from .forgetting import keep_to
from .hooks import Around
from .levels import ABSENT, Level, LevelRef, Plan, SetInfo, level_refs, next_ref, plan_level, read_level, to_root
from .manifest import ManifestReader
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
) -> BackupResult:
    """Back the deployment up as a new level, between its hooks, and then forget what it does not keep. After an error
    nothing was committed: StoreError, ConfigError, SourceError, HookFailed.
    """
    if dry_run:
        return _back_up(store, deployment, kind, compression, report, dry_run=True)
    with Around(deployment.hooks, deployment.name, report) as hooks:
        result = _back_up(store, deployment, kind, compression, report, dry_run=False)
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
    *,
    dry_run: bool,
) -> BackupResult:
    started = time.time_ns()
    sets = resolve_deployment(deployment)
    warned = _Warnings(report)
    check_sources(store, sets, deployment, warned)
    plan = plan_level(deployment.name, kind, level_refs(store), level_refs(store, ABSENT))
    base = _read_base(store, plan, warned)
    expected = _expected(store, plan, base)
    if kind in ("incr", "diff") and plan.kind == "full":
        report(Noted(f"{deployment.name} has no full backup in this store to go on from: this becomes one"))
    if dry_run:
        sink = store.dry_writer()
        run = _Run(store, sink, _trusted(store, base, warned), expected, warned)
        run.walk(sets, deployment)
        return BackupResult(plan.ref, None, run.finished_stats(started, 0), warned.count, True)
    with store.writer(compression) as writer:
        run = _Run(store, writer, _trusted(store, base, warned), expected, warned)
        run.walk(sets, deployment)
        writer.flush()
        level = _level(deployment, plan, run, started, writer, warned)
        level = _commit(store, writer, level)
    if level.kind == "full":
        _tidy_up(store, warned)
    return BackupResult(level.ref, level, level.stats, warned.count, False)


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


def _read_base(store: Store, plan: Plan, report: Report) -> Level | None:
    if plan.base is None:
        return None
    try:
        return read_level(store, plan.base)
    except (Corrupt, ObjectMissing) as error:
        report(Warned("damaged", plan.base.name, f"{error}; every file is read"))
        return None


def _trusted(store: Store, base: Level | None, report: Report) -> Level | None:
    """The base level, unless packs are lost: then every file is read, and what was lost is stored again."""
    if base is None or not store.index.lost:
        return base
    lost = (
        f"{len(store.index.lost)} packs are missing from the store; every file is read, to store again what they held"
    )
    report(Warned("damaged", base.name, lost))
    return None


def _expected(store: Store, plan: Plan, base: Level | None) -> tuple[int | None, int | None]:
    """About how many files and bytes will be read, for the time left: nobody knows what of a known tree changed."""
    if base is not None:
        return sum(files.files for files in base.sets), None
    last = [ref for ref in level_refs(store) if ref.deployment == plan.ref.deployment]
    if not last:
        return None, None
    try:
        newest = read_level(store, max(last))
    except (Corrupt, NewerFormat, ObjectMissing):
        return None, None
    return sum(files.files for files in newest.sets), sum(files.bytes for files in newest.sets)


class _Run:
    """The walk over all file sets of one backup."""

    def __init__(
        self,
        store: Store,
        sink: Writer | DryWriter,
        base: Level | None,
        expected: tuple[int | None, int | None],
        report: Report,
    ) -> None:
        self._store, self._sink, self.base, self._report = store, sink, base, report
        self.stats: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))
        self.owners = SeenOwners()
        self.sets: list[SetInfo] = []
        self.database: DatabaseInfo | None = None
        self._teller = Teller(report, sink, *expected)

    def walk(self, sets: Iterable[ResolvedSet], deployment: Deployment) -> None:
        """Scan and store every file set, and the database or the configuration in it."""
        for each in sets:
            walk = SetWalk(
                self._store, self._sink, each, self._base_reader(each.file_set.name), self._report, self._teller
            )
            self.sets.append(walk.run(self.stats, self.owners))
        if deployment.tables is not None:
            from .config_tables import back_up_tables

            seed = self._store.ring.cut_seed
            self.sets.append(back_up_tables(self._sink, deployment.tables, seed, self._teller, self.stats))
        if deployment.database is not None:
            from .postgres.database import back_up_database

            base = self._base_reader(SET_NAME)
            files, self.database = back_up_database(
                self._store, self._sink, deployment.database, base, self._report, self._teller, self.stats, self.owners
            )
            self.sets.append(files)

    def _base_reader(self, name: str) -> ManifestReader | None:
        for files in self.base.sets if self.base else ():
            if files.name == name and self.base:
                return ManifestReader(self._store, self.base, files)
        return None

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
        stats=run.finished_stats(started, writer.stored_bytes) | {"warnings": warned.count},
        warnings=tuple(warned.kept),
        # What is unchanged is not parsed, and its ACLs may name owners whom only the base level knows.
        owners={**(base.owners if base else {}), **owners},
        groups={**(base.groups if base else {}), **groups},
        database=run.database,
    )


def _commit(store: Store, writer: Writer, level: Level) -> Level:
    """Create the root. Where another backup of the deployment took the level meanwhile, take the next one."""
    for _ in range(COMMIT_TRIES):
        try:
            writer.commit(level.name, to_root(level))
            return level
        except ObjectExists:
            taken = [*level_refs(store), *level_refs(store, ABSENT)]
            level = replace(level, ref=next_ref(level.ref, level.kind, taken))
    raise SiltError(
        f"level {level.ref} was taken by other backups {COMMIT_TRIES} times", hint="let one of them end, and try again"
    )
