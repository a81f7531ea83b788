"""A scheduler that lets one actor at a time make one request to the storage, in an order that a seed decides.

Rule: an actor is a thread that runs the real code over a backend of its own. Each of its requests first hands the baton
back, so that between two requests of one everything may happen to the others; nothing else is concurrent. The seed also
decides which requests fail, which answers are lost, which requests land later or twice, when a list is read on, who
sleeps for how long, and who dies. The same seed gives the same history.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from random import Random

from msgspec import Struct

from siltstone.store import BackendError, ObjectExists, ObjectInfo, ObjectMissing
from siltstone.store.backend import Buffer
from tests.store.backends import Killed, MemoryBackend

# Chances of what may happen to one request, in thousandths.
FAILS, LOST, LATE, TWICE = 1, 2, 2, 10
SLEEPS, DIES = 10, 1
PAGE = 2  # names of a list that are read at a time


class Actor:
    """A process at work: `run` is what it does, over its `backend`. `skew` is by how much its clock is wrong, in ns."""

    def __init__(self, schedule: "Schedule", name: str, run: Callable[["Actor"], None]) -> None:
        self.name, self.schedule = name, schedule
        self.backend = ActorBackend(self)
        self.skew = schedule.chance.randrange(-(10**15), 10**15)
        self.on_step: Callable[[], None] | None = None
        self.ended = self.dead = False
        self.asleep = 0
        self.error: BaseException | None = None
        self._run = run
        self._baton = threading.Lock()  # a plain lock: a semaphore of Python's took most of a schedule's time
        self._baton.acquire()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def _work(self) -> None:
        self._baton.acquire()
        try:
            self._run(self)
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001  # told by the schedule
            self.error = error
        self.ended = True
        self.schedule.returned.release()

    def go(self) -> None:
        """Let it make one request."""
        if not self._thread.is_alive():
            self._thread.start()
        self._baton.release()
        self.schedule.returned.acquire()

    def step(self) -> None:
        """Hand the baton back, and wait for it. Raises Killed when the process has died meanwhile."""
        if self.dead:
            raise Killed
        self.schedule.returned.release()
        self._baton.acquire()
        if self.dead:
            raise Killed


class Late(Struct, eq=False):
    """A request that is under way, and when it may land."""

    request: Callable[[], None]
    may_land: Callable[[], bool]


class Schedule:
    """Runs actors over one storage until all have ended."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.sleeps_there = self.chance.choice([0, 100, 500])
        self.late_condemnations = self.chance.choice([0, 100, 500])
        self.storage = MemoryBackend()
        self.returned = threading.Lock()
        self.returned.acquire()
        self.actors: list[Actor] = []
        self.late: list[Late] = []  # requests that will land some time
        self.requests = 0
        self.current: Actor | None = None

    def add(self, name: str, run: Callable[[Actor], None]) -> None:
        self.actors.append(Actor(self, name, run))

    def run(self) -> None:
        """Raises what an actor raised that was no expected end."""
        while waiting := [actor for actor in self.actors if not actor.ended]:
            awake = [actor for actor in waiting if not actor.asleep] or waiting
            for actor in waiting:
                actor.asleep = max(0, actor.asleep - 1)
            actor = self.chance.choice(awake)
            if self.happens(SLEEPS):
                actor.asleep = self.chance.randrange(400)
                continue
            if self.happens(DIES) and actor.name.startswith(("writer", "collector")):
                actor.dead = True
            if (landing := [late for late in self.late if late.may_land()]) and self.happens(20):
                self._land(self.chance.choice(landing))
            self.current = actor
            actor.go()
            self.requests += 1
            if actor.error is not None:
                raise actor.error
        for late in list(self.late):
            self._land(late)

    def _land(self, late: "Late") -> None:
        self.late.remove(late)
        late.request()

    def happens(self, thousandths: int) -> bool:
        return self.chance.randrange(1000) < thousandths


class ActorBackend:
    """The storage as one actor reaches it."""

    def __init__(self, actor: Actor) -> None:
        self.location = "memory"
        self.remote = False
        self._actor, self._schedule = actor, actor.schedule

    @property
    def _storage(self) -> MemoryBackend:
        return self._schedule.storage

    def holds_conditions(self) -> bool:
        return True

    def put(self, name: str, pieces: Sequence[Buffer]) -> None:
        content = [b"".join(pieces)]
        self._change(name, lambda: self._storage.put(name, content))

    def replace(self, name: str, pieces: Sequence[Buffer]) -> None:
        content = [b"".join(pieces)]
        self._change(name, lambda: self._storage.replace(name, content))

    def delete(self, name: str) -> None:
        self._change(name, lambda: self._storage.delete(name))

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        self._ask(name)
        return self._storage.get(name, offset, length)

    def read(self, name: str, offset: int, room: memoryview) -> memoryview:
        self._ask(name)
        return self._storage.read(name, offset, room)

    def end(self, name: str, length: int) -> tuple[bytes, int]:
        self._ask(name)
        return self._storage.end(name, length)

    def view(self, name: str) -> memoryview:
        self._ask(name)
        return self._storage.view(name)

    def size(self, name: str) -> int:
        self._ask(name)
        return self._storage.size(name)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """A page at a time: what is created or deleted meanwhile may be listed or not."""
        last = ""
        while True:
            self._ask(prefix)
            page = [info for info in self._storage.list(prefix) if info.name > last][:PAGE]
            if not page:
                return
            yield from page
            last = page[-1].name

    def remove_stale(self, older_than_seconds: float = 86400) -> int:
        return 0

    def free_space(self) -> int | None:
        return None

    def _ask(self, name: str) -> None:
        self._actor.step()
        if self._actor.on_step is not None:
            self._actor.on_step()
        if self._schedule.happens(FAILS):
            raise BackendError(f"{name}: the storage did not answer")

    def _change(self, name: str, change: Callable[[], None]) -> None:
        if name.startswith("backups/") and self._schedule.happens(self._schedule.sleeps_there):
            self._actor.asleep = self._schedule.chance.randrange(4000)  # between its last look and its root
        self._actor.step()
        if self._schedule.happens(FAILS):
            raise BackendError(f"{name}: the storage refused")
        condemns = name.startswith("condemned/")
        if self._schedule.happens(self._schedule.late_condemnations if condemns else LATE):
            self._schedule.late.append(Late(lambda: _quietly(change), self._when(name) if condemns else lambda: True))
            raise BackendError(f"{name}: the storage did not answer in time")
        change()
        if self._schedule.happens(LOST):
            raise BackendError(f"{name}: the answer was lost")
        if self._schedule.happens(TWICE):
            self._actor.step()
            _quietly(change)

    def _when(self, name: str) -> Callable[[], bool]:
        """Any time; or once the name was used by another, and is free again, which would hardly happen by chance."""
        objects = self._storage.objects
        if self._schedule.chance.random() < 0.5:
            return lambda: True
        return lambda: name not in objects and any(other > name for other in objects if other.startswith("condemned/"))


def _quietly(change: Callable[[], None]) -> None:
    try:
        change()
    except (ObjectExists, ObjectMissing):
        pass
