"""Backup and restore to a real S3 server on loopback, beside a plain parallel PUT and GET of the same packs.

Rule: `silt` is run as a user runs it, start and all. The packs of a first backup, which is not measured, are fetched
into files and put under other names by threads that do nothing else, through the same connection and as many at once:
that is what the server gives. All of it happens in one run, in rounds, in one order and then in the other (a server
that was idle is slower), on data that neither compresses nor repeats. The last step is four backups at once into one
store, each of a tree of half as much, beside one writer that backs these trees up in turn; and then each of the four
of another's tree, which must store nothing. And four back up all of it at once, each the same. It fails when `silt`
reaches less than FLOOR of the plain transfer, four together less than one, or four of the same store it more than
MOST_SAME times.
"""

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from msgspec import Struct, field

from bench.machine import describe
from bench.measure import BenchError
from bench.table import markdown, origin, write_place
from siltstone.store import REMOTE_THREADS, Backend, make_key_file, open_backend, packer
from tests.seaweed import Seaweed, seaweed, surroundings

MIB = 1 << 20
FLOOR = 0.8
MOST_SAME = 1.2  # of a store that is large beside the packs that four have on their way
PUTS = packer.UPLOADS  # as many at once as `silt` has
GETS = REMOTE_THREADS
LARGE = 1024 * MIB
WRITERS = 4
FILE = 16 * MIB


class Figures(Struct):
    """Seconds of each round, for `size` bytes; bytes that were stored where nothing should have been; and how often
    what four stored at once, each the same, is in the store.
    """

    size: int
    seconds: dict[str, list[float]] = field(default_factory=dict)
    twice: int = 0
    same: list[float] = field(default_factory=list)

    def rate(self, step: str) -> float:
        """MiB a second, of the median round."""
        share = WRITERS / 2 if step in ("one", "four") else 1
        return share * self.size / MIB / statistics.median(self.seconds[step])

    def gain(self) -> float:
        """How many times as quick four at once are as one: of all rounds together, since the server's speed drifts from
        one to the next, and both are measured in each.
        """
        return sum(self.seconds["one"]) / sum(self.seconds["four"])

    def excess(self) -> Iterator[str]:
        """What is not as it must be."""
        for step, plain in (("backup", "put"), ("restore", "get")):
            share = self.rate(step) / self.rate(plain)
            if share < FLOOR:
                yield f"{step} reaches {share:.2f} of a plain {plain}"
        if self.gain() < 1:
            yield f"four backups at once are {self.gain():.2f} times as quick as one"
        if self.size >= LARGE and statistics.median(self.same) > MOST_SAME:
            yield f"four of the same at once are stored {statistics.median(self.same):.2f} times"
        if self.twice > self.size // 100:
            yield f"{self.twice} bytes were stored that the store had"


