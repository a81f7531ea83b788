"""`silt status`: whether all is well with the backups of a store, at one look.

Rule: it reads the names of objects, the roots, the notes of verification and the heads of parity, and no pack: a store
of any size answers in a moment. What needs somebody is in `attention`, each with the command to begin with. Times of
levels are those of the hosts that made them.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime

from msgspec import Struct

from siltstone.store import PackList, Store, listed_packs, policy_of, sound_stripes, stripe_of, verified_notes

from .deployment import Deployment
from .hosts import PARTS_WITHIN_NS
from .levels import CONFIG_SUFFIX, Level, list_levels
from .parts import Incomplete, incomplete_levels
from .postgres.archive_status import ArchiveStatus, archive_status
from .restore_notes import RestoreNote, read_restores
from .runs import Run
from .schedule import missed

GROWTH_DAYS = 30
COVERAGE_DAYS = 30
RESTORE_DAYS = 30
_SECOND = 10**9


class Attention(Struct, frozen=True):
    """Something that somebody should see to. `command` is what to begin with."""

    what: str
    command: str


class DeploymentStatus(Struct, frozen=True):
    """A deployment in the store. `newest` is its newest level that can be read, with `levels` and `groups` in all."""

    name: str
    newest: Level | None
    levels: int
    groups: int
    damaged: tuple[str, ...]
    missed: tuple[tuple[str, datetime], ...]


class StoreFigures(Struct, frozen=True):
    """Bytes: `stored` in packs, `held` in the files of all levels, `grown` in the last GROWTH_DAYS. `verified`: the
    part of `stored` that was read and found intact in the last COVERAGE_DAYS (0 to 1); `free`: None where nobody knows.
    `parity` is that of most stripes, as 2/16, and empty where there is none; `uncovered` packs are in no stripe.
    """

    packs: int
    stored: int
    held: int
    grown: int
    verified: float
    free: int | None
    parity: str
    uncovered: int
    uncovered_bytes: int


class Status(Struct, frozen=True):
    """All of it."""

    deployments: tuple[DeploymentStatus, ...]
    archives: tuple[ArchiveStatus, ...]
    store: StoreFigures
    attention: tuple[Attention, ...]
    restores: tuple[RestoreNote, ...] = ()  # onto other deployments, in the last RESTORE_DAYS
    waiting: tuple[Incomplete, ...] = ()  # levels of which hosts have not sent all parts


def read_status(
    store: Store, now: datetime, *, deployment: Deployment | None = None, runs: Mapping[str, Run] | None = None
) -> Status:
    """Look at a store. With a deployment file its schedule is asked, too, and the last `runs` of it on this host.

    Raises StoreError; NoKey where the key does not read.
    """
    store.ring.need("read", "telling the status of a store")
    levels = list_levels(store)
    waiting = tuple(incomplete_levels(store))
    named = {deployment.name} if deployment else set()
    names = sorted({level.deployment for level in levels} | {each.ref.deployment for each in waiting} | named)
    own = runs or {}
    deployments = tuple(
        _deployment(name, levels, now, deployment if deployment and deployment.name == name else None, own)
        for name in names
    )
    archives = tuple(archive_status(store))
    figures, broken = _figures(store, levels, now)
    attention = [*_of_deployments(deployments, waiting), *_of_runs(deployment, own), *_of_archives(archives)]
    attention += _of_store(figures, broken, levels)
    attention += _of_incomplete(waiting, deployment, now)
    since = (now.timestamp() - RESTORE_DAYS * 86400) * _SECOND
    restores = tuple(note for note in read_restores(store) if note.begun_ns > since)
    return Status(deployments, archives, figures, tuple(attention), restores, waiting)


def _deployment(
    name: str, levels: list[Level], now: datetime, deployment: Deployment | None, runs: Mapping[str, Run]
) -> DeploymentStatus:
    mine = [level for level in levels if level.deployment == name]
    good = [level for level in mine if not level.damage and not level.sealed]
    newest = max(good, key=lambda level: (level.started_ns, level.ref), default=None)
    late: tuple[tuple[str, datetime], ...] = ()
    if deployment is not None and deployment.schedule is not None:
        late = tuple(missed(deployment.schedule, _begun(good, runs, now), now))
    damaged = tuple(str(level.ref) for level in mine if level.damage)
    return DeploymentStatus(name, newest, len(mine), len({level.group for level in mine}), damaged, late)


def _begun(levels: list[Level], runs: Mapping[str, Run], now: datetime) -> dict[str, datetime]:
    """When each task was last begun, and came to something."""
    found: dict[str, datetime] = {}
    for level in levels:
        task = "full" if level.kind == "full" else "incremental"
        at = datetime.fromtimestamp(level.started_ns / _SECOND, now.tzinfo)
        found[task] = max(at, found.get(task, at))
    for task, run in runs.items():
        if task not in ("full", "incremental") and not run.failed:
            found[task] = datetime.fromtimestamp(run.begun, now.tzinfo)
    return found


def _figures(store: Store, levels: list[Level], now: datetime) -> tuple[StoreFigures, int]:
    """The figures, and how many packs are known to be damaged."""
    packs = PackList(listed_packs(store.backend))
    notes = verified_notes(store.opened, packs)
    notes.load()
    oldest = (now.timestamp() - COVERAGE_DAYS * 86400) * _SECOND
    read = sum(
        size for number, size in enumerate(packs.sizes) if notes.times[number] > oldest and number not in notes.damaged
    )
    since = (now.timestamp() - GROWTH_DAYS * 86400) * _SECOND
    grown = sum(level.stats.get("stored_bytes", 0) for level in levels if level.started_ns > since)
    held = sum(files.bytes for level in levels for files in level.sets)
    share = read / packs.bytes if packs.bytes else 1.0
    free = store.backend.free_space()
    figures = StoreFigures(len(packs), packs.bytes, held, grown, share, free, *_parity(store, packs))
    return figures, len(notes.damaged)


def _parity(store: Store, packs: PackList) -> tuple[str, int, int]:
    """What parity there is, and the packs that are in no stripe: how many, and their bytes."""
    stripes, _ = sound_stripes(store.backend)
    policy, covered = policy_of(stripes), stripe_of(stripes)
    if policy is None:
        return "", 0, 0
    left = [size for name, size in zip(packs.names, packs.sizes, strict=True) if name not in covered]
    return str(policy), len(left), sum(left)


def _of_deployments(deployments: tuple[DeploymentStatus, ...], waiting: tuple[Incomplete, ...]) -> Iterator[Attention]:
    begun = {each.ref.deployment for each in waiting}
    for each in deployments:
        if each.newest is None and each.name not in begun:
            yield Attention(f"{each.name} has no backup in this store", "silt backup --type full")
        for task, due in each.missed:
            yield Attention(f"{task} of {each.name} was due on {due:%Y-%m-%d %H:%M} and was not made", _retry(task))
        for level in each.damaged:
            yield Attention(f"{each.name}:{level} cannot be read", "silt verify")


def _retry(task: str) -> str:
    return f"silt schedule run {task} -c FILE"


def _of_incomplete(
    unfinished: tuple[Incomplete, ...], deployment: Deployment | None, now: datetime
) -> Iterator[Attention]:
    for each in unfinished:
        own = deployment is not None and each.ref.deployment in (deployment.name, deployment.name + CONFIG_SUFFIX)
        within = deployment.topology.parts_within_ns if deployment is not None and own else PARTS_WITHIN_NS
        level, name = each.level, f"{each.ref.deployment}:{each.ref}"
        if level is None:
            yield Attention(f"no part of {name} can be read", "silt verify")
        elif level.started_ns < now.timestamp() * _SECOND - within:
            if each.missing:
                said = f"no part joins it any more; missing: {', '.join(map(str, each.missing))}"
                yield Attention(f"{name} is incomplete, and {said}", "silt list")
            else:
                yield Attention(f"all parts of {name} are there, and nobody has made it whole", "silt gc")


def _of_runs(deployment: Deployment | None, runs: Mapping[str, Run]) -> Iterator[Attention]:
    for task, run in sorted(runs.items()):
        if run.failed and deployment is not None:
            at = datetime.fromtimestamp(run.begun).astimezone()
            last = run.said.strip().splitlines()[-1:] or [""]
            said = f"{task} of {deployment.name} failed on {at:%Y-%m-%d %H:%M} (exit code {run.exit_code}): {last[0]}"
            yield Attention(said.removesuffix(": "), _retry(task))


def _of_archives(archives: tuple[ArchiveStatus, ...]) -> Iterator[Attention]:
    for archive in archives:
        for gap in archive.gaps:
            first, last = archive.names_of(gap)
            yield Attention(f"WAL is missing: {first} to {last}; recovery cannot pass it", "silt wal status")
        for name in archive.lost_histories:
            yield Attention(f"{name} is not in the store", "silt wal status")


def _of_store(figures: StoreFigures, broken: int, levels: list[Level]) -> Iterator[Attention]:
    if broken:
        yield Attention(f"{broken} packs are known to be damaged", "silt verify")
    newest = max((level.started_ns for level in levels), default=0)
    oldest = min((level.started_ns for level in levels), default=0)
    if figures.verified < 0.5 and newest - oldest > COVERAGE_DAYS * 86400 * _SECOND:
        part = f"{100 * figures.verified:.0f} % of the store was read and found intact in the last {COVERAGE_DAYS} days"
        yield Attention(part, f"silt verify --max-age {COVERAGE_DAYS}d")
    if figures.free is not None and figures.grown and figures.free < figures.grown:
        yield Attention(f"the store has less room left than it took in the last {GROWTH_DAYS} days", "silt forget")
