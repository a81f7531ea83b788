"""The tools that are compared: `silt`, and whichever of restic and borg is there. What each is called with.

Rule: everybody encrypts, and everything else is as the tool ships it. A tool is a table of command lines; nothing of
`silt` is called from inside. Templates know {bin}, {store}, {tree} (what is backed up) and {name} (of this backup);
a backup runs in the tree, a restore in an empty folder, which becomes equal to the tree. Tools that need a running
database (pgBackRest) are not for file trees, and are not here.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from bench.measure import BenchError

PASSPHRASE = "lab"
OURS = "silt"


class Tool(Struct, frozen=True):
    """One tool's command lines, as words. Beside its store it may fill the folder {store}.aux (a cache, keys)."""

    name: str
    binary: str
    says_version: str
    init: str
    backup: str
    verify: str
    restore: str
    environment: tuple[tuple[str, str], ...]

    def command(self, template: str, *, store: Path, tree: Path, name: str) -> list[str]:
        """One of the command lines, filled in."""
        return [word.format(bin=self.binary, store=store, tree=tree, name=name) for word in template.split()]

    def variables(self, store: Path) -> dict[str, str]:
        """Its environment for a store."""
        return {name: value.format(store=store) for name, value in self.environment}

    def version(self) -> str:
        """The first line that it says of itself."""
        words = self.says_version.format(bin=self.binary).split()
        said = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False).stdout
        return said.partition("\n")[0].strip()


SILT = Tool(
    OURS,
    "silt",
    "{bin} --version",
    init="{bin} --quiet init {store}",
    backup="{bin} --quiet --store {store} backup --name bench .",
    verify="{bin} --quiet --store {store} verify --read-data all",
    restore="{bin} --quiet --store {store} restore latest --to . --base {tree}",
    # An empty SILT_CONFIG: no settings of whoever runs this.
    environment=(("SILT_PASSPHRASE", PASSPHRASE), ("SILT_CONFIG", "")),
)
RESTIC = Tool(
    "restic",
    "restic",
    "{bin} version",
    init="{bin} -q -r {store} init",
    backup="{bin} -q -r {store} backup .",
    verify="{bin} -q -r {store} check --read-data",
    restore="{bin} -q -r {store} restore latest --target .",
    environment=(("RESTIC_PASSWORD", PASSPHRASE), ("RESTIC_CACHE_DIR", "{store}.aux")),
)
BORG = Tool(
    "borg",
    "borg",
    "{bin} --version",
    init="{bin} init --encryption repokey-blake2 {store}",
    backup="{bin} create --compression lz4 {store}::{name} .",  # lz4 is its default
    verify="{bin} check --verify-data {store}",
    restore="{bin} extract {store}::{name}",
    environment=(("BORG_PASSPHRASE", PASSPHRASE), ("BORG_BASE_DIR", "{store}.aux"), ("LANG", "C.UTF-8")),
)
TOOLS = (SILT, RESTIC, BORG)


def find_tools(wanted: Sequence[str], folder: Path | None) -> list[Tool]:
    """Ours and the wanted tools with their full paths; all that are there when none is named.

    Looked for in `folder`, then (silt) beside this Python, then on the PATH. BenchError when a named one is missing.
    """
    unknown = set(wanted) - {tool.name for tool in TOOLS}
    if unknown:
        raise BenchError(f"no such tool: {', '.join(sorted(unknown))}; known are {', '.join(t.name for t in TOOLS)}")
    found = []
    for tool in TOOLS:
        if wanted and tool.name not in wanted and tool is not SILT:
            continue
        path = _which(tool, folder)
        if path:
            found.append(replace(tool, binary=path))
        elif tool.name in wanted or tool is SILT:
            raise BenchError(f"{tool.name} is not there: put it on the PATH, or say --bin FOLDER")
    return found


def _which(tool: Tool, folder: Path | None) -> str | None:
    places = [str(folder.absolute())] if folder else []
    if tool is SILT:
        places.append(str(Path(sys.executable).parent))
    return shutil.which(tool.binary, path=os.pathsep.join([*places, os.environ.get("PATH", os.defpath)]))
