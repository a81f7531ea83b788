"""Two sessions that store the same at the same moment: one waits for the other, and never for long in vain."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from siltstone.store import ChunkId, following
from siltstone.store.lease import standing
from siltstone.store.writer import Writer

from .backends import MemoryBackend
from .stores import grains, make, put, read_back, reopen, run_of, small_packs

SHARED, HALF = grains(1, 60), 30


class Two:
    """Two sessions of one store, level with each other: `leads` began first, so `waits` waits for it."""

    def __init__(self, backend: MemoryBackend, stack: ExitStack) -> None:
        make(backend)
        self.told: list[str] = []
        self.backend = backend
        self.leads, self.waits = [
            stack.enter_context(reopen(backend).writer("none", self.told.append)) for _ in range(2)
        ]
        self.ids: dict[str, list[ChunkId]] = {}
        for writer in (self.leads, self.waits):
            self.store_unseen(writer, 0, HALF)
        for writer in (self.leads, self.waits):
            writer._publish()

    def store(self, writer: Writer, first: int, last: int) -> None:
        self.ids[writer.name] = self.ids.get(writer.name, []) + put(writer, SHARED[first:last])
        writer.flush()
        writer._publish()  # as after a pack that is not the last: it looks what others have published

    def store_unseen(self, writer: Writer, first: int, last: int) -> None:
        """Before it knows of the others, and they of it."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(following, "PUBLISH_PACKS", 100)
            patch.setattr(writer._following, "_every", 100)
            patch.setattr(writer._following, "_alone", False)
            patch.setattr(writer._following, "_newest", {})
            self.ids[writer.name] = self.ids.get(writer.name, []) + put(writer, SHARED[first:last])
            writer.flush()


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


def test_who_is_behind_waits_though_it_began_first(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other is further, so what comes next is on its way there."""
    two.store_unseen(two.waits, HALF, 45)
    two.leads._publish()
    waited = meanwhile(monkeypatch, lambda: two.store_unseen(two.waits, 45, 60))
    two.store(two.leads, HALF, 60)
    assert two.told == [two.waits.name]
    assert len(waited) == 1
    assert (two.leads.new_chunks, two.waits.new_chunks) == (HALF, 60)


def test_in_a_circle_the_one_that_began_first_goes_on(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    two.store_unseen(two.waits, HALF, 45)
    two.leads._publish()
    two.waits._lease.follow(two.leads.name)
    waited = meanwhile(monkeypatch, lambda: None)
    two.store(two.leads, HALF, 60)  # it is behind the other, which waits for it
    assert not waited
    assert two.leads.new_chunks == 45
    assert two.leads._lease.follows == ""


def test_in_a_circle_the_other_waits(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    two.leads._lease.follow(two.waits.name)
    waited = meanwhile(monkeypatch, lambda: two.store_unseen(two.leads, HALF, 60))
    two.store(two.waits, HALF, 60)
    assert len(waited) == 1
    assert two.waits.new_chunks == HALF


def test_who_goes_on_by_itself_says_so(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "PATIENCE", 0.0)
    monkeypatch.setattr(following, "PUBLISH_PACKS", 100)
    monkeypatch.setattr(two.waits._following, "_every", 100)
    monkeypatch.setattr(two.waits._following, "_alone", False)
    meanwhile(monkeypatch, lambda: None)
    put(two.waits, SHARED[HALF:])
    assert standing(two.backend, two.waits.name)[1] == two.leads.name
    two.waits.flush()
    two.waits._publish()
    assert standing(two.backend, two.waits.name)[1] == ""


def test_what_waited_for_its_turn_is_left_to_the_other(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames that were chosen before it was known that another session stores the same."""
    more = grains(6, 1)
    with monkeypatch.context() as patch:
        patch.setattr(two.waits._following, "_newest", {})
        ids, frames = two.waits.choose(*run_of(SHARED[HALF:] + more))
    assert two.waits.new_chunks == 61
    meanwhile(monkeypatch, lambda: None)
    two.store(two.leads, HALF, 60)
    two.waits._publish()
    before = two.waits.stored_bytes
    for frame in frames:
        two.waits.write(frame)
    two.waits.commit("backups/host/0/0", {"chunks": ids})
    last = frames[-1]
    assert (two.waits.new_chunks, two.waits.known_chunks) == (HALF + len(last.ids), 60 - HALF + 1 - len(last.ids))
    assert two.waits.new_bytes == 1000 * two.waits.new_chunks
    assert two.waits.stored_bytes - before < last.size + 3000
    assert read_back(reopen(two.backend), "backups/host/0/0") == SHARED[HALF:] + more


def test_a_session_that_others_may_wait_for_publishes_in_time(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "PUBLISH_PACKS", 8)
    assert not two.leads._following.alone
    two.leads._following._every = 8
    two.leads._following.look()
    two.leads._following._every = 8
    assert not two.leads._following.is_due(1, ending=False)
    monkeypatch.setattr(following, "PUBLISH_SECONDS", -1.0)
    assert two.leads._following.is_due(1, ending=False)
    assert not two.leads._following.is_due(1, ending=True)


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


def test_one_that_began_alone_publishes_at_once_for_those_who_came(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those that begin at one moment the first sees nobody; it had published after eight packs."""
    monkeypatch.setattr(following, "PUBLISH_PACKS", 8)
    backend = MemoryBackend()
    with make(backend).writer("none") as first:
        assert not any(first._following.is_due(packs, ending=False) for packs in range(1, 8))
        with reopen(backend).writer("none") as second:
            assert not first._following.is_due(3, ending=False)
            assert first._following.is_due(4, ending=False)
            assert second._following.is_due(1, ending=False)


def test_those_count_as_at_work_who_published_lately(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "PUBLISH_PACKS", 8)
    backend = MemoryBackend()
    with make(backend).writer("none") as one, reopen(backend).writer("none") as other:
        assert one._following.at_work == 0  # it is not known yet whether the other stores the same
        for number in range(following.LOOKS):
            put(other, grains(20 + number, 20))
            other.flush()
            one._following.look()
        assert one._following.at_work == 2
        for _ in range(3):
            one._following.look()
        assert one._following.at_work == 1
    with reopen(backend).writer("none") as alone:
        assert alone._following.at_work == 1


def test_beside_others_that_store_something_else_it_is_seldom_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whom to wait for: of many new chunks at once, and not before each of them."""
    asked: list[str | None] = []
    real = following.Following._ahead

    def ahead(self: following.Following) -> str | None:
        asked.append(real(self))
        return asked[-1]

    backend = MemoryBackend()
    make(backend)
    with reopen(backend).writer("none") as one, reopen(backend).writer("none") as other:
        for writer, seed in ((one, 2), (other, 3)):
            put(writer, grains(seed, 10))
            writer.flush()
        for writer in (one, other):
            writer._publish()
        monkeypatch.setattr(following.Following, "_ahead", ahead)
        ids, frames = one.choose(*run_of(grains(4, 100)))
        assert set(asked) == {None}
        assert len(asked) < 50, "for those alone that a filter lets pass by chance"
        assert sum(len(frame.ids) for frame in frames) == len(ids) == 100
        for frame in frames:
            one.write(frame)
