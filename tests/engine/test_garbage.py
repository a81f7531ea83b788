"""Garbage collection over real levels: what no level needs goes after two runs, and everything else restores."""

from collections.abc import Callable
from functools import partial

import pytest

from siltstone.engine import (
    Budget,
    EngineError,
    Event,
    LevelNotFound,
    Limits,
    Warned,
    collect,
    list_levels,
    verify_store,
)
from siltstone.engine.forgotten import forget_level, undelete_level
from siltstone.store import BackendError, NoKey, Store
from siltstone.store.fence import accept, raise_fence
from siltstone.store.opening import OpenStore
from tests.backed_up import copied, ignore, objects, reopened
from tests.backing_up import recorded
from tests.garbage import ANY, Made, make_levels, ref, restores, run
from tests.store.backends import FaultyBackend, Interrupted, Killed, MemoryBackend

pytestmark = pytest.mark.timeout(120)

MONTH = 31 * 86400 * 10**9


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_levels(tmp_path_factory.mktemp("garbage"))


@pytest.fixture
def backend(made: Made) -> MemoryBackend:
    return copied(made[0])


def stored(backend: MemoryBackend) -> int:
    return sum(len(content) for name, content in backend.objects.items() if name.startswith("packs/"))


class TestCollecting:
    def test_nothing_is_done_where_nothing_is_dead(self, backend: MemoryBackend) -> None:
        before = dict(backend.objects)
        result = run(backend, Limits(patience=0.0))
        assert (result.dead, result.removed.packs, result.generation) == (0, 0, None)
        assert backend.objects.keys() >= {name for name in before if not name.startswith("index/")}

    def test_what_no_level_needs_goes_after_two_runs(self, backend: MemoryBackend, made: Made) -> None:
        size = stored(backend)
        for level in (0, 1):
            forget_level(reopened(backend), ref(level), "test", window_ns=0)
        first = run(backend)
        assert first.expired == 2
        assert first.generation == 1
        assert stored(backend) >= size  # nothing is gone yet, and what is live was copied
        second = run(backend)
        assert second.removed.packs > 0
        assert second.removed.kept == 0
        assert stored(backend) < size - 350_000
        assert restores(backend, made) == ["0/2", "0/3"]
        third = run(backend)
        assert (third.removed.packs, third.dead, third.repacked) == (0, 0, 0)

    def test_a_forgotten_level_stays_as_long_as_it_can_be_undeleted(self, backend: MemoryBackend, made: Made) -> None:
        forget_level(reopened(backend), ref(1), "test", window_ns=MONTH)
        for _ in range(3):
            assert run(backend).dead == 0
        assert undelete_level(reopened(backend), ref(1))
        assert restores(backend, made) == ["0/0", "0/1", "0/2", "0/3"]

    def test_a_level_that_was_condemned_cannot_be_undeleted_any_more(self, backend: MemoryBackend, made: Made) -> None:
        forget_level(reopened(backend), ref(1), "test", window_ns=0)
        run(backend)
        with pytest.raises(LevelNotFound):
            undelete_level(reopened(backend), ref(1))
        run(backend)
        assert restores(backend, made) == ["0/0", "0/2", "0/3"]

    def test_a_session_at_work_is_waited_for(self, backend: MemoryBackend, made: Made) -> None:
        forget_level(reopened(backend), ref(0), "test", window_ns=0)
        with reopened(backend).writer():
            run(backend)
            second = run(backend, Limits(share=1.0, patience=0.0))
            # Its lease did not change since the run before, so that without patience it is given up.
            assert len(second.given_up) == 1
        assert restores(backend, made) == ["0/1", "0/2", "0/3"]

    def test_a_budget_is_kept_and_the_next_run_goes_on(self, backend: MemoryBackend, made: Made) -> None:
        for level in (0, 1, 2):
            forget_level(reopened(backend), ref(level), "test", window_ns=0)
        result = run(backend, Limits(share=1.0, patience=0.0, copy_bytes=0))
        assert result.copied_bytes == 0
        assert result.left > 0
        sizes = []
        for _ in range(4):
            run(backend)
            sizes.append(stored(backend))
        assert sizes[-1] < 450_000
        assert restores(backend, made) == ["0/3"]

    def test_no_time_is_no_harm(self, backend: MemoryBackend, made: Made) -> None:
        forget_level(reopened(backend), ref(0), "test", window_ns=0)
        for _ in range(3):
            run(backend, Limits(share=1.0, patience=0.0, seconds=0.0))
        assert restores(backend, made) == ["0/1", "0/2", "0/3"]

    def test_a_dry_run_changes_nothing(self, backend: MemoryBackend) -> None:
        forget_level(reopened(backend), ref(0), "test", window_ns=0)
        before = dict(backend.objects)
        result = run(backend, dry_run=True)
        assert result.dry_run
        assert result.freed_bytes > 100_000
        assert backend.objects == before


