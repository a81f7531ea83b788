"""One function over many items in several threads, results in the order of the items.

Rule: at most twice as many items as threads are under way, so that a million of them need no more memory than a few.
Leaving the iteration early, by an error or an interruption, waits for what runs and starts nothing more.
It does not promise that the threads run at once: only work that waits, or that releases the interpreter lock, gains.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

# Requests to a remote store that are under way at once: each waits for a network, and the processor hardly.
REMOTE_THREADS = 8

T = TypeVar("T")
R = TypeVar("R")


def in_parallel(function: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """The results of the function, as `map` gives them. Raises what the function raised, at that item's turn."""
    pool = ThreadPoolExecutor(threads, "silt-parallel")
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
