"""A backup: the tree is scanned, merged with the level it is compared with, stored, and committed as one root.

Rule: an entry whose path and head (type, size, times, inode, owner, mode) equal those of the base level keeps its row
and is not opened; everything else is read. Nothing exists before the root is created. A backup that is cut off leaves
chunks that the next one reuses. Files that change or vanish meanwhile are warnings, not failures. Where several hosts
have a part of the deployment each, this host stores its own (`backup_parts`).
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from siltstone.store import ObjectExists, SiltError, Store, StoreError, Writer, beside

from .backup_parts import back_up_parts, only, plan_part
from .backup_run import Warnings, inherited_of, take_level, try_level
from .deployment import Deployment, resolve_deployment
from .events import Noted, Report, Warned
from .hooks import Around
from .hosts import Part
from .kept_levels import KeptLevels
from .level_plan import Plan, next_ref, plan_level
from .levels import ABSENT, Level, LevelRef, level_refs, to_root
from .parts import incomplete_refs
from .sources import check_sources
from .topology import chosen_parts, parts_of

# How often a commit may find its level taken by another backup of the same deployment before it gives up.
COMMIT_TRIES = 100


class BackupResult(Struct, frozen=True):
    """What a backup did. `level` is None after a dry run, and while `missing` parts are still to come from other hosts.
    `parts`: those that this backup stored, where it did not store the whole level.
    """

    ref: LevelRef
    level: Level | None
    stats: dict[str, int]
    warnings: int
    dry_run: bool
    forgotten: tuple[LevelRef, ...] = ()  # by the deployment's retention, once the level was there
    parts: tuple[Part, ...] = ()
    missing: tuple[Part, ...] = ()


Wish = Literal["auto", "full", "incr", "diff"]


def back_up(
    store: Store,
    deployment: Deployment,
    *,
    kind: Wish = "auto",
    dry_run: bool = False,
    compression: str | None = None,
    here: str = "",
    parts: Sequence[str] = (),
    report: Report,
    keep_in: str | None = None,
) -> BackupResult:
    """Back the deployment up as a new level, between its hooks, and then forget what it does not keep. After an error
    nothing was committed but parts told before: StoreError, ConfigError, SourceError, HookFailed, EngineError.

    `keep_in`: a folder of this host, where one that reads nothing back keeps what it needs of its own levels. `here`:
    the name of this host in the deployment (topology.host_here); `parts`: only these of its own.
    """
    mine = chosen_parts(deployment, here, parts)
    if mine == parts_of(deployment):
        mine = ()  # all of the level: there is nobody to wait for
    warned = Warnings(report)
    _check_key(store, warned)
    with ExitStack() as around:
        kept = around.enter_context(KeptLevels(store, keep_in, deployment.name, report))
        if dry_run:
            return _try_out(store, deployment, mine, kind, here, keep_in, kept, warned)
        hooks = around.enter_context(Around(deployment.hooks, deployment.name, report))
        if mine:
            check_sources(store, resolve_deployment(only(deployment, mine)), only(deployment, mine), warned)
            done = back_up_parts(store, deployment, mine, kind, here, compression, keep_in, warned)
            result = BackupResult(
                done.ref, done.level, done.stats, warned.count, False, parts=mine, missing=done.missing
            )
        else:
            check_sources(store, resolve_deployment(deployment), deployment, warned)
            result = _back_up(store, deployment, kind, here, compression, kept, warned)
        hooks.level = str(result.ref)
    late = Warnings(report)
    forgotten: tuple[LevelRef, ...] = ()
    if result.level and deployment.retention is not None:
        from .forgetting import keep_to

        forgotten = keep_to(deployment.retention, store, deployment.name, late)
    return replace(result, warnings=result.warnings + hooks.warnings + late.count, forgotten=forgotten)


def _plan(store: Store, deployment: Deployment, kind: Wish, report: Report) -> Plan:
    with beside(store.backend, lambda: level_refs(store, ABSENT)) as absent:
        taken = [*incomplete_refs(store), *absent()]
    plan = plan_level(deployment.name, kind, level_refs(store), taken)
    if kind in ("incr", "diff") and plan.kind == "full":
        report(Noted(f"{deployment.name} has no full backup in this store to go on from: this becomes one"))
    return plan


def _try_out(
    store: Store,
    deployment: Deployment,
    mine: Sequence[Part],
    kind: Wish,
    here: str,
    keep_in: str | None,
    kept: KeptLevels,
    warned: Warnings,
) -> BackupResult:
    whole = only(deployment, mine) if mine else deployment
    check_sources(store, resolve_deployment(whole), whole, warned)
    plan = plan_part(store, deployment, kind, mine[0], warned) if mine else _plan(store, deployment, kind, warned)
    stats: Counter[str] = Counter()
    for part in mine:
        with KeptLevels(store, keep_in, deployment.name, warned, part) as of_part:
            stats.update(try_level(store, only(deployment, [part]), plan, here, of_part, warned))
    if not mine:
        stats.update(try_level(store, whole, plan, here, kept, warned))
    return BackupResult(plan.ref, None, dict(stats), warned.count, True, parts=tuple(mine))


def _back_up(
    store: Store,
    deployment: Deployment,
    kind: Wish,
    here: str,
    compression: str | None,
    kept: KeptLevels,
    warned: Warnings,
) -> BackupResult:
    plan = _plan(store, deployment, kind, warned)
    commit = partial(_commit, store)
    level = take_level(store, deployment, plan, here, compression, kept, warned, commit)
    kept.keep(level)
    if level.kind == "full":
        _tidy_up(store, warned)
    return BackupResult(level.ref, level, level.stats, warned.count, False)


def _tidy_up(store: Store, report: Report) -> None:
    """Drop what killed writers left half written; once a full backup, since it walks the whole store."""
    try:
        store.backend.remove_stale()
    except StoreError as error:
        report(Noted(f"half-written objects of killed backups could not be removed: {error}"))


def _check_key(store: Store, report: Report) -> None:
    if store.ring.outdated:
        said = "the key is outdated: whoever kept the reader keys of before the rotation can read this backup"
        report(Warned("key", store.backend.location, said))


def _commit(store: Store, writer: Writer, level: Level, base: Level | None) -> Level:
    """Create the root. Where another backup of the deployment took the level meanwhile, take the next one."""
    inherited = inherited_of(store, level, base)
    for _ in range(COMMIT_TRIES):
        try:
            writer.commit(level.name, to_root(level), inherited)
            return level
        except ObjectExists:
            taken = [*level_refs(store), *level_refs(store, ABSENT), *incomplete_refs(store)]
            level = replace(level, ref=next_ref(level.ref, level.kind, taken))
    raise SiltError(
        f"level {level.ref} was taken by other backups {COMMIT_TRIES} times", hint="let one of them end, and try again"
    )
