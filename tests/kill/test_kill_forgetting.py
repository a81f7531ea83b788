"""Kill -9 at the writes of forgetting and undeleting: real processes, a real folder. Whatever is left, each level is
there or can be undeleted, and exact; nothing is damage; and the same verb again finishes the work.
"""

import shutil
import signal
from pathlib import Path

import pytest

from siltstone.engine import LevelRef, list_levels, verify_store
from siltstone.engine.forgetting import undelete
from siltstone.engine.forgotten import forgotten_levels
from tests.backed_up import ignore
from tests.backing_up import Picture, Place, picture, recorded

from .test_kill import run


@pytest.fixture(scope="module")
def then(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, dict[LevelRef, Picture]]:
    """A store with levels 0/0, 0/1 and 1/0, and what each of them holds."""
    place = Place(tmp_path_factory.mktemp("kill"))
    place.make_store()
    pictures = {}
    for number, kind in enumerate(("full", "incr", "full")):
        (place.tree / "file").write_bytes(b"%d" % number * 3000)
        pictures[place.level(kind=kind).ref] = picture(place.tree)
    return place, pictures


def attempt(place: Place, folder: Path) -> Place:
    shutil.copytree(place.folder / "store", folder / "store")
    return Place(folder)


def kill_and_check(then: tuple[Place, dict[LevelRef, Picture]], folder: Path, verb: str, at: int) -> bool:
    """Whether the verb came to that call."""
    place = attempt(then[0], folder)
    if verb == "undelete":
        assert run(place, -1, signal.SIGKILL, "forget").returncode == 0
    killed = run(place, at, signal.SIGKILL, verb)
    assert killed.returncode in (0, -signal.SIGKILL), killed.stderr
    store = place.open()
    there = {level.ref for level in list_levels(store)}
    assert there | {each.level.ref for each in forgotten_levels(store)} == then[1].keys()
    assert LevelRef("place", 1, 0) in there
    assert verify_store(store, report=ignore).damaged == []
    again = "undelete" if verb == "undelete" or not there & {LevelRef("place", 0, n) for n in (0, 1)} else verb
    assert run(place, -1, signal.SIGKILL, again).returncode == 0
    undelete(place.open(), ["0"])
    store = place.open()
    assert {level.ref: recorded(store, level) for level in list_levels(store)} == then[1]
    shutil.rmtree(folder)
    return killed.returncode != 0


@pytest.mark.parametrize(("verb", "at"), [("forget", 7), ("forget", 12), ("undelete", 6), ("undelete", 10)])
def test_killed_at_some_write(then: tuple[Place, dict[LevelRef, Picture]], tmp_path: Path, verb: str, at: int) -> None:
    assert kill_and_check(then, tmp_path / "attempt", verb, at)


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("verb", ["forget", "undelete"])
def test_killed_at_every_write(then: tuple[Place, dict[LevelRef, Picture]], tmp_path: Path, verb: str) -> None:
    at = 0
    while kill_and_check(then, tmp_path / "attempt", verb, at):
        at += 1
    assert at > 15