class TestRefusing:
    def test_more_than_the_expected_share(self, backend: MemoryBackend) -> None:
        for level in range(4):
            forget_level(reopened(backend), ref(level), "test", window_ns=0)
        with pytest.raises(EngineError, match="more than the 50%") as caught:
            run(backend, Limits(patience=0.0))
        assert "--max-share" in caught.value.hint
        assert objects(backend, "condemned/") == []

    def test_a_root_that_does_not_parse(self, backend: MemoryBackend) -> None:
        forget_level(reopened(backend), ref(0), "test", window_ns=0)
        name = ref(2).name
        backend.objects[name] = backend.objects[name][:-1] + b"?"
        size = stored(backend)
        with pytest.raises(EngineError, match="not every root"):
            run(backend)
        assert stored(backend) == size
        assert objects(backend, "condemned/") == []

    def test_a_chunk_that_is_nowhere(self, backend: MemoryBackend) -> None:
        pack = max(
            (name for name in backend.objects if name.startswith("packs/")), key=lambda n: len(backend.objects[n])
        )
        del backend.objects[pack]
        with pytest.raises(EngineError, match="nothing was removed"):
            run(backend)
        assert objects(backend, "condemned/") == []

    def test_a_host_that_only_writes(self, backend: MemoryBackend) -> None:
        opened = reopened(backend).opened
        adding = Store(OpenStore(opened.backend, opened.config, opened.ring.without_private()))
        with pytest.raises(NoKey, match="collecting garbage is refused"):
            collect(adding, limits=ANY, report=ignore)

    def test_storage_without_conditions(self, backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(MemoryBackend, "holds_conditions", lambda self: False, raising=False)
        with pytest.raises(EngineError, match="exclusively"):
            run(backend)


def runs_killed_at(backend: MemoryBackend, made: Made, runs: Callable[[Store], object]) -> int:
    """Kill at every change of a run, with and without its landing; each time the next runs finish the work."""
    whole = dict(backend.objects)
    counting = FaultyBackend(backend)
    runs(reopened(counting))
    tried = len(counting.changes)
    for at in range(tried):
        for lands in (False, True):
            backend.objects = dict(whole)
            with pytest.raises(Killed):
                runs(reopened(FaultyBackend(backend, at, lands=lands)))
            assert restores(backend, made) == ["0/1", "0/2", "0/3"]
            for _ in range(4):
                run(backend)
            assert restores(backend, made) == ["0/1", "0/2", "0/3"]
            assert run(backend, dry_run=True).dead == 0
    return tried


@pytest.mark.parametrize("before", [0, 1], ids=["condemning", "removing"])
def test_a_run_that_is_killed_at_any_change(backend: MemoryBackend, made: Made, before: int) -> None:
    forget_level(reopened(backend), ref(0), "test", window_ns=0)
    for _ in range(before):
        run(backend)
    assert runs_killed_at(backend, made, lambda store: collect(store, limits=ANY, report=ignore)) >= 5


class TestReading:
    """What reads while garbage is collected."""

    def forget_and_collect(self, backend: MemoryBackend, runs: int) -> None:
        forget_level(reopened(backend), ref(0), "test", window_ns=0)
        for _ in range(runs):
            run(backend, Limits(share=1.0, patience=3600.0))

    def collect_into(self, backend: MemoryBackend, removed: list[int]) -> None:
        removed.append(run(backend).removed.packs)

    def test_what_is_read_under_a_lease_stays_though_it_is_forgotten(self, backend: MemoryBackend, made: Made) -> None:
        store = reopened(backend)
        with store.reading() as held:
            assert held
            level = list_levels(store)[0]
            self.forget_and_collect(backend, 1)
            assert run(backend, dry_run=True).waiting_for
            assert recorded(store, level) == made[1]["0/0"]
        assert objects(backend, "sessions/") == []
        assert run(backend).removed.packs > 0
        assert restores(backend, made) == ["0/1", "0/2", "0/3"]

    def test_where_no_lease_can_be_written_reading_goes_on(self, backend: MemoryBackend) -> None:
        refusing = FaultyBackend(backend, 0, error=lambda: BackendError("it is mounted read-only"))
        with reopened(refusing).reading() as held:
            assert not held
        assert objects(backend, "sessions/") == []

    def test_a_verification_takes_what_is_collected_for_no_damage(self, backend: MemoryBackend) -> None:
        """It was condemned before, and is removed between two requests of the verification, whichever these are."""
        self.forget_and_collect(backend, 1)
        whole, counting = dict(backend.objects), Interrupted(backend)
        assert verify_store(reopened(counting), budget=Budget(1.0), report=ignore).damaged == []
        for at in range(counting.requests // 24, counting.requests, counting.requests // 12):
            backend.objects = dict(whole)
            removed: list[int] = []
            interrupted = Interrupted(backend, at, partial(self.collect_into, backend, removed))
            events: list[Event] = []
            result = verify_store(reopened(interrupted), budget=Budget(1.0), report=events.append)
            assert removed > [0], f"at {at}"
            assert result.damaged == [], f"at {at}"
            assert not [event for event in events if isinstance(event, Warned)], f"at {at}"

    def test_a_pack_that_is_lost_is_named_all_the_same(self, backend: MemoryBackend) -> None:
        store = reopened(backend)
        pack = objects(backend, "packs/")[0]

        def report(event: Event) -> None:
            backend.objects.pop(pack, None)

        assert pack in [damage.object for damage in verify_store(store, budget=Budget(1.0), report=report).damaged]


def test_a_void_root_is_removed_and_its_number_stays_taken(backend: MemoryBackend) -> None:
    store = reopened(backend)
    session = backend.get(ref(3).name)[6:22].hex()
    raise_fence(backend, session)
    accept(backend, session, [])
    assert [str(level.ref) for level in list_levels(store)] == ["0/0", "0/1", "0/2"]
    assert run(backend).void == [ref(3).name]
    assert verify_store(reopened(backend), report=ignore).damaged == []
