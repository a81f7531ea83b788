"""`silt` as one more tool for a harness that measures other backup programs, as JSON.

    ./dev bench peers-tool [--silt COMMAND] > silt.json

Rule: an object of tools by name; each has command lines by verb, with places in braces: {bin} the command, {repo} an
empty folder's name for the store, {src} the absolute path of what is backed up, which is the working directory of
`backup`. `restore` runs in an empty folder and makes it equal to {src}. `env` is added to the environment. Encrypted,
defaults; `silt-lz4` beside it for the other codec. The command lines are those of `tools`, in the harness's words.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from bench.tools import SILT, Tool

PLACES = {"bin": "{bin}", "store": "{repo}", "tree": "{src}", "name": "{name}"}


def describe_tool(tool: Tool, command: str, *, compression: str | None = None) -> dict[str, object]:
    """One tool as the harness knows it."""
    chosen = f" --compression {compression}" if compression else ""
    return {
        "bin": command,
        "version": tool.says_version.format(**PLACES),
        "init": tool.init.format(**PLACES) + chosen,
        "backup": tool.backup.format(**PLACES),
        "verify": tool.verify.format(**PLACES),
        "restore": tool.restore.format(**PLACES),
        "env": {name: value.format(**PLACES) for name, value in tool.environment},
    }


def installed() -> str:
    """The `silt` beside this Python, or on the PATH."""
    beside = Path(sys.executable).with_name("silt")
    return str(beside) if beside.exists() else shutil.which("silt") or "silt"


def main(arguments: list[str]) -> int:
    """Print the JSON."""
    parser = argparse.ArgumentParser(prog="./dev bench peers-tool", description=__doc__)
    parser.add_argument("--silt", metavar="COMMAND", default=installed(), help="(default: %(default)s)")
    given = parser.parse_args(arguments)
    tools = {
        "silt": describe_tool(SILT, given.silt),
        "silt-lz4": describe_tool(SILT, given.silt, compression="lz4"),
    }
    print(json.dumps(tools, indent=1))
    return 0
