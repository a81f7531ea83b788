"""Backups and collectors in real processes on a real folder, killed at random for a while, while levels are forgotten.

At the end every level that is there restores exactly, whatever was told to be committed is there unless it was
forgotten, nothing is damaged, and a few quiet runs leave no garbage. `--seconds` says how long it goes on.
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec import Struct, field

from siltstone.engine import Limits, collect, list_levels, verify_store
from siltstone.engine.forgotten import forget_level
from siltstone.store import Store, open_backend
from tests.backing_up import KEY, Picture, picture, recorded

ROOT = Path(__file__).parents[2]


class Place(Struct):
    """A store, trees, and what was promised: level -> what it holds."""

    folder: Path
    chance: random.Random
    meant: dict[str, Picture] = field(default_factory=dict)
    committed: set[str] = field(default_factory=set)
    forgotten: set[str] = field(default_factory=set)
    kills: int = 0
    removed: int = 0

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def opened(self) -> Store:
        return Store.open(open_backend(str(self.store)), KEY)

    def start(self, *words: str) -> "subprocess.Popen[str]":
        path = os.pathsep.join([str(ROOT), *sys.path])
        command = [sys.executable, "-m", "tests.kill.collecting", *words]
        return subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
        )

    def change(self, name: str) -> Path:
        tree = self.folder / name
        tree.mkdir(exist_ok=True)
        for _ in range(3):
            (tree / f"file{self.chance.randrange(6)}").write_bytes(
                self.chance.randbytes(self.chance.randrange(400_000))
            )
        return tree

    def forget_something(self) -> None:
        levels = list_levels(self.opened())
        if len(levels) > 3:
            ref = self.chance.choice(levels).ref
            self.forgotten.add(f"{ref.deployment}:{ref}")
            forget_level(self.opened(), ref, "test", window_ns=0)


def backup(place: Place, name: str) -> "tuple[subprocess.Popen[str], Picture]":
    tree = place.change(name)
    return place.start("backup", str(place.store), str(tree), name), picture(tree)


def settle(place: Place, name: str, session: "subprocess.Popen[str]", content: Picture) -> None:
    """A backup ended, or was killed: whatever level is new is its own."""
    said = session.communicate()[0].strip()
    for level in list_levels(place.opened()):
        label = f"{name}:{level.ref}"
        if level.deployment == name and label not in place.meant:
            place.meant[label] = content
    if said:
        place.committed.add(f"{name}:{said}")
        place.meant.setdefault(f"{name}:{said}", content)


def go_on(place: Place, seconds: float) -> None:
    names = ["one", "two", "three"]
    backups = {name: backup(place, name) for name in names}
    collectors = [place.start("collect", str(place.store)) for _ in range(2)]
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(place.chance.random() * 0.5)
        name = place.chance.choice(names)
        session, content = backups[name]
        if session.poll() is None and place.chance.random() < 0.1:
            session.kill()
            place.kills += 1
        if session.poll() is not None:
            settle(place, name, session, content)
            backups[name] = backup(place, name)
        if place.chance.random() < 0.05:
            number = place.chance.randrange(2)
            end_collector(place, collectors[number])
            collectors[number] = place.start("collect", str(place.store))
        if place.chance.random() < 0.3:
            place.forget_something()
    for name, (session, content) in backups.items():
        settle(place, name, session, content)
    for collector in collectors:
        end_collector(place, collector)


def end_collector(place: Place, collector: "subprocess.Popen[str]") -> None:
    collector.kill()
    place.kills += 1
    for line in collector.communicate()[0].splitlines():
        verb, _, rest = line.partition(" ")
        if verb == "removed" and rest.isdecimal():
            place.removed += int(rest)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_nothing_that_was_committed_is_lost(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    seconds = float(request.config.getoption("--seconds"))
    place = Place(tmp_path, random.Random(0))
    Store.init(open_backend(str(place.store), create=True), [(KEY, "test")])
    go_on(place, seconds)
    quiet = Limits(share=1.0, waste=0.3, patience=0.0)
    for _ in range(5):
        collect(place.opened(), limits=quiet, report=lambda event: None)
    result = collect(place.opened(), limits=quiet, report=lambda event: None)
    assert result.dead == result.pending == 0
    store = place.opened()
    there = {f"{level.deployment}:{level.ref}": level for level in list_levels(store)}
    assert place.committed - place.forgotten <= there.keys()
    for label, level in there.items():
        assert recorded(store, level) == place.meant[label], label
    assert verify_store(store, report=lambda event: None).damaged == []
    assert place.removed > 0
    sys.stdout.write(f"{len(place.committed)} commits, {place.kills} kills, {place.removed} packs removed\n")
