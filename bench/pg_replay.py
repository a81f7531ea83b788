"""How busy a server is that replays WAL: what its startup process does, sampled from /proc.

Rule: nothing of the tools is asked. `ready` is the share of the samples in which the process runs or wants a processor:
the nearer to 1, the more recovery is bound by the processors. `fetching` is the share in which it has a child, and so
waits for restore_command. Samples count between the lines of the log that say where redo begins and ends: what comes
before is the first call, what comes behind are the questions for the next timeline.
"""

import re
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Self

from msgspec import Struct

EVERY = 0.005
_REDO = re.compile(r"^(\S+ [\d:.]+) .*LOG:  redo (starts at|done at)", re.MULTILINE)


class Sample(Struct, frozen=True):
    """At a moment (seconds of the epoch): whether the process wants a processor, whether it waits for a file."""

    at: float
    ready: bool
    fetching: bool


class ReplayWatch:
    """Samples the startup process of the server on a data directory. A context manager."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._samples: list[Sample] = []
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._left.set()
        self._thread.join()

    def line(self, tool: str, log: str) -> str:
        """What was found, in a sentence. `log`: the server's."""
        begun, ended = _redo(log)
        during = [each for each in self._samples if begun <= each.at <= ended]
        ready, fetching = (_share([getattr(each, name) for each in during]) for name in ("ready", "fetching"))
        return (
            f"recovery by {tool}: {ended - begun:.1f} s, in {ready:.0%} of which the replay ran or wanted a processor; "
            f"in {fetching:.0%} it waited for restore_command"
        )

    def _watch(self) -> None:
        while not self._left.wait(EVERY):
            process = _startup(self._data)
            while process is not None and not self._left.wait(EVERY):
                try:
                    state = (process / "stat").read_text().rpartition(")")[2].split()[0]
                    fetching = bool((process / "task" / process.name / "children").read_text().strip())
                except OSError:
                    break
                self._samples.append(Sample(time.time(), state == "R", fetching))


def _startup(data: Path) -> Path | None:
    """The folder in /proc of the process that replays, once it is there."""
    try:
        server = (data / "postmaster.pid").read_text().partition("\n")[0]
        children = Path("/proc", server, "task", server, "children").read_text().split()
        names = {child: Path("/proc", child, "cmdline").read_bytes() for child in children}
    except OSError:
        return None
    return next((Path("/proc", child) for child, name in names.items() if name.startswith(b"postgres: startup")), None)


def _redo(log: str) -> tuple[float, float]:
    """When the last redo of a log began and ended, in seconds of the epoch; the log is in local time."""
    moments = {word: datetime.fromisoformat(at).timestamp() for at, word in _REDO.findall(log)}
    return moments.get("starts at", 0.0), moments.get("done at", 0.0)


def _share(found: Sequence[bool]) -> float:
    return sum(found) / max(1, len(found))
