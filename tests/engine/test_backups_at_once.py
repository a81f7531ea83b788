"""Backups of one deployment at the same time: each becomes a level of its own, and both are whole."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from siltstone.engine import Deployment, FileSet, Level, back_up, list_levels
from siltstone.engine import backup as module
from siltstone.store import Inherited, SiltError, Writer
from tests.backing_up import Place, calm_down, picture, recorded

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.make_store()
    for number in range(30):
        (place.tree / f"{number}").write_bytes(os.urandom(20_000))
    return place


def before_commits(patch: pytest.MonkeyPatch, happen: Callable[[], object]) -> None:
    """Something happens each time that a level is about to be committed."""
    real = Writer.commit

    def commit(self: Writer, name: str, content: dict[str, object], inherited: Inherited | None = None) -> None:
        happen()
        real(self, name, content, inherited)

    patch.setattr(Writer, "commit", commit)


def run(place: Place, kind: Any) -> Level:
    """A backup with a store of its own."""
    level = back_up(place.open(), place.deployment(), kind=kind, report=lambda event: None).level
    assert level is not None
    return level


def at_once(place: Place, *kinds: str) -> list[Level]:
    """Backups in threads, each with a store of its own; all are planned before the first is committed."""
    calm_down()
    barrier = threading.Barrier(len(kinds), timeout=60)
    waited = threading.local()

    def wait_once() -> None:
        if not hasattr(waited, "done"):
            waited.done = True
            barrier.wait()

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(len(kinds)) as pool:
        before_commits(patch, wait_once)
        return list(pool.map(lambda kind: run(place, kind), kinds))


def check(place: Place, made: list[Level], *expected: str) -> None:
    """These levels were made, and each of them is the tree, as another process reads it."""
    assert sorted(str(level.ref) for level in made) == sorted(expected)
    store = place.open()
    listed = {level.name: level for level in list_levels(store)}
    for level in made:
        assert listed[level.name] == level
        assert recorded(store, listed[level.name]) == picture(place.tree)
    assert not list((place.folder / "store" / "sessions").iterdir())
    assert place.back_up(kind="full").stats["new_bytes"] == 0


def test_two_first_backups(place: Place) -> None:
    made = at_once(place, "auto", "auto")
    check(place, made, "0/0", "1/0")
    assert [(level.kind, level.parent) for level in made] == [("full", None)] * 2


def test_two_increments(place: Place) -> None:
    place.level()
    (place.tree / "5").write_bytes(b"changed")
    before = place.level()
    made = at_once(place, "incr", "diff", "auto")
    check(place, made, "0/2", "0/3", "0/4")
    assert sorted((level.kind, level.parent) for level in made) == [("diff", 0), ("incr", 1), ("incr", 1)]
    assert before.level == 1


def test_an_increment_stays_in_its_group(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its level is taken, and a full backup opened another group meanwhile, with whose levels it was not compared."""
    place.level()
    other: list[Level] = []

    def others_come_first() -> None:
        if not other:
            other.append(place.levels()[0])
            other.extend(run(place, kind) for kind in ("incr", "full"))

    with monkeypatch.context() as patch:
        before_commits(patch, others_come_first)
        made = place.level(kind="incr")
    assert [str(level.ref) for level in other] == ["0/0", "0/1", "1/0"]
    assert (str(made.ref), made.parent) == ("0/2", 0)
    check(place, [made], "0/2")


def test_who_never_gets_a_level_gives_up(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.level()
    monkeypatch.setattr(module, "COMMIT_TRIES", 3)
    nested = [False]

    def somebody_is_quicker() -> None:
        if not nested[0]:
            nested[0] = True
            run(place, "incr")
            nested[0] = False

    with monkeypatch.context() as patch:
        before_commits(patch, somebody_is_quicker)
        with pytest.raises(SiltError) as caught:
            place.back_up(kind="incr")
    assert "3 times" in str(caught.value)
    assert caught.value.hint
    assert [str(level.ref) for level in place.levels()] == ["0/0", "0/1", "0/2", "0/3"]


def test_two_deployments_share_what_they_have_in_common(place: Place) -> None:
    deployments = [place.deployment(name="one"), place.deployment(name="two")]

    def back_up_one(deployment: Deployment) -> Level:
        level = back_up(place.open(), deployment, report=lambda event: None).level
        assert level is not None
        return level

    calm_down()
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(back_up_one, deployments))
    assert sorted(level.name for level in made) == ["backups/one/0/0", "backups/two/0/0"]
    check(place, made, "0/0", "0/0")


def test_one_store_object_for_two_threads(place: Place) -> None:
    """A store may be shared: each backup is a session of its own."""
    store = place.open()
    (place.tree / "sub").mkdir()
    (place.tree / "sub" / "file").write_bytes(os.urandom(300_000))
    sets = (FileSet("all", (os.fsencode(place.tree),)), FileSet("sub", (os.fsencode(place.tree / "sub"),)))

    def back_up_one(files: FileSet) -> Level:
        level = back_up(store, Deployment(files.name, (files,)), report=lambda event: None).level
        assert level is not None
        return level

    calm_down()
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(back_up_one, sets)
    assert recorded(place.open(), one) == picture(place.tree)
    assert recorded(place.open(), two) == picture(place.tree / "sub")


@pytest.mark.parametrize("count", [2, pytest.param(6, marks=pytest.mark.slow)])
def test_processes(place: Place, count: int) -> None:
    environment = {**os.environ, "SILT_STORE": str(place.folder / "other"), "SILT_PASSPHRASE": "grains"}
    program = [sys.executable, "-c", "from siltstone.cli.main import main; main()"]
    subprocess.run([*program, "init"], env=environment, check=True, capture_output=True, timeout=60)
    command = [*program, "backup", str(place.tree), "--name", "x", "--json"]
    running = [subprocess.Popen(command, env=environment, stdout=-1, stderr=-1, text=True) for _ in range(count)]
    ended = [(process.communicate(timeout=80), process.returncode) for process in running]
    assert [code for _, code in ended] == [0] * count, ended
    results = [json.loads(said[0].splitlines()[-1]) for said, _ in ended]
    names = [(result["group"], result["level"]) for result in results]
    assert len(set(names)) == count
    assert all((group, level) in names for group, last in names for level in range(last)), "no level is left out"
    verify = [*program, "verify", "--read-data", "all"]
    verified = subprocess.run(verify, env=environment, capture_output=True, timeout=60)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert not list((place.folder / "other" / "sessions").iterdir())
