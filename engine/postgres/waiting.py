"""Waiting for libpq's socket, so that Ctrl-C and time limits work: libpq's own blocking calls heed neither.

Rule: nothing here reads or writes the socket, or knows what is waited for. poll() and not select(), which refuses
descriptors from 1024 on.
"""

import select
import time
from collections.abc import Sequence

from .errors import Silent

READ = select.POLLIN
WRITE = select.POLLOUT


class Deadline:
    """A moment some seconds from now, or never (None)."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Seconds until then, not below 0."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())


def wait(socket: int, events: int, deadline: Deadline) -> int:
    """Wait until the socket can do one of the events; those it can do. 0 when the deadline has passed."""
    poll = select.poll()
    poll.register(socket, events)
    left = deadline.left()
    ready = poll.poll(None if left is None else left * 1000)
    return ready[0][1] if ready else 0


def wait_any(fds: Sequence[int], events: int, seconds: float) -> list[int]:
    """Wait until one of the descriptors can do one of the events: those that can, none after so many seconds."""
    poll = select.poll()
    for fd in fds:
        poll.register(fd, events)
    return [fd for fd, _ in poll.poll(seconds * 1000)]


def wait_for_server(socket: int, events: int, deadline: Deadline) -> int:
    """The same, but Silent is raised when the deadline has passed."""
    ready = wait(socket, events, deadline)
    if not ready:
        raise Silent(f"the server gave no answer within {deadline.seconds:g} seconds")
    return ready
