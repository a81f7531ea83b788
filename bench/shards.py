"""Verification and garbage collection split between processes, as between hosts: `--shard 1/N` to `N/N` at once.

Rule: a store of one group of two levels; the first is forgotten, and every pack then holds dead frames enough to be
copied. Each process is `silt` as users run it, kept to one processor, so that what it takes is what a host of one
processor would. `the longest` is the CPU time of the process that took most: what the work would take on as many hosts.
`together` tells what is done more than once. Each number of processes gets a copy of the store; afterwards two whole
collections must find nothing more to do than remove, and a verification no damage.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from msgspec import Struct

from bench.machine import describe
from bench.table import markdown, origin, write_place
from siltstone.engine import Event, back_up, quick_deployment
from siltstone.store import Store, make_key_file, open_backend, parse_key_file

MIB = 1 << 20
FILE = 2 * MIB  # of noise: one or two chunks, each in a frame of its own
KEPT = 5  # every so many files stay in the second level
STEPS = {
    "verify": ["verify", "--read-data", "all"],
    "gc": ["gc", "--max-share", "100%"],
}


class Taken(Struct, frozen=True):
    """By the processes of one step: wall seconds, and CPU seconds of each."""

    step: str
    wall: float
    cpu: tuple[float, ...]


def _ignore(_: Event) -> None:
    pass


def make_store(folder: Path, mebibytes: int) -> None:
    """The store, its key file, and the tree that was backed up."""
    (folder / "key").write_text(make_key_file())
    (folder / "key").chmod(0o600)
    key = parse_key_file((folder / "key").read_text())
    store = Store.init(open_backend(str(folder / "store"), create=True), [(key, "bench")])
    tree, chance = folder / "tree", random.Random(1)
    tree.mkdir()
    for number in range(max(KEPT, mebibytes * MIB // FILE)):
        (tree / f"{number:06}").write_bytes(chance.randbytes(FILE))
    deployment = quick_deployment([str(tree)], "bench")
    back_up(store, deployment, report=_ignore)
    for path in sorted(tree.iterdir())[1::KEPT]:
        path.rename(path.with_suffix(".kept"))
    for path in tree.iterdir():
        if path.suffix != ".kept":
            path.unlink()
    back_up(store, deployment, report=_ignore)
    shutil.rmtree(tree)
    subprocess.run(
        _silt(folder, "store", ["forget", "0/0", "--undelete-window", "0"]), stdout=subprocess.DEVNULL, check=True
    )


def measure(folder: Path, mebibytes: int, processes: list[int]) -> dict[int, list[Taken]]:
    """By number of processes: what each step took. In the folder, which must be empty."""
    make_store(folder, mebibytes)
    taken = {}
    for of in processes:
        shutil.copytree(folder / "store", folder / "copy")
        taken[of] = [_shared(folder, step, of) for step in STEPS]
        _check(folder)
        shutil.rmtree(folder / "copy")
    return taken


def _silt(folder: Path, store: str, arguments: list[str]) -> list[str]:
    place = ["--store", str(folder / store), "--key-file", str(folder / "key")]
    return [str(Path(sys.executable).with_name("silt")), *place, "-q", *arguments, "--json"]


def _shared(folder: Path, step: str, of: int) -> Taken:
    processors = sorted(os.sched_getaffinity(0))
    begun, started = time.perf_counter(), []
    for number in range(of):
        command = _silt(folder, "copy", [*STEPS[step], "--shard", f"{number + 1}/{of}"])
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        os.sched_setaffinity(process.pid, {processors[number % len(processors)]})
        started.append(process)
    cpu, codes = [], []
    for process in started:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        codes.append(process.returncode)
        cpu.append(used.ru_utime + used.ru_stime)
    assert not any(codes), f"{step} of {of} ended with {codes}"
    return Taken(step, time.perf_counter() - begun, tuple(cpu))


def _check(folder: Path) -> None:
    """Two whole collections find nothing more that is dead, and the level that stays is whole."""
    for last in (False, True):
        done = subprocess.run(_silt(folder, "copy", STEPS["gc"]), stdout=subprocess.PIPE, check=True)
        result = json.loads(done.stdout.splitlines()[-1])
        assert not last or (result["dead"], result["repacked"]) == (0, 0), result
    subprocess.run(_silt(folder, "copy", STEPS["verify"]), stdout=subprocess.DEVNULL, check=True)


def table(taken: dict[int, list[Taken]]) -> list[str]:
    """The figures as Markdown lines."""
    rows = []
    for at, step in enumerate(STEPS):
        alone = max(next(iter(taken.values()))[at].cpu)
        for of, steps in taken.items():
            wall, cpu = steps[at].wall, steps[at].cpu
            row = [f"{wall:.1f}", f"{max(cpu):.1f}", f"{sum(cpu):.1f}", f"{alone / max(cpu):.2f}"]
            rows.append([f"{step}, {of}", *row])
    return markdown(["step, processes", "seconds", "CPU s, the longest", "CPU s, together", "shared by"], rows)


def main(arguments: list[str]) -> int:
    """Measure, print, write the place `shards` of the document."""
    parser = argparse.ArgumentParser(prog="./dev bench shards", description=__doc__)
    parser.add_argument("--size", type=int, default=2048, metavar="MIB", help="of the tree (default: %(default)s)")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4], help="(default: %(default)s)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="where to write (default: the temporary folder)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this document")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=given.work) as folder:
        machine = describe(Path(folder))
        taken = measure(Path(folder), given.size, given.processes)
    words = " ".join(map(str, given.processes))
    command = f"./dev bench shards --size {given.size} --processes {words}"
    lines = [origin(machine, command), "", *table(taken)]
    print("\n".join(lines))
    if given.write:
        write_place(given.write, "shards", lines)
    return 0
