"""Whole cycles of every tool over every corpus: init, first backup, unchanged, changed, verify, restore.

Rule: within a repetition the tools take turns, step by step and in another order each time, on the same tree in the
same state. Each repetition begins with empty stores. The first one compares what was restored with the tree, by
`picture`, which is no part of any tool. A peer that fails is left out from there on, and that is told; when `silt`
fails, or restores anything otherwise than it was, the measurement fails.

The corpora of many versions are backed up version by version; `changed` is then all of these backups together.
"""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import asdict

from bench.corpora import Corpus
from bench.measure import BenchError, Taken, measure, stored_bytes, warm
from bench.picture import Picture, differences, take_picture
from bench.tools import OURS, Tool

STEPS = ("init", "backup", "unchanged", "changed", "verify", "restore")
GROWING = ("backup", "unchanged", "changed")  # steps that add to a store


class Figure(Struct, frozen=True):
    """One measured step: seconds and bytes. `store`: the size of the store after it."""

    corpus: str
    step: str
    tool: str
    repetition: int
    wall: float
    cpu: float
    peak: int
    others: float
    store: int


class Comparison(Struct):
    """Everything that was measured, and what has to be said beside the figures."""

    figures: list[Figure]
    notes: list[str]
    wrong: list[str]  # what `silt` did not restore as it was

    def write(self, path: Path) -> None:
        """One JSON line a figure, added to the file."""
        with open(path, "a", encoding="utf-8") as file:
            file.writelines(json.dumps(asdict(figure)) + "\n" for figure in self.figures)


class _Turn(Struct):
    """One tool in one repetition: its store, its backups so far."""

    tool: Tool
    folder: Path
    backups: int = 0

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def run(self, template: str, tree: Path, cwd: Path) -> Taken:
        command = self.tool.command(template, store=self.store, tree=tree, name=f"backup-{self.backups}")
        return measure(command, cwd=cwd, environment=self.tool.variables(self.store), log=self.folder / "log")

    def init(self, tree: Path) -> Taken:
        (self.folder / "store.aux").mkdir(parents=True)
        return self.run(self.tool.init, tree, self.folder)

    def backup(self, tree: Path) -> Taken:
        self.backups += 1
        warm(tree)
        return self.run(self.tool.backup, tree, tree)

    def verify(self, tree: Path) -> Taken:
        warm(self.store)
        return self.run(self.tool.verify, tree, self.folder)

    def restore(self, tree: Path) -> Taken:
        warm(self.store)
        (self.folder / "restored").mkdir()
        return self.run(self.tool.restore, tree, self.folder / "restored")


class Cycles:
    """All cycles over one corpus."""

    def __init__(self, corpus: Corpus, tools: Sequence[Tool], folder: Path, say: Callable[[str], None]) -> None:
        self._corpus, self._folder, self._say = corpus, folder, say
        self._tools = list(tools)
        self._result = Comparison([], [], [])

    def run(self, repetitions: int) -> Comparison:
        """Measure. BenchError when `silt` fails."""
        for number in range(repetitions):
            shift = number % len(self._tools)
            turns = [_Turn(t, self._folder / t.name) for t in self._tools[shift:] + self._tools[:shift]]
            try:
                self._cycle(turns, number)
            finally:
                for turn in turns:
                    shutil.rmtree(turn.folder, ignore_errors=True)
        return self._result

    def _cycle(self, turns: list[_Turn], number: int) -> None:
        tree = self._corpus.versions[0]
        self._step("init", turns, number, lambda turn: turn.init(tree))
        self._step("backup", turns, number, lambda turn: turn.backup(tree))
        self._step("unchanged", turns, number, lambda turn: turn.backup(tree))
        undo = self._corpus.change() if self._corpus.change else None
        try:
            if undo:
                self._step("changed", turns, number, lambda turn: turn.backup(tree))
            elif later := self._corpus.versions[1:]:
                tree = later[-1]
                self._step("changed", turns, number, lambda turn: _all([turn.backup(each) for each in later]))
            self._step("verify", turns, number, lambda turn: turn.verify(tree))
            self._step("restore", turns, number, lambda turn: turn.restore(tree))
            if number == 0:
                self._judge(turns, tree)
        finally:
            if undo:
                undo()

    def _step(self, step: str, turns: list[_Turn], number: int, work: Callable[[_Turn], Taken]) -> None:
        for turn in list(turns):
            try:
                taken = work(turn)
            except BenchError as error:
                if turn.tool.name == OURS:
                    raise
                self._result.notes.append(f"{turn.tool.name} failed on {self._corpus.name}, {step}: {error}")
                self._say(self._result.notes[-1])
                self._tools.remove(turn.tool)
                turns.remove(turn)
                shutil.rmtree(turn.folder, ignore_errors=True)
                continue
            figure = Figure(
                self._corpus.name, step, turn.tool.name, number, **asdict(taken), store=stored_bytes(turn.store)
            )
            self._result.figures.append(figure)
            self._say(figure_line(figure))

    def _judge(self, turns: list[_Turn], tree: Path) -> None:
        """Compare what each tool restored with the tree."""
        expected = _picture(tree)
        for turn in turns:
            found = differences(expected, _picture(turn.folder / "restored"))
            if found and turn.tool.name == OURS:
                self._result.wrong += [f"{self._corpus.name}: {line}" for line in found[:20]]
            elif found:
                many = f"{turn.tool.name} restored {self._corpus.name} with {len(found)} differences"
                self._result.notes.append(f"{many}, the first: {found[0][:120]}")


def _picture(tree: Path) -> Picture:
    """Without the root, which is the folder that the tools were given to restore to."""
    picture = take_picture(os.fsencode(tree))
    del picture[b""]
    return picture


def _all(taken: Sequence[Taken]) -> Taken:
    """Several runs as one: times together, the highest peak."""
    return Taken(
        sum(each.wall for each in taken),
        sum(each.cpu for each in taken),
        max(each.peak for each in taken),
        sum(each.others for each in taken),
    )


def figure_line(figure: Figure) -> str:
    """What is told of a figure as soon as it is there."""
    return (
        f"{figure.corpus:10} {figure.step:9} {figure.tool:6} {figure.wall:8.2f} s {figure.cpu:8.2f} CPU s "
        f"{figure.peak / 2**20:6.0f} MiB peak {figure.store / 2**20:8.1f} MiB stored"
    )
