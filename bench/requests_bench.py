"""What each command asks of an object store: how many requests, how many of them one after the other, and the time.

Rule: `silt` is run as a user runs it, against a real S3 server at the end of a line on which each byte is DELAY seconds
on its way, in each direction. What passes there is counted: requests, and the longest chain of them in which each was
sent after the one before had been answered. That chain times the round trip is what a command takes at least, however
fast everything else is. The deployment is a small one, so that data hardly counts, and each command finds what the ones
before it left, the cache of the host included. Nothing here is too slow: figures are for comparison.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from bench.machine import describe
from bench.measure import BenchError
from bench.table import markdown, origin, write_place
from siltstone.store import make_key_file
from tests.line import Line, line_to, longest_chain
from tests.seaweed import Seaweed, seaweed

DELAY = 0.02
FOLDERS, FILES = 13, 10

# What is shown -> the words; {tree} and {back} stand for folders. A name that begins with '-' is not shown.
STEPS = {
    "`silt init`": "init",
    "`silt backup`, the first": "backup {tree} --name trial",
    "-again": "backup {tree} --name trial",  # it reads the manifest into the cache
    "`silt backup`, unchanged": "backup {tree} --name trial",
    "-change": "",
    "`silt backup`, one file changed": "backup {tree} --name trial",
    "`silt list`": "list",
    "`silt status`": "status",
    "`silt restore latest`": "restore latest --to {back}",
    "`silt restore latest`, without a cache": "restore latest --to {back}2",
    "`silt verify`": "verify",
    "`silt verify --read-data all`": "verify --read-data all",
    "`silt gc`": "gc",
}


class Asked(Struct, frozen=True):
    """What one command asked, and how long it took, in seconds."""

    requests: int
    chain: int
    seconds: float


class _Host:
    """One host with its tree, its key and its cache, at the end of a line."""

    def __init__(self, work: Path, variables: Mapping[str, str], line: Line) -> None:
        self._work, self._line = work, line
        self._variables = {
            **variables,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{line.port}",
            "SILT_STORE": f"s3://trial/{work.name}-requests",
            "SILT_KEY_FILE": str(work / "key"),
            "SILT_CACHE": str(work / "cache"),
        }
        (work / "key").write_text(make_key_file())
        for folder in range(FOLDERS):
            (work / "tree" / f"{folder}").mkdir(parents=True)
            for number in range(FILES):
                (work / "tree" / f"{folder}" / f"{number}").write_text(f"{folder} {number}\n" * 200)

    def change(self) -> None:
        """One file."""
        (self._work / "tree" / "0" / "0").write_text("changed\n")

    def ask(self, words: Sequence[str], *, cached: bool = True) -> Asked:
        """Run a command."""
        self._line.requests.clear()
        self._line.times.clear()
        places = {"tree": self._work / "tree", "back": self._work / "back"}
        command = [str(Path(sys.executable).with_name("silt")), *(word.format(**places) for word in words)]
        environment = {**os.environ, **self._variables, **({} if cached else {"SILT_CACHE": ""})}
        began = time.monotonic()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        seconds = time.monotonic() - began
        if done.returncode not in (0, 3):  # 3: status has something to tell
            raise BenchError(f"'silt {words[0]}' ended with {done.returncode}: {done.stderr.strip()[-500:]}")
        return Asked(len(self._line.requests), longest_chain(self._line.times), seconds)


def measure(work: Path, server: Seaweed, delay: float) -> dict[str, Asked]:
    """What each step asked, in the folder, which must be empty but for the server's own."""
    found = {}
    with line_to(server.s3, delay) as line:
        host = _Host(work, server.environment(), line)
        for name, words in STEPS.items():
            if name == "-change":
                host.change()
            else:
                found[name] = host.ask(words.split(), cached="without a cache" not in name)
    return {name: each for name, each in found.items() if not name.startswith("-")}


def table(found: Mapping[str, Asked], delay: float) -> list[str]:
    """The figures as Markdown lines."""
    rows = [[name, str(each.requests), str(each.chain), f"{each.seconds:.2f}"] for name, each in found.items()]
    return markdown(["command", "requests", "one after the other", f"seconds at {2000 * delay:.0f} ms"], rows)


def main(arguments: list[str]) -> int:
    """`./dev bench requests`."""
    parser = argparse.ArgumentParser(prog="dev bench requests", description=__doc__)
    parser.add_argument("--delay", type=float, default=DELAY, help="seconds in each direction (default: 0.02)")
    parser.add_argument("--write", type=Path, metavar="DOCUMENT", help="put the table into its place there")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="silt-requests-") as work:
        (weed := Path(work, "weed")).mkdir()
        with seaweed(weed) as server:
            found = measure(Path(work), server, given.delay)
        lines = table(found, given.delay)
        lines += ["", origin(describe(Path(work)), f"./dev bench requests --delay {given.delay}")]
    print("\n".join(lines))
    if given.write:
        write_place(given.write, "requests", lines)
    return 0
