"""Garbage collection by several hosts that share it, and by one that was given up while it was at work."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from random import Random

import pytest

from siltstone.engine import EngineError, Event, LevelRef, Limits, collect
from siltstone.engine.forgotten import forget_level
from siltstone.store import ObjectInfo, ObjectMissing, SessionOvertaken, Shard
from siltstone.store.backend import Buffer
from siltstone.store.collection import RETRIES
from siltstone.store.fence import raise_fence
from tests.backed_up import back_up, copied, ignore, objects, reopened
from tests.backing_up import picture, recorded
from tests.garbage import ANY, Made, make_levels, ref, restores, run
from tests.store.backends import MemoryBackend

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_levels(tmp_path_factory.mktemp("garbage"))


@pytest.fixture
def backend(made: Made) -> MemoryBackend:
    return copied(made[0])


def shard(number: int, of: int) -> Limits:
    return Limits(share=1.0, patience=0.0, shard=Shard(number, of))


@pytest.mark.parametrize("order", [[1, 2, 1, 2, 1], [2, 1, 2, 1], [2, 2, 1, 1]], ids=str)
def test_shards_together_do_what_one_run_does(backend: MemoryBackend, made: Made, order: list[int]) -> None:
    for level in (0, 1):
        forget_level(reopened(backend), ref(level), "test", window_ns=0)
    whole = run(copied(backend), dry_run=True)
    parts = [run(backend, shard(number, 2), dry_run=True) for number in (1, 2)]
    assert [sum(part.bytes for part in parts), sum(part.packs for part in parts)] == [whole.bytes, whole.packs]
    assert sum(part.dead + part.repacked for part in parts) <= whole.dead + whole.repacked
    assert sum(part.dead for part in parts) == whole.dead
    results = [run(backend, shard(number, 2)) for number in order]
    assert all(not result.removed.packs for number, result in zip(order, results, strict=True) if number == 2)
    assert sum(result.removed.packs for result in results) >= sum(part.dead for part in parts)
    assert restores(backend, made) == ["0/2", "0/3"]


def test_a_shard_that_never_ran_leaves_nothing_wrong(backend: MemoryBackend, made: Made) -> None:
    """Whoever collects everything afterwards finishes what shards began."""
    for level in (0, 1):
        forget_level(reopened(backend), ref(level), "test", window_ns=0)
    run(backend, shard(2, 3))
    run(backend, shard(3, 3))
    assert restores(backend, made) == ["0/2", "0/3"]
    for _ in range(3):
        run(backend)
    last = run(backend)
    assert (last.dead, last.repacked, last.pending) == (0, 0, 0)
    assert restores(backend, made) == ["0/2", "0/3"]


class _AfterPacks(MemoryBackend):
    """The objects of another one; something happens when the packs were listed for the third time: after the index."""

    def __init__(self, inner: MemoryBackend, happens: Callable[[], object]) -> None:
        super().__init__()
        self.objects, self._happens, self._lists = inner.objects, happens, 0

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        yield from super().list(prefix)
        if prefix == "packs/":
            self._lists += 1
            if self._lists == 3:
                self._happens()


@pytest.mark.parametrize("retries", [0, RETRIES])
def test_what_others_move_while_a_run_marks_is_found_where_it_is_then(
    backend: MemoryBackend, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, retries: int
) -> None:
    """Another run copies chunks into a pack that this one has not listed; and a session that knows what is condemned
    leaves the old pack out of the index.
    """
    monkeypatch.setattr("siltstone.store.collection.RETRIES", retries)
    for level in (0, 1):
        forget_level(reopened(backend), ref(level), "test", window_ns=0)
    (tmp_path / "new").write_bytes(b"something")

    def move() -> None:
        run(backend)
        back_up(reopened(backend), tmp_path, name="other")
        store = reopened(backend)
        with store.writer() as session:
            store.index.merge(session.name)

    both = reopened(_AfterPacks(backend, move))
    with nullcontext() if retries else pytest.raises(EngineError, match="that the index does not know"):
        collect(both, limits=ANY, report=ignore)
    forget_level(reopened(backend), LevelRef("other", 0, 0), "test")
    assert restores(backend, made) == ["0/2", "0/3"]


@pytest.mark.parametrize("before", [0, 1], ids=["condemning", "removing"])
def test_a_run_that_is_given_up_while_it_marks_changes_nothing_more(
    backend: MemoryBackend, made: Made, before: int
) -> None:
    """As that of a host that was suspended: what it knows may be outdated when it wakes."""

    def give_up(_: Event) -> None:
        for name in objects(backend, "sessions/"):
            raise_fence(backend, name.removeprefix("sessions/"))

    forget_level(reopened(backend), ref(0), "test", window_ns=0)
    for _ in range(before):
        run(backend)
    left = [set(objects(backend, folder)) for folder in ("packs/", "condemned/")]
    with pytest.raises(SessionOvertaken):
        collect(reopened(backend), limits=ANY, report=give_up)
    assert [set(objects(backend, folder)) for folder in ("packs/", "condemned/")] == left
    assert restores(backend, made) == ["0/1", "0/2", "0/3"]


class _Before(MemoryBackend):
    """The objects of another one; something happens before one is created in a folder."""

    def __init__(self, inner: MemoryBackend, folder: str, happens: Callable[[], object]) -> None:
        super().__init__()
        self.objects, self._folder, self._happens = inner.objects, folder, happens

    def put(self, name: str, pieces: Sequence[Buffer]) -> None:
        if name.startswith(self._folder):
            self._happens()
        super().put(name, pieces)


def test_a_pack_that_a_level_came_to_need_before_it_was_condemned_is_brought_back(
    backend: MemoryBackend, made: Made, tmp_path: Path
) -> None:
    (tmp_path / "changes").write_bytes(Random(1).randbytes(200_000))  # that of the level that is forgotten
    forget_level(reopened(backend), ref(1), "test", window_ns=0)
    levels = []

    def rely() -> None:
        levels.append(back_up(reopened(backend), tmp_path, name="again"))

    first = collect(reopened(_Before(backend, "condemned/", rely)), limits=ANY, report=ignore)
    assert (first.dead, first.generation) == (1, 1)
    second = run(backend)
    assert (second.removed.kept, second.removed.packs) == (1, 0)
    for _ in range(2):
        run(backend)
        assert recorded(reopened(backend), levels[0]) == picture(tmp_path)
    last = run(backend)
    assert (last.pending, last.dead) == (0, 0)
    assert recorded(reopened(backend), levels[0]) == picture(tmp_path)


@pytest.mark.parametrize("counts", [False, True], ids=["as-it-is", "if-it-counted"])
def test_a_condemnation_that_lands_after_others_have_used_its_number_counts_for_nobody(
    backend: MemoryBackend, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counts: bool
) -> None:
    """A session that is at work has read past the number, and relies on what was condemned under it; it does not look
    again between its last look and its root.
    """
    elsewhere, first = copied(backend), "condemned/000000000001"
    forget_level(reopened(elsewhere), ref(1), "test", window_ns=0)
    run(elsewhere)
    late = elsewhere.objects[first]
    for number in (0, 2):
        forget_level(reopened(backend), ref(number), "test", window_ns=0)
        run(backend)
        run(backend)
    assert objects(backend, "condemned/") == ["condemned/000000000002"]
    forget_level(reopened(backend), ref(1), "test", window_ns=0)
    if counts:
        monkeypatch.setattr("siltstone.store.condemned.in_force", list)

    def land() -> None:
        backend.objects[first] = late
        run(backend)

    (tmp_path / "changes").write_bytes(Random(1).randbytes(200_000))
    level = back_up(reopened(_Before(backend, "backups/", land)), tmp_path, name="again")
    if counts:
        with pytest.raises(ObjectMissing):
            recorded(reopened(backend), level)
        return
    for _ in range(4):
        assert recorded(reopened(backend), level) == picture(tmp_path)
        run(backend)
    assert first not in objects(backend, "condemned/")
