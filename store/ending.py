"""Somebody wants this process to end: who only waits, to ask once more, gives up.

Rule: said once, by whoever hears the signal, and never taken back.
"""

import time
from threading import Event

_wanted = Event()
_since: list[float] = []


def hurry() -> None:
    """From now on nothing waits in order to ask again."""
    _since.append(time.monotonic())
    _wanted.set()


def hurried_for() -> float:
    """Seconds since this process was told to end; 0 where it was not."""
    return time.monotonic() - _since[0] if _wanted.is_set() else 0.0


def pause(seconds: float) -> bool:
    """Wait, and then True; at once False where this process is to end."""
    return not _wanted.wait(seconds)
