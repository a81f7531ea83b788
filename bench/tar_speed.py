"""The command `bench tar`: how quickly levels leave a store as tar archives, and come in.

    backup of a deployment's files -> export of the level -> import of that archive into the same store, which holds all
    contents already -> import into an empty store -> export of what was imported, which must be the same bytes

Rule: `silt` is run as a user runs it, on files of the shapes of appliance.py, and what it reads is in the page cache.
Throughput is bytes of the archive by wall time, and by CPU time beside it: on a noisy machine the latter tells more.
"""

import argparse
import filecmp
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from bench.appliance import Appliance
from bench.machine import describe
from bench.measure import BenchError, Taken, measure, warm
from bench.table import markdown, origin, write_place
from bench.tools import SILT, Tool, find_tools

MB = 10**6
SCALE = 0.12  # an archive of some 2.4 GB: of a much smaller one the start of the process is half
STEPS = ("export", "import, contents known", "import, all new", "export of an import")


class TarSpeed:
    """Measures in a folder, which must be empty."""

    def __init__(self, work: Path, tool: Tool) -> None:
        self._work, self._tool = work, tool
        self.size = self.files = 0
        self.taken: dict[str, list[Taken]] = {step: [] for step in STEPS}

    def run(self, scale: float, repetitions: int) -> None:
        """Everything. BenchError when bytes differ, or a command fails."""
        appliance = Appliance(self._work / "top")
        appliance.make(scale)
        self.files = appliance.files
        warm(appliance.top)
        self._silt("store", "init {store}")
        self._silt("store", f"backup --name bench {appliance.top}")
        for number in range(repetitions):
            self._cycle(number)

    def _cycle(self, number: int) -> None:
        archive = self._export("export", "store", "bench:0/0", "out")
        self.size = archive.stat().st_size
        warm(archive.parent)  # it was written past the page cache
        self._step("import, contents known", "store", f"import --name again-{number} {archive}")
        self._silt("new", "init {store}")
        self._step("import, all new", "new", f"import --name again {archive}")
        again = self._export("export of an import", "new", "again:0/0", "out-again")
        if not filecmp.cmp(archive, again, shallow=False):
            raise BenchError("an archive that was imported does not come out with the same bytes")
        for path in (archive, again):
            path.unlink()
        shutil.rmtree(self._work / "new")

    def _export(self, step: str, store: str, level: str, folder: str) -> Path:
        out = self._work / folder
        out.mkdir(exist_ok=True)
        warm(self._work / store)
        self._step(step, store, f"export {level} --to {out}")
        (archive,) = out.iterdir()
        return archive

    def _step(self, step: str, store: str, words: str) -> None:
        taken = self._silt(store, words)
        self.taken[step].append(taken)
        print(f"{step:24} {taken.wall:8.2f} s {taken.cpu:8.2f} CPU s", flush=True)

    def _silt(self, store: str, words: str) -> Taken:
        place = self._work / store
        options: Sequence[str] = () if words.startswith("init") else ("--store", str(place))
        command = [self._tool.binary, "--quiet", *options, *words.format(store=place).split()]
        environment: Mapping[str, str] = self._tool.variables(place)
        return measure(command, cwd=self._work, environment=environment, log=self._work / "log")

    def lines(self) -> list[str]:
        """The table."""
        rows = []
        for step, taken in self.taken.items():
            wall, cpu = median(each.wall for each in taken), median(each.cpu for each in taken)
            row = [f"{wall:.2f} ({cpu:.2f})", f"{self.size / MB / wall:.0f}", f"{self.size / MB / cpu:.0f}"]
            rows.append([step, *row, f"{max(each.peak for each in taken) / 2**20:.0f}"])
        head = ["", "seconds (CPU)", "MB/s", "MB a CPU second", "peak MiB"]
        said = f"An archive of {self.size / MB:,.0f} MB, {self.files:,} files. Medians of {len(self.taken[STEPS[0]])}."
        return [said, "", *markdown(head, rows)]


def main(arguments: list[str]) -> int:
    """Measure, print, write the place `tar`."""
    parser = argparse.ArgumentParser(prog="./dev bench tar", description=__doc__)
    parser.add_argument("--scale", type=float, default=SCALE, help="of 20 GiB in 300,000 files (default: %(default)s)")
    parser.add_argument("--repetitions", type=int, default=3, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--bin", type=Path, metavar="DIR", help="where silt is looked for first")
    parser.add_argument("--work", type=Path, metavar="DIR", help="where to write (default: the temporary folder)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this document")
    given = parser.parse_args(arguments)
    if given.scale <= 0 or given.repetitions < 1:
        parser.error("--scale and --repetitions are above 0")
    if given.work:
        given.work.mkdir(parents=True, exist_ok=True)
    (silt,) = find_tools([SILT.name], given.bin)
    with tempfile.TemporaryDirectory(dir=given.work) as folder:
        speed = TarSpeed(Path(folder), silt)
        speed.run(given.scale, given.repetitions)
        machine = describe(Path(folder))
    command = f"./dev bench tar --scale {given.scale:g} --repetitions {given.repetitions}"
    lines = [origin(machine, command, [silt.version()]), "", *speed.lines()]
    print("\n".join(["", *lines]))
    if given.write:
        write_place(given.write, "tar", lines)
    return 0
