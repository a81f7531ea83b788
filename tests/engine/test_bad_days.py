"""Bad days of the storage: it fails, fills up or goes at any change that a backup makes; what was stored is not lost.

Rule: each test fails one call of the backend and then looks at the store as the next process finds it. Nothing may
hang: a test that waits for ever ends by its timeout, and is a bug of the program.
"""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import Struct

from siltstone.engine import BackupResult, Event, back_up, list_levels, quick_deployment
from siltstone.store import BackendError, PackName, Store, StoreFull, packer
from tests.backing_up import KEY, Picture, calm_down, picture, recorded
from tests.store.backends import FaultyBackend, Killed, MemoryBackend, lost_mount

pytestmark = pytest.mark.timeout(60)

ERRORS: dict[str, Callable[[], BaseException]] = {
    "full": lambda: StoreFull("no room"),
    "lost": lost_mount,
    "killed": Killed,
}


class Scene(Struct):
    """A store of one level, and a tree that has changed since."""

    backend: MemoryBackend
    tree: Path
    then: Picture

    def open(self) -> Store:
        return Store.open(self.backend, KEY)

    def copy(self) -> "Scene":
        backend = MemoryBackend()
        backend.objects = dict(self.backend.objects)
        return Scene(backend, self.tree, self.then)

    def back_up(self, store: Store, *, dry_run: bool = False) -> BackupResult:
        calm_down()
        events: list[Event] = []
        return back_up(store, quick_deployment([str(self.tree)], "scene"), dry_run=dry_run, report=events.append)

    def packs(self) -> set[PackName]:
        return {PackName(name.rpartition("/")[2]) for name in self.backend.objects if name.startswith("packs/")}


@pytest.fixture(autouse=True)
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    """One frame of random data a pack, so that a few megabytes are many changes."""
    monkeypatch.setattr(packer, "PACK_SIZE", 7 << 19)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    scene = Scene(MemoryBackend(), tmp_path / "tree", {})
    scene.tree.mkdir()
    for number in range(20):
        (scene.tree / f"{number:02}").write_bytes(random.Random(number).randbytes(5000))
    Store.init(scene.backend, [(KEY, "test")])
    scene.back_up(scene.open())
    scene.then = picture(scene.tree)
    for number in range(5):
        (scene.tree / f"{number:02}").write_bytes(random.Random(200 + number).randbytes(150_000))
    for number in range(2):
        (scene.tree / f"large {number}").write_bytes(random.Random(100 + number).randbytes((1 << 20) + number))
    (scene.tree / "larger").write_bytes(random.Random(300).randbytes(4 << 20))
    return scene


def check(scene: Scene, before: set[PackName], predicted: int) -> None:
    """The store opens; the first level is as it was; the next backup completes, and stores only what was not there."""
    store = scene.open()
    levels = list_levels(store)
    assert recorded(store, levels[0]) == scene.then
    now = picture(scene.tree)
    for level in levels[1:]:
        assert recorded(store, level) == now, "a level that is there is whole"
    durable = sum(frame.plain for pack in scene.packs() - before for frame in store.footer(pack).frames)
    told = scene.back_up(scene.open(), dry_run=True).stats["new_bytes"]
    made = scene.back_up(scene.open())
    assert made.level is not None
    assert (made.level.level, made.stats["new_bytes"]) == (len(levels), told)
    assert made.stats["new_bytes"] == (predicted - durable if len(levels) == 1 else 0)
    assert recorded(scene.open(), made.level) == now


def changes_of_a_backup(scene: Scene) -> list[tuple[str, str]]:
    backend = FaultyBackend(scene.copy().backend)
    scene.back_up(Store.open(backend, KEY))
    return backend.changes


@pytest.mark.parametrize(
    ("kind", "lands"),
    [
        ("full", True),
        ("killed", False),
        *(pytest.param(*one, marks=pytest.mark.slow) for one in (("full", False), ("killed", True))),
        *(pytest.param("lost", lands, marks=pytest.mark.slow) for lands in (True, False)),
    ],
)
def test_every_change_that_a_backup_makes_may_be_its_last(scene: Scene, kind: str, lands: bool) -> None:
    """`lands`: it takes place, and only the answer is lost. All later calls fail, too."""
    predicted = scene.back_up(scene.open(), dry_run=True).stats["new_bytes"]
    changes = changes_of_a_backup(scene)
    assert len(changes) >= 7
    for at in range(len(changes)):
        attempt = scene.copy()
        faulty = FaultyBackend(attempt.backend, at, error=ERRORS[kind], lands=lands)
        try:
            attempt.back_up(Store.open(faulty, KEY))
        except (StoreFull, BackendError, Killed):
            verb, name = faulty.changes[at]
            assert verb == "put" or kind == "killed", f"that {name} cannot be deleted is not worth a failure"
        check(attempt, scene.packs(), predicted)


@pytest.mark.parametrize("kind", ["full", pytest.param("lost", marks=pytest.mark.slow)])
def test_a_moment_of_trouble_costs_no_more_than_this_backup(scene: Scene, kind: str) -> None:
    """Later calls work again: what was stored before and after the trouble is found by the next backup."""
    predicted = scene.back_up(scene.open(), dry_run=True).stats["new_bytes"]
    for at in range(len(changes_of_a_backup(scene))):
        attempt = scene.copy()
        store = Store.open(FaultyBackend(attempt.backend, at, error=ERRORS[kind], once=True), KEY)
        try:
            attempt.back_up(store)
        except (StoreFull, BackendError):
            assert len(list_levels(attempt.open())) == 1
        check(attempt, scene.packs(), predicted)


def test_an_interruption_from_the_keyboard(scene: Scene) -> None:
    """Raised in the walk, wherever that is; what was read by then is stored."""
    predicted = scene.back_up(scene.open(), dry_run=True).stats["new_bytes"]
    for at in (1, 5, 12, 20, 30):
        attempt = scene.copy()
        seen = [0]

        def report(event: Event, seen: list[int] = seen, at: int = at) -> None:
            seen[0] += 1
            if seen[0] == at:
                raise KeyboardInterrupt

        calm_down()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("siltstone.engine.backup_run.time.monotonic", iter_clock())
            try:
                back_up(attempt.open(), quick_deployment([str(scene.tree)], "scene"), report=report)
            except KeyboardInterrupt:
                assert len(list_levels(attempt.open())) == 1
            else:
                assert seen[0] < at, "it was over before that"
        check(attempt, scene.packs(), predicted)


def iter_clock() -> Callable[[], float]:
    """A clock that runs fast, so that every entry is worth an event."""
    seconds = iter(range(1, 10**9))
    return lambda: float(next(seconds))


def test_a_full_disk_while_every_thread_waits_for_it(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Storage so slow that all buffers are in use, and then it fails: everybody hears of it."""
    real = MemoryBackend.put

    def slow(self: MemoryBackend, name: str, pieces: list[bytes]) -> None:
        if name.startswith("packs/"):
            calm_down()
            if len([one for one in self.objects if one.startswith("packs/")]) > 3:
                raise StoreFull("no room")
        real(self, name, pieces)

    (scene.tree / "huge").write_bytes(random.Random(400).randbytes(40 << 20))
    with monkeypatch.context() as patch:
        patch.setattr(MemoryBackend, "put", slow)
        with pytest.raises(StoreFull):
            scene.back_up(scene.open())
    assert len(list_levels(scene.open())) == 1
