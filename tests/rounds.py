"""A remote store so far away that nothing else counts: how often whoever uses it waits for an answer.

Rule: requests are held until every thread of this process sleeps, since then nobody is about to ask anything more; all
that are held by then are answered together, and that is one round. So what is counted depends on what waits for what,
and not on how quick this machine is. Where nothing tells how threads are (COUNTS) nothing can be counted.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from siltstone.store import Backend, ObjectInfo
from siltstone.store.backend import Buffer

T = TypeVar("T")

TASKS = Path("/proc/self/task")
COUNTS = Path("/proc/self/schedstat").exists()
ASLEEP = 6  # looks, one after the other, in which nobody was found awake: who only waits for the interpreter gets it
PAUSE = 0.002


class FarBackend:
    """A backend before another. `rounds` is a list of what was answered together, by verb and name."""

    remote = True

    def __init__(self, inner: Backend) -> None:
        self.location = inner.location
        self.rounds: list[list[str]] = []
        self._inner = inner
        self._lock = threading.Lock()
        self._held: list[tuple[str, threading.Event]] = []
        self.over = False

    @property
    def requests(self) -> int:
        """How many there were."""
        return sum(map(len, self.rounds))

    def answer(self) -> None:
        """Answer all requests, a round after the other, until it is over."""
        own = threading.get_native_id()
        while not self.over:
            if self._held and _all_asleep(own):
                with self._lock:
                    held, self._held = self._held, []
                self.rounds.append([what for what, _ in held])
                for _, answered in held:
                    answered.set()
            time.sleep(PAUSE)

    def _ask(self, what: str, call: Callable[[], T]) -> T:
        answered = threading.Event()
        with self._lock:
            self._held.append((what, answered))
        answered.wait()
        return call()

    def holds_conditions(self) -> bool:
        return self._inner.holds_conditions()

    def put(self, name: str, pieces: Sequence[Buffer]) -> None:
        self._ask(f"put {name}", lambda: self._inner.put(name, pieces))

    def replace(self, name: str, pieces: Sequence[Buffer]) -> None:
        self._ask(f"replace {name}", lambda: self._inner.replace(name, pieces))

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._ask(f"get {name}", lambda: self._inner.get(name, offset, length))

    def read(self, name: str, offset: int, room: memoryview) -> memoryview:
        return self._ask(f"read {name}", lambda: self._inner.read(name, offset, room))

    def end(self, name: str, length: int) -> tuple[bytes, int]:
        return self._ask(f"end {name}", lambda: self._inner.end(name, length))

    def view(self, name: str) -> memoryview:
        return self._ask(f"view {name}", lambda: self._inner.view(name))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return self._ask(f"list {prefix}", lambda: self._inner.list(prefix))

    def size(self, name: str) -> int:
        return self._ask(f"size {name}", lambda: self._inner.size(name))

    def delete(self, name: str) -> None:
        self._ask(f"delete {name}", lambda: self._inner.delete(name))

    def remove_stale(self, older_than_seconds: float = 86400) -> int:
        return self._inner.remove_stale(older_than_seconds)

    def free_space(self) -> int | None:
        return self._inner.free_space()


@contextmanager
def far_away(inner: Backend) -> Iterator[FarBackend]:
    """The backend, far away."""
    backend = FarBackend(inner)
    answering = threading.Thread(target=backend.answer, name="far-away", daemon=True)
    answering.start()
    try:
        yield backend
    finally:
        backend.over = True
        answering.join()


def _all_asleep(own: int) -> bool:
    """Whether no thread but this one does anything, or is about to."""
    before: list[tuple[str, str, str]] = []
    for _ in range(ASLEEP):
        now = sorted(_tasks(own))
        if any(state != "S" for _, state, _ in now) or (before and before != now):
            return False
        before = now
        time.sleep(PAUSE)
    return True


def _tasks(own: int) -> Iterator[tuple[str, str, str]]:
    """(number, state, nanoseconds it has run) of each other thread."""
    for task in TASKS.iterdir():
        if task.name != str(own):
            try:
                state = (task / "stat").read_text().rpartition(")")[2].split()[0]
                yield task.name, state, (task / "schedstat").read_text().split()[0]
            except (FileNotFoundError, ProcessLookupError):
                yield task.name, "ended", ""
