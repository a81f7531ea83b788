"""Somebody wants this process to end: who only waits, to ask once more, gives up.

Rule: said once, by whoever hears the signal, and never taken back. It ends no request that is under way.
"""

from threading import Event

_wanted = Event()


def hurry() -> None:
    """From now on nothing waits in order to ask again."""
    _wanted.set()


def pause(seconds: float) -> bool:
    """Wait, and then True; at once False where this process is to end."""
    return not _wanted.wait(seconds)
