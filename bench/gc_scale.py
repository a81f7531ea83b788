"""Garbage collection of a synthetic store: what a whole run takes in time, memory and requests, at several sizes.

Rule: the store is gc_store's, of packs of full size. A fresh process opens it and collects twice, by the steps of
store/collection.py: the first run condemns what is dead and copies out of what is wasteful, COPIED bytes at most; the
second removes it. A chunk that is live is referred to one time or twice. Roots and manifests are not there: reading
them is in the bench of trees. All that reaches the backend is counted; `listed` are names, of which an object store
gives a thousand a request.

It fails when the process keeps LIMIT or more resident, or when a chunk costs a good deal more in the largest store than
in the smallest. What counts as memory is said in index_scale.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, Self

import numpy
from numpy.typing import NDArray

from bench.gc_store import KEY, make_store
from bench.index_scale import MIB, memory
from bench.machine import describe
from bench.table import markdown, origin, write_place
from siltstone.store import Collection, ObjectInfo, Store, judge
from siltstone.store.backend import Buffer
from siltstone.store.directory import DirectoryBackend

LIMIT = 512 * MIB
WORSE = 1.5  # so much more may a chunk cost in the largest store
COPIED = 256 * MIB
BATCH = 500_000
STEPS = {"survey": "opening and surveying", "mark": "marking", "remove": "removing", "condemn": "condemning, copying"}
REQUESTS = ("get", "view", "size", "put", "replace", "delete")


class _Counting(DirectoryBackend):
    """A directory that counts what is asked of it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.asked: Counter[str] = Counter()

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        data = super().get(name, offset, length)
        self.asked += Counter({"get": 1, "read": len(data)})
        return data

    def view(self, name: str) -> memoryview:
        data = super().view(name)
        self.asked += Counter({"view": 1, "read": len(data)})
        return data

    def size(self, name: str) -> int:
        self.asked["size"] += 1
        return super().size(name)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        for info in super().list(prefix):
            self.asked["listed"] += 1
            yield info

    def put(self, name: str, pieces: Sequence[Buffer]) -> None:
        self.asked += Counter({"put": 1, "written": sum(map(len, pieces))})
        super().put(name, pieces)

    def replace(self, name: str, pieces: Sequence[Buffer]) -> None:
        self.asked += Counter({"replace": 1, "written": sum(map(len, pieces))})
        super().replace(name, pieces)

    def delete(self, name: str) -> None:
        self.asked["delete"] += 1
        super().delete(name)


def collect(folder: Path, runs: int) -> list[dict[str, float]]:
    """In a fresh process: collect so often; the figures of each run."""
    return [_run(folder) for _ in range(runs)]


def _run(folder: Path) -> dict[str, float]:
    backend, begun = _Counting(folder / "store"), time.process_time()
    with _Watch() as watch:
        store = Store.open(backend, KEY)
        chunks = store.index.chunk_count()
        with store.writer() as session:
            collection = Collection(store, session)
            surveyed = time.process_time()
            marks = collection.mark(_references(folder / "live"), lambda done, total: None)
            verdict = judge(marks, collection.spared, budget=COPIED)
            marked = time.process_time()
            removed = collection.remove(marks)
            done = time.process_time()
            collection.condemn(verdict, marks, [])
        ended = time.process_time()
    assert not marks.unknown
    return {
        "chunks": float(chunks),
        "packs": float(len(marks.packs)),
        "removed": float(removed.packs),
        "condemned": float(len(verdict.dead) + len(verdict.repacked)),
        "copied": float(verdict.copied),
        "survey": surveyed - begun,
        "mark": marked - surveyed,
        "remove": done - marked,
        "condemn": ended - done,
        "seconds": ended - begun,
        "memory": float(watch.most),
        **{what: float(backend.asked[what]) for what in (*REQUESTS, "listed", "read", "written")},
    }


class _Watch:
    """The most that was resident of the process's own while the context lasted, looked at ten times a second."""

    def __init__(self) -> None:
        self.most = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while True:
            self.most = max(self.most, memory()["RssAnon"])
            if self._done.wait(0.1):
                return


