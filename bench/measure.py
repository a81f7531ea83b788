"""One command measured: wall time, CPU time, peak memory; and what a folder takes on the disk.

Rule: before the clock starts, what the command will read is in the page cache and nothing waits to be written. CPU time
is that of the whole process tree, peak memory that of its largest process. What other processes took meanwhile is told,
not subtracted: a noisy machine shows. Cold caches are not measured.
"""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

LONGEST = 1800  # seconds; what takes longer is broken, not slow
PIECE = 4 << 20


class BenchError(Exception):
    """A measurement that could not be taken, in one sentence."""


class Taken(Struct, frozen=True):
    """What one command took: seconds, seconds, bytes, and the CPU seconds of everything else meanwhile."""

    wall: float
    cpu: float
    peak: int
    others: float


def measure(command: Sequence[str], *, cwd: Path, environment: Mapping[str, str], log: Path) -> Taken:
    """Run a command; what it says goes to the end of `log`. BenchError with what it said last when it fails."""
    launcher = [sys.executable, "-I", "-S", str(Path(__file__).with_name("launch.py")), str(LONGEST), str(log)]
    os.sync()
    done = subprocess.run(
        [*launcher, *command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"{command[0]}: {done.stderr.strip()[-500:]}")
    said = json.loads(done.stdout)
    if said["code"]:
        last = log.read_text(errors="backslashreplace").strip()[-1500:]
        raise BenchError(f"'{' '.join(command)}' ended with {said['code']:.0f}: {last}")
    return Taken(said["wall"], said["cpu"], int(said["peak"]), said["others"])


def warm(folder: Path) -> None:
    """Read every file below a folder."""
    buffer = bytearray(PIECE)
    for top, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(top, name)
            if stat.S_ISREG(os.lstat(path).st_mode):
                with open(path, "rb", buffering=0) as file:
                    while file.readinto(buffer):
                        pass


def stored_bytes(store: Path) -> int:
    """The lengths of all files below a folder together."""
    found = [os.lstat(os.path.join(top, name)) for top, _, names in os.walk(store) for name in names]
    return sum(each.st_size for each in found if stat.S_ISREG(each.st_mode))
