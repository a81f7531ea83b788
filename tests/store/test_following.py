"""Two sessions that store the same at the same moment: one waits for the other, and never for long in vain."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from siltstone.store import ChunkId, following
from siltstone.store.writer import Writer

from .backends import MemoryBackend
from .stores import grains, make, put, reopen, small_packs

SHARED, HALF = grains(1, 60), 30


class Two:
    """Two sessions of one store, the one that waits and the one that goes on, level with each other."""

    def __init__(self, backend: MemoryBackend, stack: ExitStack) -> None:
        make(backend)
        self.told: list[str] = []
        writers = [stack.enter_context(reopen(backend).writer("none", self.told.append)) for _ in range(2)]
        self.leads, self.waits = sorted(writers, key=lambda writer: writer.name)
        self.ids: dict[str, list[ChunkId]] = {}
        for writer in (self.leads, self.waits):
            self.store(writer, 0, HALF)

    def store(self, writer: Writer, first: int, last: int) -> None:
        self.ids[writer.name] = self.ids.get(writer.name, []) + put(writer, SHARED[first:last])
        writer.flush()
        writer._publish()  # as after a pack that is not the last: it looks what others have published


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Sessions publish each pack, and packs are small."""
    monkeypatch.setattr(following, "PUBLISH_PACKS", 1)
    with small_packs():
        yield


@pytest.fixture
def two() -> Iterator[Two]:
    with ExitStack() as stack:
        yield Two(MemoryBackend(), stack)


def meanwhile(monkeypatch: pytest.MonkeyPatch, step: Callable[[], None]) -> list[float]:
    """While a session waits, the step is done. Returns how long it waited each time."""
    waited: list[float] = []

    def pause(seconds: float) -> bool:
        waited.append(seconds)
        step()
        return True

    monkeypatch.setattr(following, "pause", pause)
    return waited


def test_what_the_other_has_on_its_way_is_waited_for(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    at = iter(range(HALF, 60, 10))

    def go_on() -> None:
        first = next(at)
        two.store(two.leads, first, first + 10)

    waited = meanwhile(monkeypatch, go_on)
    two.store(two.waits, HALF, 60)
    assert len(waited) == 3
    assert two.told == [two.leads.name]
    assert two.waits.new_chunks == HALF
    for writer in (two.leads, two.waits):
        writer.commit(f"backups/{writer.name}/0/0", {"chunks": two.ids[writer.name][-60:]})


def test_of_two_only_one_waits(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    waited = meanwhile(monkeypatch, lambda: None)
    two.store(two.leads, HALF, 60)
    assert two.leads.new_chunks == 60
    assert not waited


def test_who_is_silent_is_waited_for_once(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "PATIENCE", 1.0)
    waited = meanwhile(monkeypatch, lambda: None)
    two.store(two.waits, HALF, 60)
    assert two.waits.new_chunks == 60
    assert following.SHORTEST <= waited[0] < waited[1]
    assert sum(waited) < 2 + following.LONGEST


def test_who_has_ended_is_not_waited_for(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    waited = meanwhile(monkeypatch, lambda: two.leads.__exit__(None, None, None) if len(waited) == 1 else None)
    two.store(two.waits, HALF, 60)
    assert two.waits.new_chunks == 60
    assert len(waited) == 1


def test_who_stores_something_else_waits_only_while_the_other_is_near(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other goes on, and is soon so far ahead that this chunk is none of those that it had on its way."""
    others = iter(grains(3, 4000))

    def go_on() -> None:
        put(two.leads, [next(others) for _ in range(60)])
        two.leads.flush()

    waited = meanwhile(monkeypatch, go_on)
    ids = put(two.waits, grains(4, 60))
    assert two.waits.new_chunks == HALF + 60
    assert 0 < len(waited) < 60
    two.waits.commit("backups/host/0/0", {"chunks": ids})
