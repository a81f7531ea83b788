"""Looking after a store: reading it without a key, parity over it, packs rebuilt, copies of it.

Rule: a store of one level of files of noise, which fill its packs; each step through the layers' own functions, in this
process, once. `read and hash` is what `b3sum` would do: the least that a scrub can cost. What was rebuilt and what was
copied is compared. A rate is in bytes of the packs concerned, a second of wall time, and of CPU time.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from blake3 import blake3

from bench.machine import describe
from bench.table import markdown, origin, write_place
from siltstone.engine import Budget, Event, Reading, back_up, quick_deployment, scrub_store, sync_stores
from siltstone.store import (
    Backend,
    KeyFile,
    ParityCoder,
    Policy,
    Store,
    make_twin,
    open_backend,
    protect,
    read_stripes,
)

MIB = 1 << 20
KEY, OTHER = KeyFile(bytes(range(32))), KeyFile(bytes(range(1, 33)))
POLICY = Policy(2, 16)
LEVEL = "backups/bench/0/0"

Row = tuple[str, int, float, float]  # what, bytes, wall seconds, CPU seconds


def _ignore(_: Event) -> None:
    pass


def make_store(backend: Backend, folder: Path, mebibytes: int) -> None:
    """A level of files of noise, 16 MiB each."""
    folder.mkdir()
    chance = random.Random(1)
    for number, left in enumerate(range(mebibytes, 0, -16)):
        (folder / str(number)).write_bytes(chance.randbytes(min(left, 16) * MIB))
    store = Store.init(backend, [(KEY, "bench")])
    back_up(store, quick_deployment([str(folder)], "bench"), report=_ignore)


def measure(folder: Path, mebibytes: int) -> list[Row]:
    """Do all of it in the folder, which must be empty."""
    backend = open_backend(str(folder / "store"), create=True)
    make_store(backend, folder / "tree", mebibytes)
    packs = [(info.name, info.size) for info in backend.list("packs/")]
    whole = sum(size for _, size in packs)
    rows: list[Row] = []

    def timed(what: str, size: int, work: Callable[[], bool]) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        assert work(), what
        rows.append((what, size, time.perf_counter() - wall, time.process_time() - cpu))

    timed("read and hash", whole, lambda: all(blake3(backend.get(name)).hexdigest() == name[-64:] for name, _ in packs))
    reading = Reading(Budget(1.0))
    timed("scrub", whole, lambda: not scrub_store(backend, reading=reading, report=_ignore).damaged)
    timed(f"protect {POLICY}", whole, lambda: protect(backend, POLICY).covered == len(packs))
    stripe = max(read_stripes(backend)[0], key=lambda stripe: len(stripe.members))
    covered, lost = sum(member.size for member in stripe.members), {member.pack for member in stripe.members[:2]}
    coder = ParityCoder(backend)
    timed("rebuild two packs of a stripe", covered, lambda: coder.rebuild(stripe, lost).keys() == lost)
    coder.close()
    twin, other = (open_backend(str(folder / name), create=True) for name in ("twin", "other"))
    make_twin(backend, twin)
    Store.init(other, [(OTHER, "bench")])
    timed("sync to a copy", whole, lambda: _copied(backend, twin, KEY))
    timed("sync to other keys", whole, lambda: _copied(backend, other, OTHER))
    return rows


def _copied(source: Backend, target: Backend, key: KeyFile) -> bool:
    result = sync_stores(Store.open(source, KEY), Store.open(target, key), report=_ignore)
    return result.levels == [LEVEL] and not result.failed


def table(rows: list[Row]) -> list[str]:
    """The figures as Markdown lines."""
    made = [[what, f"{size / MIB:,.0f}", f"{size / MIB / wall:,.0f}", f"{size / MIB / max(cpu, 1e-9):,.0f}"]
            for what, size, wall, cpu in rows]  # fmt: skip
    return markdown(["step", "packs, MiB", "MiB a second", "MiB a CPU second"], made)


def main(arguments: list[str]) -> int:
    """Measure, print, write the place `protect` of the document."""
    parser = argparse.ArgumentParser(prog="./dev bench protect", description=__doc__)
    parser.add_argument("--size", type=int, default=1024, metavar="MIB", help="of the store (default: %(default)s)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="where to write (default: the temporary folder)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this document")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=given.work) as folder:
        rows = measure(Path(folder), given.size)
        machine = describe(Path(folder))
    lines = [origin(machine, f"./dev bench protect --size {given.size}"), "", *table(rows)]
    print("\n".join(lines))
    if given.write:
        write_place(given.write, "protect", lines)
    return 0
