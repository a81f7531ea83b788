"""What is backed up: a deployment, its file sets, and which paths of the disk they stand for now.

Rule: a deployment is plain frozen data, whether it was read from a file (`load_deployment`) or made from paths on the
command line (`quick_deployment`). Only `FileSet.roots` and `resolve_deployment` look at the disk.
They promise nothing about what happens on the disk a moment later; the scan reports what it then finds.
"""

import glob
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from msgspec import Struct, field

from .errors import ConfigError
from .exclude import Excluder, SkipRules, rule_mistake
from .hooks import NO_HOOKS, Hooks
from .hosts import ONE_HOST, Topology
from .postgres.table_name import TableName

if TYPE_CHECKING:
    from .keep_rules import Retention
    from .notify import Notify
    from .schedule import Schedule

Privilege: TypeAlias = Literal["privileged", "unprivileged"]

# Names become part of object names and are typed as NAME:0/1. No leading dot, which folders and temporaries have, and
# no leading dash, which options have.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}", re.ASCII)

_DEFAULT_SKIP = SkipRules()


class Roots(NamedTuple):
    """Where a file set begins on the disk now: absolute paths in path order.

    `found` exist and lie apart. `nested` exist too, and lie inside a found one: the scan meets them on its way, and has
    to enter them even where it would stop (another file system). `missing` are plain paths that are not there;
    `unmatched` are globs that match nothing.
    """

    found: tuple[bytes, ...]
    nested: tuple[bytes, ...]
    missing: tuple[bytes, ...]
    unmatched: tuple[bytes, ...]


class FileSet(Struct, frozen=True):
    """Named paths: absolute, expanded and normalised; each may still be a glob. `exclude` is rooted at each of them.
    `configuration`: part of a configuration-only backup. `hosts`: who has it, each a copy of its own (none: the first
    node). `share`: the mount point of the share on which it lies.

    File sets of a deployment may overlap: each holds what its paths name, and what both hold is read twice
    and stored once.
    """

    name: str
    paths: tuple[bytes, ...]
    exclude: tuple[str, ...] = ()
    skip: SkipRules = _DEFAULT_SKIP
    configuration: bool = False
    hosts: tuple[str, ...] = ()
    share: bytes | None = None

    def roots(self) -> Roots:
        """Expand the globs now. `*` and `?` also match names that begin with a dot, as they do in exclude rules.

        A path that exists as it is written is taken even if it looks like a glob. ConfigError where a path that was
        named lies inside another, whose exclude rules would leave it out: nobody could say which was meant.
        """
        existing: set[bytes] = set()
        missing: list[bytes] = []
        unmatched: list[bytes] = []
        named: set[bytes] = set()
        for path in self.paths:
            if _may_exist(path):
                named.add(path)
            elif not glob.has_magic(path):
                missing.append(path)
            if glob.has_magic(path):
                matches = glob.glob(path, include_hidden=True)
                existing.update(matches)
                if not matches and path not in named:
                    unmatched.append(path)
        found, nested = _outermost(existing | named)
        self._refuse_contradictions(found, [path for path in nested if path in named])
        return Roots(found, nested, tuple(missing), tuple(unmatched))

    def _refuse_contradictions(self, found: tuple[bytes, ...], nested: Sequence[bytes]) -> None:
        for root in found if nested and self.exclude else ():
            excluder = Excluder(self.exclude, root)
            for path in nested:
                if _inside(path, root) and excluder.excluded_with_parents(path, is_dir=os.path.isdir(path)):
                    raise ConfigError(
                        f"{os.fsdecode(path)} lies inside {os.fsdecode(root)}, and an exclude rule there leaves it out",
                        key=f"file-sets.{self.name}",
                        hint="put it in a file set of its own, or drop one of the two",
                    )


