"""Listings ahead of a scan: a thread lists directories in the order in which the scan is going to enter them.

Rule: it saves the scan the wait, and nothing depends on it. What it does not list (directories that are large, or on
another device, or cannot be listed) the scan lists itself, and what has become old, because a large file was read
meanwhile. Where the scan does not enter a directory, it says so, and at most BATCHES times AT_ONCE entries were listed
in vain. So many are also ahead in memory.
"""

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

from .entry import order_key
from .files import Lister, Listing

# Entries that are listed in one go, without the interpreter lock: a few first, so that the scan can begin.
FIRST, AT_ONCE = 64, 4096
BATCHES = 3

# Seconds after which a listing is not used: the more of it has changed, the more is told as vanished or changed.
FRESH = 60.0

Listed = tuple[bytes, Listing]


class Ahead:
    """Lists below one root, on its device (a number). A context manager; its methods belong to one thread."""

    def __init__(self, root: bytes, device: int) -> None:
        self._lister = Lister(root, device)
        self._thread = ThreadPoolExecutor(1, "silt-scan")
        self._entries = FIRST
        self._batches: deque[Future[tuple[list[Listed], float]]] = deque()
        self._listed: deque[tuple[Listed, float]] = deque()  # and until when it is used
        self._skipped: deque[bytes] = deque()

    def __enter__(self) -> Self:
        for _ in range(BATCHES):
            self._submit()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def take(self, path: bytes) -> Listing | None:
        """The listing of the directory that the scan enters, or None. It may wait. Paths ascend."""
        listed = self._listed
        while listed or self._wait():
            (first, listing), until = listed[0]
            if first != path and order_key(first) > order_key(path):
                return None
            listed.popleft()
            if first == path:
                return listing if time.monotonic() < until else None
        return None

    def skip(self, path: bytes) -> None:
        """The scan does not enter this directory."""
        self._skipped.append(path)

    def _wait(self) -> bool:
        """Have more in `_listed`; False at the end."""
        found, until = self._batches.popleft().result() if self._batches else ([], 0.0)
        if not found:
            self._batches.clear()
            return False
        self._listed.extend((each, until) for each in found)
        self._submit()
        return True

    def _submit(self) -> None:
        self._batches.append(self._thread.submit(self._next, self._entries))
        self._entries = min(2 * self._entries, AT_ONCE)

    def _next(self, entries: int) -> tuple[list[Listed], float]:
        while self._skipped:
            self._lister.skip(self._skipped.popleft())
        until = time.monotonic() + FRESH
        return self._lister.more(entries), until
