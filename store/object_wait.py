"""Waiting for the answer of an object store, in a way that can be ended.

Rule: another thread makes the request, since one that is under way cannot be called back: a server that is stopped
answers nothing for minutes. Once this process is to end (ending.py), what is under way is waited for GRACE seconds
more, and a request that comes after that (a lease is removed, say) LAST seconds. What is given up may still take place.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillWaiting
from typing import TypeVar

from .ending import hurried_for
from .errors import BackendError

GRACE, LAST = 3.0, 1.5
_LOOK = 0.5  # seconds between looks whether to hurry
_MOST = 64  # more than ask at once; a thread comes to be when all others are busy

T = TypeVar("T")

_askers = ThreadPoolExecutor(_MOST, "object-request")  # of the process, not of a session


def answered(request: Callable[[], T]) -> T:
    """The answer. Raises what the request raised, and BackendError where it is waited for no longer."""
    waiting, late = _askers.submit(request), 0.0
    while True:
        try:
            return waiting.result(timeout=_LOOK)
        except StillWaiting:
            if waiting.done():
                raise  # the request's own
        late += _LOOK
        if hurried_for() > GRACE and late >= LAST:
            raise BackendError("the storage did not answer before this process had to end")