class Database(Struct, frozen=True):
    """A PostgreSQL cluster, reached by libpq's own words. `max_rate` is in kB/s; `spread`: a checkpoint over minutes
    and not at once. `mode`: over the wire, read on this host, or the latter where it is possible. `full_read_days`: how
    long a server of 17 and later may say itself what changed; 0: everything is read each time. `host`: from which it is
    backed up; `external`: it runs on none of the hosts. `data_directory`: where a restore puts it.
    """

    dsn: str
    max_rate: int | None = None
    spread: bool = False
    mode: Literal["auto", "wire", "local"] = "auto"
    config_tables: tuple[TableName, ...] = ()
    full_read_days: int = 7
    host: str = ""
    external: bool = False
    data_directory: bytes | None = None


class ConfigTables(Struct, frozen=True):
    """What a configuration-only backup takes of a database: its settings, and these tables."""

    dsn: str
    names: tuple[TableName, ...]
    host: str = ""


class Deployment(Struct, frozen=True):
    """What is backed up together. `version` is that of the product, empty if not said; so is `privilege` None."""

    name: str
    file_sets: tuple[FileSet, ...]
    version: str = ""
    privilege: Privilege | None = None
    variables: Mapping[str, str] = field(default_factory=dict)  # expanded values
    source: Path | None = None
    database: Database | None = None
    tables: ConfigTables | None = None  # of a configuration-only backup, which has no database
    hooks: Hooks = NO_HOOKS
    schedule: "Schedule | None" = None
    notify: "Notify | None" = None
    retention: "Retention | None" = None
    topology: Topology = ONE_HOST


class ResolvedSet(NamedTuple):
    """A file set and what it stands for on this disk, now."""

    file_set: FileSet
    roots: Roots


def resolve_deployment(deployment: Deployment) -> tuple[ResolvedSet, ...]:
    """What each file set stands for now: the answer of `silt config show`."""
    return tuple(ResolvedSet(file_set, file_set.roots()) for file_set in deployment.file_sets)


def quick_deployment(
    paths: Sequence[str | bytes],
    name: str,
    *,
    exclude: Sequence[str] = (),
    skip: SkipRules = _DEFAULT_SKIP,
) -> Deployment:
    """A deployment of one file set, `files`, without a file. Paths are relative to the current folder; no variables."""
    if mistake := name_mistake(name):
        raise ConfigError(f"'{name}' cannot name a deployment: {mistake}", hint="choose one with --name")
    if not paths:
        raise ConfigError("no paths to back up")
    for pattern in exclude:
        if mistake := rule_mistake(pattern):
            raise ConfigError(f"exclude rule '{pattern}': {mistake}")
    folder = os.getcwdb()
    absolute = tuple(dict.fromkeys(absolute_path(os.fsencode(path), folder) for path in paths))
    return Deployment(name, (FileSet("files", absolute, tuple(exclude), skip),))


def absolute_path(path: bytes, folder: bytes) -> bytes:
    """The path, absolute from `folder` and normalised by its text alone. ConfigError if it is empty or holds a 0."""
    if not path:
        raise ConfigError("an empty path")
    if b"\0" in path:
        raise ConfigError("a path holds a zero byte")
    # POSIX gives two leading slashes a meaning of their own, and normpath keeps them; Linux does not.
    return b"/" + os.path.normpath(os.path.join(folder, path)).lstrip(b"/")


def name_mistake(name: str) -> str | None:
    """Why this cannot be the name of a deployment or a file set, or None."""
    if _NAME.fullmatch(name):
        return None
    return "a name is 1 to 64 letters, digits, '.', '_' or '-', and begins with a letter, a digit or '_'"


def _may_exist(path: bytes) -> bool:
    """False only if the path is surely absent; one that cannot be looked at is left to the scan, which says why."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _outermost(paths: set[bytes]) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """The paths in path order, apart: those outside all others, and those inside another."""
    outer: list[bytes] = []
    nested: list[bytes] = []
    for path in sorted(paths, key=lambda path: path.replace(b"/", b"\0")):
        inside = bool(outer) and _inside(path, outer[-1])
        (nested if inside else outer).append(path)
    return tuple(outer), tuple(nested)


def _inside(path: bytes, root: bytes) -> bool:
    return path.startswith(root.rstrip(b"/") + b"/")