def _references(live: Path) -> Iterator[NDArray[Any]]:
    """Half of the live chunks from one level, the others from a second, and the first half again from a third."""
    for level in range(3):
        with open(live, "rb") as file:
            while len(keys := numpy.fromfile(file, dtype=numpy.uint64, count=BATCH)):
                yield keys[level % 2 :: 2]


def measure(folder: Path, chunks: int, runs: int = 2) -> list[dict[str, float]]:
    """Make a store in the folder, which must be empty, and collect in a process of its own; the figures of each run."""
    make_store(folder, chunks)
    command = [sys.executable, "-m", "bench.gc_scale", str(folder), str(runs)]
    said = subprocess.run(
        command, cwd=Path(__file__).parent.parent, stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    figures: list[dict[str, float]] = json.loads(said)
    return figures


def table(sizes: list[list[dict[str, float]]]) -> list[str]:
    """The figures as Markdown lines: two columns a size, of the run that condemns and of the one that removes."""
    runs = [run for pair in sizes for run in pair]

    def row(name: str, of: Callable[[dict[str, float]], float], form: str = ",.0f") -> list[str]:
        return [name, *(format(of(run), form) for run in runs)]

    def each_million(name: str) -> Callable[[dict[str, float]], float]:
        return lambda run: run[name] / run["chunks"] * 1e6

    rows = [
        ["the run", *(name for pair in sizes for name in ("condemns", "removes")[: len(pair)])],
        row("packs", lambda run: run["packs"]),
        row("condemned", lambda run: run["condemned"]),
        row("removed", lambda run: run["removed"]),
        row("MiB copied", lambda run: run["copied"] / MIB),
        row("CPU seconds", lambda run: run["seconds"], ".1f"),
        *(row(f"  {what}", itemgetter(step), ".1f") for step, what in STEPS.items()),
        row("CPU us a chunk", lambda run: run["seconds"] / run["chunks"] * 1e6, ".2f"),
        row("memory, the whole process, MiB", lambda run: run["memory"] / MIB),
        *(row(f"{what}, a million chunks", each_million(what)) for what in (*REQUESTS, "listed")),
        row("MiB read, a million chunks", lambda run: each_million("read")(run) / MIB),
        row("MiB written, a million chunks", lambda run: each_million("written")(run) / MIB),
    ]
    return markdown(["chunks", *(f"{run['chunks']:,.0f}" for run in runs)], rows)


def main(arguments: list[str]) -> int:
    """Measure, print, write the place `gc` of the document. 1 when LIMIT or the linear growth is exceeded."""
    parser = argparse.ArgumentParser(prog="./dev bench gc", description=__doc__)
    parser.add_argument("--chunks", type=int, nargs="+", default=[1_000_000, 10_000_000], help="(default: %(default)s)")
    parser.add_argument("--once", action="store_true", help="only the run that condemns")
    parser.add_argument("--work", type=Path, metavar="DIR", help="where to write (default: the temporary folder)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this document")
    given = parser.parse_args(arguments)
    sizes = []
    with tempfile.TemporaryDirectory(dir=given.work) as folder:
        machine = describe(Path(folder))
    for chunks in given.chunks:
        with tempfile.TemporaryDirectory(dir=given.work) as folder:
            sizes.append(measure(Path(folder), chunks, 1 if given.once else 2))
    words = " ".join(map(str, given.chunks))
    lines = [origin(machine, f"./dev bench gc --chunks {words}"), "", *table(sizes)]
    print("\n".join(lines))
    if given.write:
        write_place(given.write, "gc", lines)
    return int(_is_too_much(sizes))


def _is_too_much(sizes: list[list[dict[str, float]]]) -> bool:
    small, large = sizes[0][0], sizes[-1][0]
    growth = (large["seconds"] / large["chunks"]) / (small["seconds"] / small["chunks"])
    most = max(run["memory"] for runs in sizes for run in runs)
    if most >= LIMIT:
        print(f"{most / MIB:.0f} MiB are resident, {LIMIT // MIB} are allowed", file=sys.stderr)
    if growth > WORSE:
        print(f"a chunk costs {growth:.1f} times as much in the largest store", file=sys.stderr)
    return most >= LIMIT or growth > WORSE


if __name__ == "__main__":  # the fresh process of `measure`
    print(json.dumps(collect(Path(os.fsdecode(sys.argv[1])), int(sys.argv[2]))))
