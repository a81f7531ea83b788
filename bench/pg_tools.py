"""The tools that back up PostgreSQL, as they are compared: `silt`, pgBackRest with zstd and with lz4, pg_basebackup.

Rule: everybody runs on the server's host, as the server's user, and keeps what it stores on the same disk. pgBackRest
runs as its pages recommend for speed: bundles, block incremental, two processes; without encryption, which `silt` has.
pg_basebackup knows full backups alone (of these versions), and is there for their time.

A tool is a table of command lines, of files that it wants, and nothing of `silt` is called from inside. Templates know
{bin}, {folder} (the tool's own), {store} in it, {target} (a data directory to restore to), {name} (of this backup) and
the server's {data}, {socket} and {port}.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from bench.measure import BenchError
from bench.pg_cluster import find_programs
from bench.tools import OURS


class PgTool(Struct, frozen=True):
    """One tool. A verb that is empty is one that it does not have; `push` and `fetch` are shell commands in which "$1"
    stands for a path, and %f and %p for what a server puts there.
    """

    name: str
    binary: str
    says_version: str
    files: tuple[tuple[str, str], ...]
    init: tuple[str, ...]
    full: str
    incr: str
    restore: str
    delta: str
    push: str
    fetch: str
    stream: str = ""

    def filled(self, template: str, places: Mapping[str, object]) -> str:
        """A template with everything in its place."""
        return template.format(bin=self.binary, **places)

    def version(self) -> str:
        """The first line that it says of itself."""
        words = self.says_version.format(bin=self.binary).split()
        said = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False).stdout
        return said.partition("\n")[0].strip()


_SILT = "{bin} -q --store {store} --key-file {folder}/key"
SILT = PgTool(
    OURS,
    "silt",
    "{bin} --version",
    files=(
        ("deployment.toml", 'name = "bench"\n[postgres]\ndsn = "host={socket} port={port} user=postgres"\n'),
        ("settings.toml", ""),
    ),
    init=("{bin} key new {folder}/key", "{bin} -q init {store} --key-file {folder}/key"),
    full=f"{_SILT} backup -c {{folder}}/deployment.toml --type full",
    incr=f"{_SILT} backup -c {{folder}}/deployment.toml --type incr",
    restore=f"{_SILT} restore latest --database --to {{target}}",
    delta=f"{_SILT} restore latest --database --to {{target}}",
    push='exec {bin}-wal push "$1" -q --store {store} --key-file {folder}/key >>{folder}/pushed 2>&1',
    fetch="{bin}-wal fetch %f %p -q --store {store} --key-file {folder}/key || exit $(($? == 44 ? 1 : 255))",
    stream="{bin} --json --store {store} --key-file {folder}/key wal stream --create-slot -c {folder}/deployment.toml",
)

_BACKREST = "{bin} --config={folder}/pgbackrest.conf --stanza=bench"
_BACKREST_CONF = """[global]
repo1-path={{store}}
repo1-bundle=y
repo1-block=y
compress-type={codec}
process-max=2
start-fast=y
log-path={{folder}}
lock-path={{folder}}/lock
spool-path={{folder}}/spool
log-level-console=warn
log-level-file=off
[bench]
pg1-path={{data}}
pg1-port={{port}}
pg1-socket-path={{socket}}
pg1-user=postgres
"""


def _backrest(codec: str) -> PgTool:
    return PgTool(
        f"pgbackrest-{codec}",
        "pgbackrest",
        "{bin} version",
        files=(("pgbackrest.conf", _BACKREST_CONF.format(codec=codec)),),
        init=(f"{_BACKREST} stanza-create",),
        full=f"{_BACKREST} --type=full backup",
        incr=f"{_BACKREST} --type=incr backup",
        restore=f"{_BACKREST} --pg1-path={{target}} restore",
        delta=f"{_BACKREST} --pg1-path={{target}} --delta restore",
        push=f'exec {_BACKREST} archive-push "$1" >>{{folder}}/pushed 2>&1',
        fetch=f"{_BACKREST} --pg1-path={{target}} archive-get %f %p",
    )


BASEBACKUP = PgTool(
    "pg_basebackup-lz4",
    "pg_basebackup",
    "{bin} --version",
    files=(),
    init=("mkdir {store}",),
    full="{bin} -D {store}/{name} -Ft -Xf -c fast -z --compress=client-lz4 -h {socket} -p {port} -U postgres",
    incr="",
    restore="",
    delta="",
    push="exit 0",
    fetch="",
)
TOOLS = (SILT, _backrest("zst"), _backrest("lz4"), BASEBACKUP)


def find_pg_tools(wanted: Sequence[str], folder: Path | None) -> list[PgTool]:
    """Ours and the wanted tools with their full paths; all that are there when none is named. BenchError."""
    found = []
    for tool in TOOLS:
        if wanted and tool.name not in wanted and tool is not SILT:
            continue
        path = shutil.which(tool.binary, path=_places(tool, folder))
        if path:
            found.append(replace(tool, binary=path))
        elif tool.name in wanted or tool is SILT:
            raise BenchError(f"{tool.binary} is not there: put it on the PATH, or say --bin FOLDER")
    return found


def _places(tool: PgTool, folder: Path | None) -> str:
    places = [str(folder.absolute())] if folder else []
    if tool is SILT:
        places.append(str(Path(sys.executable).parent))
    if tool is BASEBACKUP:
        places.append(str(find_programs()))
    return os.pathsep.join([*places, os.environ.get("PATH", os.defpath)])
