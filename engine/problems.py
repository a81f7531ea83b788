"""What a restore could not put back: counted by kind and reason, so that a million files make one line.

Rule: adding never fails and never waits; any thread may. Each line names the first path, to have one to look at.
It does not keep the other paths: their number has no bound, and `silt diff` of the result can list them.
"""

import errno
import os
import threading

from msgspec import Struct


class Problem(Struct, frozen=True):
    """One kind of thing that could not be put back on `count` entries, for one reason; `first` is where it began."""

    kind: str
    reason: str
    first: bytes
    count: int

    @property
    def message(self) -> str:
        """One sentence without the path."""
        entries = "1 entry" if self.count == 1 else f"{self.count:,} entries"
        return f"{self.kind} of {entries} not put back: {self.reason}"


class Problems:
    """All problems of one restore. Its truth value says whether there are any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: dict[tuple[str, str], tuple[bytes, int]] = {}

    def add(self, kind: str, path: bytes, reason: str) -> None:
        """`kind`: what was not put back ('owner', 'time', 'ACL'); `path`: the entry's."""
        with self._lock:
            first, count = self._found.get((kind, reason), (path, 0))
            self._found[kind, reason] = (first, count + 1)

    def listed(self) -> list[Problem]:
        """One for each kind and reason, in this order."""
        with self._lock:
            return [Problem(*what, first, count) for what, (first, count) in sorted(self._found.items())]

    def __bool__(self) -> bool:
        return bool(self._found)


def reason_of(error: Exception) -> str:
    """Why the system refused, in its own words; without root it adds that root might have been allowed."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    if error.errno == errno.EPERM and os.geteuid() != 0:
        return f"{error.strerror} without root"
    return error.strerror
