"""One function over many items in several threads, results in the order of the items; and two calls side by side.

Rule: at most twice as many items as threads are under way, so that a million of them need no more memory than a few.
Leaving the iteration early, by an error or an interruption, waits for what runs and starts nothing more.
It does not promise that the threads run at once: only work that waits, or that releases the interpreter lock, gains.
What asks a store in a directory asks it in one thread: nothing waits there that another could use.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from .backend import Backend

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


def asked_of(backend: Backend, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """The results of a function that asks the backend, as `map` gives them: of a remote one many at once."""
    return in_parallel(function, items, REMOTE_THREADS) if backend.remote else map(function, items)


@contextmanager
def beside(backend: Backend, call: Callable[[], R]) -> Iterator[Callable[[], R]]:
    """Have a call that asks the backend made while the context does something else. What is given waits for its result,
    and raises what it raised. Of a backend that is not remote the call is made only then.
    """
    if not backend.remote:
        yield call
        return
    with ThreadPoolExecutor(1, "silt-beside") as pool:
        yield pool.submit(call).result
