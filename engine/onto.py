"""A level onto another deployment: what goes where, host by host.

Rule: pure. A file set goes to the hosts that the destination gives it. Where origin and destination both have a copy
for each host, one goes to the host of its name, else of its place in the order; a host more than there are copies gets
the first. The database goes to the data directory that the destination names. What has no place there is left out,
and that is told.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct

from .database_info import NOT_IN_PLACE, SET_NAME
from .deployment import Deployment, FileSet
from .errors import NothingSelected
from .hosts import Part
from .levels import Level, SetInfo
from .path_mapping import Move, mapped, moved, moves_of
from .restore_matrix import Nature, Refusal, judge
from .topology import configuration_name, host_of_database, hosts_of_set

Path: TypeAlias = bytes  # a class with a count of `bytes` cannot say so itself


class Step(Struct, frozen=True):
    """One file set, or the database, for one host. `source`: whose copy; `share`: what has to be mounted there."""

    host: str
    set_name: str
    source: str
    moves: tuple[Move, ...]
    files: int
    bytes: int
    share: Path | None = None


class DatabaseStep(Struct, frozen=True):
    """The database. `target` is None where the destination does not say where its data directory is."""

    host: str
    source: str
    target: Path | None
    tablespaces: Mapping[Path, Path]
    files: int
    bytes: int


class OntoPlan(Struct, frozen=True):
    """Steps in the order of hosts and of the file; `left_out` says in sentences what goes nowhere."""

    steps: tuple[Step, ...]
    database: DatabaseStep | None
    left_out: tuple[str, ...]
    refusals: tuple[Refusal, ...]
    origin: Nature
    destination: Nature

    @property
    def hosts(self) -> tuple[str, ...]:
        every = [step.host for step in self.steps] + ([self.database.host] if self.database else [])
        return tuple(dict.fromkeys(every))


def nature_of_level(level: Level) -> Nature:
    """What the table asks of a level."""
    origin = level.origin
    known = (origin.configuration, origin.os) if origin else ("", "")
    return Nature(known[0], level.product_version, level.privilege, known[1])


def nature_of(deployment: Deployment) -> Nature:
    """What the table asks of a destination."""
    configuration = configuration_name(deployment)
    return Nature(configuration, deployment.version, deployment.privilege or "", deployment.topology.os)


def plan_onto(
    level: Level,
    destination: Deployment,
    *,
    set_name: str | None = None,
    database_only: bool = False,
    missing: Sequence[Part] = (),
) -> OntoPlan:
    """The plan for a whole level, for one file set of it, or for its database. Raises NothingSelected where the level
    has none, or the destination no place for any of it.
    """
    _check_named(level, SET_NAME if database_only else set_name)
    steps: list[Step] = []
    left_out: list[str] = []
    homeless: list[str] = []
    for name in dict.fromkeys(files.name for files in level.sets):
        if name in NOT_IN_PLACE or database_only or set_name not in (None, name):
            continue
        copies = [files for files in level.sets if files.name == name]
        file_set = next((each for each in destination.file_sets if each.name == name), None)
        if file_set is None:
            left_out.append(f"the destination has no file set {name}")
            continue
        used = set()
        for at, host in enumerate(hosts_of_set(destination.topology, file_set)):
            files = _copy_for(host, at, copies)
            used.add(files.host)
            step, lost = _step(level, files, host, file_set, destination)
            steps.append(step)
            homeless += [f"{path.decode('utf-8', 'backslashreplace')} of {name}" for path in lost]
        others = [files.host for files in copies if files.host not in used]
        if others:
            left_out.append(f"{name} of {', '.join(others)}: the destination has fewer copies")
    database = _database_step(level, destination) if set_name in (None, SET_NAME) else None
    if level.database is not None and database is None and set_name is None:
        left_out.append("the destination has no database")
    if not steps and database is None:
        raise NothingSelected(f"nothing of level {level.ref} has a place there", hint="; ".join(left_out))
    origin, goal = nature_of_level(level), nature_of(destination)
    refusals = judge(origin, goal, missing)
    if homeless:
        refusals.append(Refusal("no-place", f"the destination's file sets do not name {', '.join(homeless)}"))
    order = {host.name: at for at, host in enumerate(destination.topology.hosts)}
    steps.sort(key=lambda step: order.get(step.host, 0))
    return OntoPlan(tuple(steps), database, tuple(left_out), tuple(refusals), origin, goal)


def _check_named(level: Level, name: str | None) -> None:
    names = list(dict.fromkeys(files.name for files in level.sets))
    if name is not None and name not in names:
        what = "no database" if name == SET_NAME else f"no file set '{name}'"
        raise NothingSelected(f"level {level.ref} has {what}", hint=f"it has {', '.join(names)}")


def _copy_for(host: str, at: int, copies: Sequence[SetInfo]) -> SetInfo:
    """Which copy of a file set a host of the destination gets."""
    own = [files for files in copies if files.host == host]
    return own[0] if own else copies[at if at < len(copies) else 0]


def _step(
    level: Level, files: SetInfo, host: str, file_set: FileSet, destination: Deployment
) -> tuple[Step, list[bytes]]:
    moves, lost = moves_of(files.roots, file_set.paths, _variables(level, files.host), destination.variables)
    step = Step(host, files.name, files.host, tuple(moves), files.files, files.bytes, file_set.share)
    return step, lost


def _variables(level: Level, host: str) -> Mapping[str, str]:
    return level.origin.variables.get(host, {}) if level.origin else {}


def _database_step(level: Level, destination: Deployment) -> DatabaseStep | None:
    info, database = level.database, destination.database
    if info is None or database is None:
        return None
    files = next(files for files in level.sets if files.name == SET_NAME)
    old = _variables(level, files.host)
    outside = [location for _, location in info.tablespaces if location.startswith(b"/")]
    spaces = {path: moved(path, *mapped(path, old, destination.variables)) for path in outside}
    host = host_of_database(destination.topology, database)
    return DatabaseStep(host, files.host, database.data_directory, spaces, files.files, files.bytes)