class Bench:
    """One server, and what is measured on it."""

    def __init__(self, work: Path, variables: Mapping[str, str], size: int) -> None:
        self._work, self._size, self._packs = work, size, work / "packs"
        self._variables = {**variables, "SILT_KEY_FILE": str(work / "key"), "SILT_CACHE": str(work / "cache")}
        (work / "key").write_text(make_key_file())
        self._trees = [_make_tree(work / f"tree{number}", size // 2, number) for number in range(WRITERS)]
        self._data = self._trees[:2]
        self.figures = Figures(size)

    def warm_up(self) -> None:
        """The packs of a backup, in files."""
        place = self._new_store("first")
        self._silt(place, "backup", *map(str, self._data), "--name", "bench")
        _get(self._open(place), self._packs)

    def round(self, number: int) -> None:
        """Everything once."""
        place, plain = self._new_store(f"round{number}"), self._open(self._place(f"plain{number}"))
        back, got = self._work / f"back{number}", self._work / f"got{number}"
        writes: list[tuple[str, Callable[[], object]]] = [
            ("put", lambda: _put(self._packs, plain)),
            ("backup", lambda: self._silt(place, "backup", *map(str, self._data), "--name", "bench")),
        ]
        reads: list[tuple[str, Callable[[], object]]] = [
            ("get", lambda: _get(plain, got)),
            ("restore", lambda: self._silt(place, "restore", "latest", "--to", str(back))),
        ]
        for pair in (writes, reads):
            for step, call in pair if number % 2 else reversed(pair):
                self._time(step, call)
        shutil.rmtree(back)
        shutil.rmtree(got)
        self._four(number)
        self._same(number)

    def _place(self, name: str) -> str:
        return f"s3://trial/{self._work.name}-{name}"

    def _new_store(self, name: str) -> str:
        self._silt(self._place(name), "init")
        return self._place(name)

    def _four(self, number: int) -> None:
        place, other = self._new_store(f"four{number}"), self._new_store(f"one{number}")
        pair: list[tuple[str, Callable[[], object]]] = [
            ("four", lambda: self._at_once(place, [[tree] for tree in self._trees])),
            ("one", lambda: self._in_turn(other, self._trees)),
        ]
        for step, call in pair if number % 2 else reversed(pair):
            self._time(step, call)
        before = _size(self._open(place))
        self._at_once(place, [[tree] for tree in self._trees[1:] + self._trees[:1]])
        self.figures.twice += _size(self._open(place)) - before

    def _same(self, number: int) -> None:
        place = self._new_store(f"same{number}")
        self._time("same", lambda: self._at_once(place, [self._data] * WRITERS))
        self.figures.same.append(_size(self._open(place)) / self._size)

    def _in_turn(self, place: str, trees: Sequence[Path]) -> None:
        for tree in trees:
            self._silt(place, "backup", str(tree), "--name", tree.name)

    def _at_once(self, place: str, trees: Sequence[Sequence[Path]]) -> None:
        def back_up(given: Sequence[Path], name: str) -> None:
            self._silt(place, "backup", *map(str, given), "--name", name)

        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(back_up, trees, [f"writer{number}" for number in range(WRITERS)]))

    def _silt(self, place: str, *words: str) -> None:
        command = [str(Path(sys.executable).with_name("silt")), *words]
        environment = {**os.environ, **self._variables, "SILT_STORE": place}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(f"'silt {words[0]}' ended with {done.returncode}: {done.stderr.strip()[-500:]}")

    def _time(self, step: str, call: Callable[[], object]) -> None:
        os.sync()
        began = time.monotonic()
        call()
        self.figures.seconds.setdefault(step, []).append(time.monotonic() - began)

    def _open(self, place: str) -> Backend:
        with surroundings(self._variables):
            return open_backend(place)


def _make_tree(tree: Path, size: int, seed: int) -> Path:
    tree.mkdir()
    chance = random.Random(seed)
    for number, first in enumerate(range(0, size, FILE)):
        (tree / f"{number:04}").write_bytes(chance.randbytes(min(FILE, size - first)))
    return tree


def _put(folder: Path, backend: Backend) -> None:
    with ThreadPoolExecutor(PUTS) as pool:
        list(pool.map(lambda path: backend.put(f"packs/{path.name}", [path.read_bytes()]), folder.iterdir()))


def _get(backend: Backend, folder: Path) -> None:
    folder.mkdir()

    def fetch(name: str) -> None:
        (folder / name.rpartition("/")[2]).write_bytes(backend.get(name))

    with ThreadPoolExecutor(GETS) as pool:
        list(pool.map(fetch, [info.name for info in backend.list("packs/")]))


def _size(backend: Backend) -> int:
    return sum(info.size for info in backend.list("packs/"))


def measure(work: Path, server: Seaweed, size: int, rounds: int) -> Figures:
    """The figures for so many bytes, in the folder, which must be empty but for the server's own."""
    bench = Bench(work, server.environment(), size)
    bench.warm_up()
    for number in range(rounds):
        bench.round(number)
    return bench.figures


def table(figures: Figures) -> list[str]:
    """The figures as Markdown lines."""
    plain = {"backup": "put", "restore": "get"}
    words = {
        "backup": "`silt backup`",
        "put": "plain PUT of its packs",
        "restore": "`silt restore`",
        "get": "plain GET of its packs into files",
        "four": "four `silt backup` at once, each of half as much",
        "one": "these one after the other",
    }
    rows = []
    for step, name in words.items():
        against = plain.get(step, "")
        share = f"{figures.rate(step) / figures.rate(against):.2f} of the plain one" if against else ""
        rows.append([name, f"{figures.rate(step):.0f} MiB/s", share])
    rows[-1][-1] = f"the four are {figures.gain():.2f} times as quick"
    often = ", ".join(f"{each:.2f}" for each in sorted(figures.same))
    seconds = statistics.median(figures.seconds["same"])
    rows.append(["four of the same at once", f"{seconds:.1f} s", f"stored {often} times"])
    return markdown(["SeaweedFS on loopback", "rate", ""], rows)


def main(arguments: list[str]) -> int:
    """`./dev bench objects`: 1 when something is not as it must be."""
    parser = argparse.ArgumentParser(prog="dev bench objects", description=__doc__)
    parser.add_argument("--size", type=int, default=1024, help="MiB of data (default: 1024)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", help="a folder to work in, with room for some 25 times the data")
    parser.add_argument("--write", type=Path, metavar="DOCUMENT", help="put the table into its place there")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="silt-objects-", dir=given.work) as work:
        (weed := Path(work, "weed")).mkdir()
        with seaweed(weed) as server:
            figures = measure(Path(work), server, given.size * MIB, given.rounds)
        lines = table(figures)
        command = f"./dev bench objects --size {given.size} --rounds {given.rounds}"
        lines += ["", origin(describe(Path(work)), command)]
    print("\n".join(lines))
    if given.write:
        write_place(given.write, "objects", lines)
    wrong = list(figures.excess())
    for line in wrong:
        print(f"bench: {line}", file=sys.stderr)
    return 1 if wrong else 0
