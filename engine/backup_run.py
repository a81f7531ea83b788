"""One run over the file sets of a deployment: each is walked, merged with the level it is compared with, and stored.

Rule: what a run found becomes a `Level`, and whoever started it says how that is committed, as a level or as a part of
one. Before that nothing exists.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable

from msgspec.structs import replace

from siltstone.store import DryWriter, Inherited, Store, Writer

from .base_level import Base, expected_size, find_base, find_cells, trusted
from .database_info import SET_NAME, DatabaseInfo
from .deployment import Deployment, ResolvedSet, resolve_deployment
from .events import Event, Noted, Report, Warned
from .kept_levels import KeptLevels
from .kept_lists import lists_of
from .level_plan import Plan
from .levels import GENERATION, KEPT_WARNINGS, Level, SetInfo
from .manifest import manifest_chunks
from .owners import SeenOwners
from .teller import Teller
from .topology import names_of, origin_of
from .walk import SetWalk

# What is counted of every backup, be it 0; the names that `silt show --json` uses.
COUNTS = (
    "files", "bytes", "directories", "others", "new", "changed", "unchanged", "gone", "skipped", "read_bytes",
)  # fmt: skip


def inherited_of(store: Store, level: Level, base: Level | None) -> Inherited | None:
    """What a level took over from its base without a look at where it lies: of a part that was kept, nothing."""
    if base is None or base.part is not None:
        return None
    return Inherited(base.name, lambda: manifest_chunks(store, level), base.stats.get(GENERATION, 0))


def waits_for(session: str) -> Noted:
    """What is told while a session waits for another."""
    return Noted(f"waits for what session {session[:8]} has on its way: it stores the same")


def _is_vouched_for(writer: Writer, base: Level) -> bool:
    """Whether nothing that the base refers to can have been condemned, or each chunk is looked up: a host that reads
    nothing back cannot look afterwards.
    """
    return base.part is not None or writer.may_take_over(base.name, base.stats.get(GENERATION, 0))


class Warnings:
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


def take_level(
    store: Store,
    deployment: Deployment,
    plan: Plan,
    here: str,
    compression: str | None,
    kept: KeptLevels,
    warned: Warnings,
    commit: Callable[[Writer, Level, Level | None], Level],
) -> Level:
    """Back up what this host has of a deployment, and let `commit` create the root. Raises what that raises,
    StoreError, and what the database's backup raises.
    """
    started = time.time_ns()
    base = find_base(store, plan, kept, warned)
    if base is not None and base.level.part is None:
        plan = replace(plan, base=base.level.ref)
    likely = expected_size(store, plan, base, names_of(deployment))
    with store.writer(compression, lambda session: warned(waits_for(session))) as writer:
        mine = trusted(store, base, warned)
        if mine is not None and not store.ring.may_read and not _is_vouched_for(writer, mine.level):
            warned(Noted("garbage was collected without a look at the last level: every file is read"))
            mine = None
        run = _Run(store, writer, plan, mine, likely, here, warned, kept)
        run.walk(resolve_deployment(deployment), deployment)
        writer.flush()
        return commit(writer, _level_of(deployment, plan, run, started, writer, warned), run.inherited)


def try_level(
    store: Store, deployment: Deployment, plan: Plan, here: str, kept: KeptLevels, warned: Warnings
) -> dict[str, int]:
    """Read all that this host has of a deployment, and store nothing: the counts of what would be stored."""
    started = time.time_ns()
    base = find_base(store, plan, kept, warned)
    likely = expected_size(store, plan, base, names_of(deployment))
    run = _Run(store, store.dry_writer(), plan, trusted(store, base, warned), likely, here, warned)
    run.walk(resolve_deployment(deployment), deployment)
    return run.finished_stats(started, 0)


class _Run:
    """The walk over all file sets of one backup."""

    def __init__(
        self,
        store: Store,
        sink: Writer | DryWriter,
        plan: Plan,
        base: Base | None,
        likely: tuple[int | None, int | None],
        here: str,
        report: Report,
        kept: KeptLevels | None = None,
    ) -> None:
        self.here = here
        self._store, self._sink, self._base, self._report, self._kept = store, sink, base, report, kept
        self.stats: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))
        self.owners = SeenOwners()
        self.sets: list[SetInfo] = []
        self._plan, self._cells = plan, base
        self.database: DatabaseInfo | None = None
        self._teller = Teller(report, sink, *likely)

    def walk(self, sets: Iterable[ResolvedSet], deployment: Deployment) -> None:
        """Scan and store every file set, and the database or the configuration in it."""
        for each in sets:
            name = each.file_set.name
            base = self._base.reader(self._store, name, self.here) if self._base else None
            copy = self._kept.copier(name) if self._kept else None
            lists = lists_of(self._sink, base, self._kept.list_copier(name) if self._kept else None)
            walk = SetWalk(self._store, self._sink, each, base, self._report, self._teller, copy, lists)
            self._add(walk.run(self.stats, self.owners))
        if deployment.tables is not None:
            from .config_tables import back_up_tables

            gear = self._store.ring.gear
            self._add(back_up_tables(self._sink, deployment.tables, gear, self._teller, self.stats))
        if deployment.database is not None:
            from .postgres.database import back_up_database

            if self._base is None:
                self._cells = find_cells(self._store, self._plan, self._report)
            manifest = self._cells.manifest(self._store, SET_NAME, self.here) if self._cells else None
            files, self.database = back_up_database(
                self._store,
                self._sink,
                deployment.database,
                manifest,
                self._report,
                self._teller,
                self.stats,
                self.owners,
                anew=self._base is None,
            )
            self._add(files)

    def _add(self, files: SetInfo) -> None:
        self.sets.append(replace(files, host=self.here))

    @property
    def base(self) -> Level | None:
        """The level that this one was compared with."""
        return self._base.level if self._base else None

    @property
    def inherited(self) -> Level | None:
        """The level of which something may have been taken over."""
        return self._cells.level if self._cells else None

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


def _level_of(deployment: Deployment, plan: Plan, run: _Run, started: int, writer: Writer, warned: Warnings) -> Level:
    """What a finished run comes to."""
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
        origin=origin_of(deployment, run.here),
    )
