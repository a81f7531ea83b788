"""Requests to an object store, repeated until they are answered or the time is up.

Rule: only what may succeed a little later is asked again (see object_errors.is_transient), after pauses that double
up to LONGEST, each shortened by chance so that many hosts do not come back at the same moment. A place that never
answered is more likely wrong than down: the first request is given up after FIRST seconds, later ones after PATIENCE.
SILT_RETRY_SECONDS sets both. The pauses are made here and not in obstore, so that Ctrl-C ends them (ending.py).

A request that was given up may still take place, and one that is repeated may take place twice: the backend knows.
"""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from .ending import pause
from .errors import BackendError
from .object_errors import is_transient
from .object_wait import answered

FIRST = 10.0
PATIENCE = 180.0
_SHORTEST, LONGEST = 0.1, 15.0

T = TypeVar("T")


class Patience:
    """How long a connection's requests are repeated. For any thread."""

    def __init__(self, seconds: str) -> None:
        """`seconds` is what SILT_RETRY_SECONDS says, or empty. Raises BackendError where that is no number."""
        try:
            self._given = float(seconds) if seconds else None
        except ValueError:
            raise BackendError(f"SILT_RETRY_SECONDS is no number of seconds: {seconds!r}") from None
        self._answered = False

    def ask(self, request: Callable[[], T]) -> T:
        """The answer. Raises what the last request raised."""
        longest, began = _SHORTEST, time.monotonic()
        while True:
            try:
                answer = answered(request)
            except Exception as error:
                if not is_transient(error):
                    self._answered = True
                    raise
                longest = min(2 * longest, LONGEST)
                late = time.monotonic() - began + longest > self._seconds
                if late or not pause(longest * random.uniform(0.5, 1)):
                    raise
            else:
                self._answered = True
                return answer

    @property
    def _seconds(self) -> float:
        if self._given is not None:
            return self._given
        return PATIENCE if self._answered else FIRST
