"""A limit on the bytes a second that go to a remote store, or come from it.

Rule: what passes is counted, and who comes next waits until the average is back under the limit. One request is sent
as fast as the line carries it: a pack of 32 MiB is followed by a pause, so the limit holds over minutes.
"""

import threading
import time


class Bandwidth:
    """Both directions, in bytes a second; None where there is no limit. For any thread."""

    def __init__(self, upload: int | None = None, download: int | None = None) -> None:
        self.upload, self.download = _Lane(upload), _Lane(download)


class _Lane:
    """One direction."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._free_at = 0.0
        self._lock = threading.Lock()

    def take(self, size: int) -> None:
        """Wait for the turn of a request that moves so many bytes."""
        if self._limit is None:
            return
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._free_at)
            self._free_at = turn + size / self._limit
        time.sleep(turn - now)
