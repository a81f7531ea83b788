"""Kill -9 at every write of a backup, and Ctrl-C: real processes, real signals, a real folder.

After each: the store opens, earlier levels are exact, a level that is there is whole, and the next backup completes,
stores nothing that was durable, and clears away the lease of the dead.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from msgspec import Struct

from siltstone.store import PackName, Store
from tests.backing_up import Picture, Place, calm_down, picture, recorded

CHILD = Path(__file__).with_name("child.py")


class Scene(Struct):
    """A place of one level whose tree has changed since; what the next backup adds, in how many calls."""

    place: Place
    then: Picture
    predicted: int
    packs: set[PackName]
    calls: int

    def attempt(self) -> Place:
        """The same tree with a copy of the store."""
        copy = Path(tempfile.mkdtemp(dir=self.place.folder))
        shutil.copytree(self.place.folder / "store", copy / "store")
        return Place(copy, shared=self.place.tree)


def run(place: Place, at: int, number: int, *verb: str) -> "subprocess.CompletedProcess[str]":
    calm_down()
    command = [sys.executable, str(CHILD), str(place.folder / "store"), str(place.tree), str(at), str(number), *verb]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def packs_of(store: Store) -> set[PackName]:
    return {PackName(info.name.rpartition("/")[2]) for info in store.backend.list("packs/")}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    place = Place(tmp_path_factory.mktemp("kill"))
    place.make_store()
    for number in range(20):
        (place.tree / f"{number:02}").write_bytes(random.Random(number).randbytes(3000))
    place.level()
    then = picture(place.tree)
    for number in range(5):
        (place.tree / f"{number:02}").write_bytes(random.Random(100 + number).randbytes(200_000))
    (place.tree / "large").write_bytes(random.Random(200).randbytes(5 << 20))
    predicted = place.back_up(dry_run=True).stats["new_bytes"]
    scene = Scene(place, then, predicted, packs_of(place.open()), 0)
    whole = run(scene.attempt(), -1, signal.SIGKILL)
    assert whole.returncode == 0, whole.stderr
    scene.calls = int(whole.stdout)
    return scene


def check(scene: Scene, place: Place) -> None:
    store = place.open()
    first, *more = place.levels()
    assert recorded(store, first) == scene.then
    now = picture(place.tree)
    for level in more:
        assert recorded(store, level) == now
    durable = sum(frame.plain for pack in packs_of(store) - scene.packs for frame in store.footer(pack).frames)
    made = place.back_up()
    assert made.level is not None
    assert made.level.level == 1 + len(more)
    assert made.stats["new_bytes"] == (0 if more else scene.predicted - durable)
    assert recorded(place.open(), made.level) == now
    assert not list(store.backend.list("sessions/"))


def kill_and_check(scene: Scene, at: int) -> None:
    place = scene.attempt()
    killed = run(place, at, signal.SIGKILL)
    if killed.returncode == 0:  # packs are filled by several threads, and one time there are more of them than another
        assert at >= scene.calls - 15
    else:
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    check(scene, place)
    shutil.rmtree(place.folder)


@pytest.mark.parametrize("part", range(6))
def test_killed_at_some_write(scene: Scene, part: int) -> None:
    assert scene.calls > 25
    kill_and_check(scene, part * (scene.calls - 1) // 5)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_at_every_write(scene: Scene) -> None:
    for at in range(scene.calls):
        kill_and_check(scene, at)


def interrupt_and_check(scene: Scene, at: int, *, tidy: bool) -> None:
    """`tidy`: nothing is left lying about, as there may be if it comes while the session begins or ends."""
    place = scene.attempt()
    ended = run(place, at, signal.SIGINT)
    assert ended.returncode in (0, -signal.SIGINT), ended.stderr
    if ended.returncode:
        assert "KeyboardInterrupt" in ended.stderr
    if tidy:
        assert not os.listdir(place.folder / "store" / "sessions")
        assert not list((place.folder / "store").rglob(".tmp-*"))
    check(scene, place)
    shutil.rmtree(place.folder)


@pytest.mark.parametrize("part", range(5))
def test_interrupted_at_some_write(scene: Scene, part: int) -> None:
    interrupt_and_check(scene, part * (scene.calls - 1) // 4, tidy=part in (1, 2))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_interrupted_at_every_write(scene: Scene) -> None:
    for at in range(scene.calls):
        interrupt_and_check(scene, at, tidy=False)


def test_killed_again_and_again(scene: Scene) -> None:
    """Each attempt comes a little further on what the ones before it left behind."""
    place = scene.attempt()
    for at in (8, 12, 16, 20, 24):
        killed = run(place, at, signal.SIGKILL)
        assert killed.returncode in (0, -signal.SIGKILL), killed.stderr
    check(scene, place)
