"""The ways to back up a deployment day by day: `silt`; tar and pgBackRest, as ibackup did; restic and pgBackRest.

Rule: a way is a table of command lines for its files, and a tool of pg_tools.py for the database; pgBackRest's figures
are taken once and count for both ways that use it. Each keeps the same: the last GROUPS weeks. ibackup wrote plain
archives, and so does tar here. Templates know {bin}, {folder} (the way's own), {store} in it, {top}
(what is backed up), {group} and {level}.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from bench.measure import Taken, measure
from bench.pg_tools import SILT as SILT_PG
from bench.pg_tools import PgTool, find_pg_tools
from bench.tools import PASSPHRASE

GROUPS = 3
KEPT = 7 * (GROUPS - 1) + 1  # backups when a week has begun; restic knows no groups
_TREES = "opt/phantom etc var"
_DEPLOYMENT = """name = "phantom"
preset = "phantom"
[variables]
PHANTOM_HOME = "{top}/opt/phantom"
PHANTOM_ETC = "{top}/etc"
PHANTOM_VAR = "{top}/var"
[file-sets.vault]
skip-changed-within = 0
[postgres]
dsn = "host={{socket}} port={{port}} user=postgres"
[retention]
keep-groups = {groups}
undelete-window = "0"
"""


def silt_of(top: Path, folder: Path | None) -> PgTool:
    """`silt` with the phantom preset, files and database in one backup. BenchError where it is not there."""
    files = (("deployment.toml", _DEPLOYMENT.format(top=top, groups=GROUPS)), ("settings.toml", ""))
    (silt,) = (tool for tool in find_pg_tools([SILT_PG.name], folder) if tool.name == SILT_PG.name)
    return replace(silt, files=files)


def backrest(folder: Path | None) -> PgTool | None:
    """pgBackRest with zstd and the limit of groups, where it is there."""
    for tool in find_pg_tools([], folder):
        if tool.name == "pgbackrest-zst":
            keep = f" --repo1-retention-full={GROUPS}"
            return replace(tool, full=tool.full + keep, incr=tool.incr + keep)
    return None


class FileWay(Struct, frozen=True):
    """How the files alone are backed up. `full` and `incr` are run one after the other, `forget` after each."""

    name: str
    binary: str
    init: str
    full: tuple[str, ...]
    incr: tuple[str, ...]
    restore: str  # of a chain: once for each of its levels
    environment: tuple[tuple[str, str], ...]


TAR = FileWay(
    "tar",
    "tar",
    init="mkdir {store}",
    full=(f"{{bin}} --create --file={{store}}/{{group}}.0.tar --listed-incremental={{folder}}/{{group}} {_TREES}",),
    incr=(
        f"{{bin}} --create --file={{store}}/{{group}}.{{level}}.tar --listed-incremental={{folder}}/{{group}} {_TREES}",
    ),
    restore="{bin} --extract --preserve-permissions --listed-incremental=/dev/null --file={store}/{group}.{level}.tar",
    environment=(),
)
_RESTIC_BACKUP = f"{{bin}} -q -r {{store}} backup {_TREES}"
RESTIC = FileWay(
    "restic",
    "restic",
    init="{bin} -q -r {store} init",
    full=(_RESTIC_BACKUP, f"{{bin}} -q -r {{store}} forget --keep-last {KEPT} --prune"),
    incr=(_RESTIC_BACKUP,),
    restore="{bin} -q -r {store} restore latest --target .",
    environment=(("RESTIC_PASSWORD", PASSPHRASE), ("RESTIC_CACHE_DIR", "{folder}/cache")),
)


def file_ways(folder: Path | None) -> list[FileWay]:
    """Those whose program is there, with its full path."""
    place = [str(folder.absolute())] if folder else []
    found = []
    for way in (TAR, RESTIC):
        path = next((hit for where in (*place, None) if (hit := shutil.which(way.binary, path=where))), None)
        if path:
            found.append(replace(way, binary=path))
    return found


class FileTurn:
    """One way at work: its folder and store."""

    def __init__(self, way: FileWay, folder: Path, top: Path) -> None:
        self.way, self.folder, self._top = way, folder, top
        self.store = folder / "store"
        self._group, self._level = -1, 0

    def prepare(self) -> None:
        """Make its folder and an empty store."""
        self.folder.mkdir(parents=True)
        self._run(self.way.init, self.folder)

    def backup(self, *, full: bool) -> list[Taken]:
        """Back up, and let the oldest group go where there are more than GROUPS."""
        self._group, self._level = (self._group + 1, 0) if full else (self._group, self._level + 1)
        taken = [self._run(template, self._top) for template in (self.way.full if full else self.way.incr)]
        if self.way.name == TAR.name:
            for path in self.store.glob(f"{self._group - GROUPS}.*.tar"):
                path.unlink()
        return taken

    def restore(self, target: Path) -> list[Taken]:
        """Restore the newest state into an empty folder."""
        target.mkdir()
        if self.way.name != TAR.name:
            return [self._run(self.way.restore, target)]
        return [self._run(self.way.restore, target, level=level) for level in range(self._level + 1)]

    def _run(self, template: str, cwd: Path, **more: object) -> Taken:
        places: Mapping[str, object] = {
            "bin": self.way.binary,
            "folder": self.folder,
            "store": self.store,
            "top": self._top,
            "group": self._group,
            "level": self._level,
            **more,
        }
        command: Sequence[str] = [word.format(**places) for word in template.split()]
        environment = {name: value.format(**places) for name, value in self.way.environment}
        return measure(command, cwd=cwd, environment=environment, log=self.folder / "log")
