"""Garbage collection of a synthetic store: what marking takes, in time, memory and requests, at several sizes.

Rule: the index comes from index_scale, with random ids, and half of its chunks are referenced, each from three levels
(which is what many levels of one tree look like to a collector once shared manifests are left out). A fresh process
marks through the store's own SegmentScan, References and Marks, and judges the packs; its CPU time is told. Packs are
names alone: marking reads none. The references are made from the index on the way, which is in the time.

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
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from numpy.typing import NDArray

from bench.index_scale import INDEX_KEY, MIB, make_index, memory
from bench.machine import describe
from bench.table import markdown, origin, write_place
from siltstone.store import Marks, PackList, SegmentScan, judge
from siltstone.store.directory import DirectoryBackend
from siltstone.store.mark import RANGE, References

LIMIT = 512 * MIB
WORSE = 1.5  # so much more may a chunk cost in the largest store
LEVELS = 3


class _Counting(DirectoryBackend):
    """A directory that counts what is asked of it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.requests: Counter[str] = Counter()
        self.read = 0

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        data = super().get(name, offset, length)
        self.requests["get"] += 1
        self.read += len(data)
        return data

    def view(self, name: str) -> memoryview:
        data = super().view(name)
        self.requests["view"] += 1
        self.read += len(data)
        return data


def collect(folder: Path) -> dict[str, float]:
    """In a fresh process: mark the store in the folder."""
    backend, begun = _Counting(folder / "store"), time.process_time()
    with _Watch() as watch:
        segments = SegmentScan(backend, INDEX_KEY)
        segments.check()
        checked = time.process_time() - begun
        packs = PackList([(name, 32 * MIB) for name in sorted(segments.named)])
        marks = Marks(packs, frozenset())
        with References(max(1, segments.entries // RANGE)) as references:
            for keys in _referenced(segments, packs):
                references.add(keys)
            references.spool()
            gathered = time.process_time() - begun - checked
            marks.take(segments, references, lambda done, total: None)
            spooled = references.total * 8
        judge(marks, frozenset())
        spent = time.process_time() - begun
    assert not marks.unknown
    return {
        "chunks": float(segments.entries),
        "packs": float(len(packs)),
        "live": float(marks.live.sum()),
        "check": checked,
        "references": gathered,
        "mark": spent - checked - gathered,
        "seconds": spent,
        "memory": float(watch.most),
        "requests": float(sum(backend.requests.values())),
        "read": float(backend.read),
        "spooled": float(spooled),
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


def _referenced(segments: SegmentScan, packs: PackList) -> Iterator[NDArray[Any]]:
    """Every second chunk, from each level."""
    for _ in range(LEVELS):
        for keys, _ in segments.rows(packs):
            yield keys[::2]


def measure(folder: Path, chunks: int) -> dict[str, float]:
    """Make a store in the folder, which must be empty, and mark it in a process of its own."""
    make_index(folder, chunks)
    command = [sys.executable, "-m", "bench.gc_scale", str(folder)]
    said = subprocess.run(
        command, cwd=Path(__file__).parent.parent, stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    figures: dict[str, float] = json.loads(said)
    return figures


def table(sizes: list[dict[str, float]]) -> list[str]:
    """The figures as Markdown lines, a column a size."""
    rows = [
        ["packs", *(f"{each['packs']:,.0f}" for each in sizes)],
        ["CPU seconds", *(f"{each['seconds']:.1f}" for each in sizes)],
        ["  of it reading and checking the index", *(f"{each['check']:.1f}" for each in sizes)],
        ["  gathering references", *(f"{each['references']:.1f}" for each in sizes)],
        ["  marking", *(f"{each['mark']:.1f}" for each in sizes)],
        ["CPU us a chunk", *(f"{each['seconds'] / each['chunks'] * 1e6:.2f}" for each in sizes)],
        ["memory, the whole process, MiB", *(f"{each['memory'] / MIB:.0f}" for each in sizes)],
        ["requests a million chunks", *(f"{each['requests'] / each['chunks'] * 1e6:.1f}" for each in sizes)],
        ["MiB read a million chunks", *(f"{each['read'] / each['chunks'] * 1e6 / MIB:.0f}" for each in sizes)],
        ["MiB of references spooled", *(f"{each['spooled'] / MIB:.0f}" for each in sizes)],
    ]
    return markdown(["chunks", *(f"{each['chunks']:,.0f}" for each in sizes)], rows)


def main(arguments: list[str]) -> int:
    """Measure, print, write the place `gc` of the document. 1 when LIMIT or the linear growth is exceeded."""
    parser = argparse.ArgumentParser(prog="./dev bench gc", description=__doc__)
    parser.add_argument("--chunks", type=int, nargs="+", default=[1_000_000, 10_000_000], help="(default: %(default)s)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="where to write (default: the temporary folder)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this document")
    given = parser.parse_args(arguments)
    sizes = []
    with tempfile.TemporaryDirectory(dir=given.work) as folder:
        machine = describe(Path(folder))
    for chunks in given.chunks:
        with tempfile.TemporaryDirectory(dir=given.work) as folder:
            sizes.append(measure(Path(folder), chunks))
    words = " ".join(map(str, given.chunks))
    lines = [origin(machine, f"./dev bench gc --chunks {words}"), "", *table(sizes)]
    print("\n".join(lines))
    if given.write:
        write_place(given.write, "gc", lines)
    return int(_is_too_much(sizes))


def _is_too_much(sizes: list[dict[str, float]]) -> bool:
    small, large = sizes[0], sizes[-1]
    growth = (large["seconds"] / large["chunks"]) / (small["seconds"] / small["chunks"])
    if large["memory"] >= LIMIT:
        print(f"{large['memory'] / MIB:.0f} MiB are resident, {LIMIT // MIB} are allowed", file=sys.stderr)
    if growth > WORSE:
        print(f"a chunk costs {growth:.1f} times as much in the largest store", file=sys.stderr)
    return large["memory"] >= LIMIT or growth > WORSE


if __name__ == "__main__":  # the fresh process of `measure`
    print(json.dumps(collect(Path(os.fsdecode(sys.argv[1])))))
