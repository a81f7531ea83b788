"""A tree of a million empty or tiny files: what backing it up and restoring it take, in time and in memory.

Rule: `silt` is run as a user runs it, on a tenth of the tree and on the tree: where memory grows with the number of
files, the second peak shows it. It fails when a peak is more than LIMIT. What was restored is counted, not compared:
`compare` does that. One folder of all files is the other extreme: `--folder` as large as `--entries`.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from bench.machine import describe
from bench.measure import BenchError, Taken, measure, stored_bytes
from bench.table import markdown, origin, write_place
from bench.tools import Tool, find_tools

MIB = 1 << 20
LIMIT = 300 * MIB
FOLDER = 1000
STEPS = ("backup", "unchanged", "restore")


class Case(Struct, frozen=True):
    """One size: what each step took, and the size of the store at the end."""

    entries: int
    taken: dict[str, Taken]
    store: int


def make_tree(top: Path, entries: int, folder: int) -> None:
    """`entries` files, so many a folder. Every other one is empty, the rest hold their own number."""
    for first in range(0, entries, folder):
        path = top / f"{first // folder:06d}"
        path.mkdir(parents=True)
        directory = os.open(path, os.O_RDONLY)
        for number in range(first, min(first + folder, entries)):
            file = os.open(f"{number:09d}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=directory)
            if number % 2:
                os.write(file, b"%d\n" % number)
            os.close(file)
        os.close(directory)


def measure_tree(work: Path, entries: int, folder: int, tool: Tool) -> Case:
    """Backup, backup unchanged, restore of a tree that is made in the folder, which must be empty."""
    tree, store, log = work / "tree", work / "store", work / "log"
    (work / "restored").mkdir()
    make_tree(tree, entries, folder)

    def run(template: str, cwd: Path) -> Taken:
        command = tool.command(template, store=store, tree=tree, name="tree")
        return measure(command, cwd=cwd, environment=tool.variables(store), log=log)

    run(tool.init, work)
    taken = {
        "backup": run(tool.backup, tree),
        "unchanged": run(tool.backup, tree),
        "restore": run(tool.restore, work / "restored"),
    }
    there = sum(len(names) for _, _, names in os.walk(work / "restored"))
    if there != entries:
        raise BenchError(f"{there} of {entries} files were restored")
    return Case(entries, taken, stored_bytes(store))


def table(cases: Sequence[Case]) -> list[str]:
    """The figures as Markdown lines."""
    rows = []
    for case in cases:
        times = [f"{case.taken[step].wall:.1f} s ({case.taken[step].cpu:.1f})" for step in STEPS]
        peaks = [f"{case.taken[step].peak / MIB:.0f} MiB" for step in STEPS]
        pairs = [f"{time}, {peak}" for time, peak in zip(times, peaks, strict=True)]
        rows.append([f"{case.entries:,}", *pairs, f"{case.store / MIB:.1f} MiB"])
    return markdown(["files", *(f"{step}: time (CPU), peak" for step in STEPS), "store"], rows)


def excess(cases: Sequence[Case]) -> Iterator[str]:
    """A line for each peak above LIMIT."""
    for case in cases:
        for step, taken in case.taken.items():
            if taken.peak > LIMIT:
                yield f"{step} of {case.entries} files: a peak of {taken.peak / MIB:.0f} MiB"


def main(arguments: list[str]) -> int:
    """Measure, print, write the place `tree` of the document. 1 when a peak is above LIMIT."""
    parser = argparse.ArgumentParser(prog="./dev bench tree", description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000, metavar="N", help="files (default: %(default)s)")
    parser.add_argument("--folder", type=int, default=FOLDER, metavar="N", help="files a folder (default: %(default)s)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="where to write (default: the temporary folder)")
    parser.add_argument("--bin", type=Path, metavar="DIR", help="where silt is looked for first")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this document")
    given = parser.parse_args(arguments)
    (silt,) = find_tools(["silt"], given.bin)
    cases = []
    for entries in (given.entries // 10, given.entries):
        with tempfile.TemporaryDirectory(dir=given.work) as folder:
            cases.append(measure_tree(Path(folder), entries, given.folder, silt))
    command = f"./dev bench tree --entries {given.entries} --folder {given.folder}"
    machine = describe(given.work or Path(tempfile.gettempdir()))
    lines = [origin(machine, command, [silt.version()]), "", *table(cases)]
    print("\n".join(lines))
    if given.write:
        write_place(given.write, "tree", lines)
    too_much = list(excess(cases))
    for line in too_much:
        print(f"{line}, and {LIMIT // MIB} MiB are allowed", file=sys.stderr)
    return 1 if too_much else 0
