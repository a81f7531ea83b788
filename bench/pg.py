"""The command `bench pg`: PostgreSQL, `silt` beside pgBackRest and pg_basebackup, as far as they are on the PATH.

Rule: the work folder holds one cluster of some 900 MiB (scale 1), and a store and a copy of it for each tool: some 10
GiB. It lies on a disk, with a short path, and is removed at the end.
"""

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.comparison_table import ComparisonTables
from bench.machine import describe
from bench.pg_cluster import Cluster, hand_over
from bench.pg_cycle import GROWING, STEPS, PgCycles
from bench.pg_tools import TOOLS, PgTool, find_pg_tools
from bench.table import origin, write_place

SCALE = 1.0
REPETITIONS = 3
PLACE = "pg"


def measure_pg(work: Path, tools: Sequence[PgTool], scale: float, repetitions: int) -> PgCycles:
    """Make a cluster, measure, and stop it; every figure is told as it comes. BenchError when a tool fails."""
    hand_over(work)
    work.chmod(0o755)
    print("pg: making the cluster", flush=True)
    cluster = Cluster(work / "cluster")
    try:
        cluster.make(scale)
        cycles = PgCycles(cluster, tools, work, scale, lambda line: print(line, flush=True))
        cycles.run(repetitions)
    finally:
        cluster.go_on_archiving()
        cluster.remove()
    return cycles


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev bench pg", description=__doc__)
    parser.add_argument("--scale", type=float, default=SCALE, help="of the cluster (default: %(default)s)")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS, metavar="N", help="(default: %(default)s)")
    names = [tool.name for tool in TOOLS]
    parser.add_argument("--tool", action="append", choices=names, help="silt and only this one; may be repeated")
    parser.add_argument("--bin", type=Path, metavar="DIR", help="where the tools are looked for first")
    parser.add_argument("--work", type=Path, metavar="DIR", help="where to write (default: the temporary folder)")
    parser.add_argument("--figures", type=Path, metavar="FILE", help="add every figure to this file, a JSON line each")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the tables into this document")
    given = parser.parse_args(arguments)
    if given.scale <= 0 or given.repetitions < 1:
        parser.error("--scale and --repetitions are above 0")
    return given


def _command(given: argparse.Namespace) -> str:
    tools = "".join(f" --tool {name}" for name in given.tool or ())
    return f"./dev bench pg --scale {given.scale:g} --repetitions {given.repetitions}{tools}"


def main(arguments: list[str]) -> int:
    """Measure, print, write the place `pg`."""
    given = _parse(arguments)
    tools = find_pg_tools(given.tool or (), given.bin)
    work = Path(tempfile.mkdtemp(prefix="silt-pg-", dir=given.work))
    try:
        cycles = measure_pg(work, tools, given.scale, given.repetitions)
        machine = describe(work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    lines = [
        origin(machine, _command(given), [tool.version() for tool in tools]),
        "",
        f"The burst left {cycles.segments} WAL segments.",
        "",
        *ComparisonTables(cycles.result, STEPS, GROWING).lines(),
    ]
    print("\n".join(["", *lines]))
    if given.figures:
        cycles.result.write(given.figures)
    if given.write:
        write_place(given.write, PLACE, lines)
    return 0
