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
from bench.options import comparison_parser, parse_comparison
from bench.pg_cluster import Cluster, hand_over
from bench.pg_cycle import GROWING, STEPS, PgCycles
from bench.pg_tools import TOOLS, PgTool, find_pg_tools
from bench.table import origin, write_place

SCALE = 1.0
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


def _command(given: argparse.Namespace) -> str:
    tools = "".join(f" --tool {name}" for name in given.tool or ())
    return f"./dev bench pg --scale {given.scale:g} --repetitions {given.repetitions}{tools}"


def main(arguments: list[str]) -> int:
    """Measure, print, write the place `pg`."""
    parser = comparison_parser("pg", __doc__, [tool.name for tool in TOOLS], SCALE)
    given = parse_comparison(parser, arguments)
    tools = find_pg_tools(given.tool or (), given.bin)
    if given.work:
        given.work.mkdir(parents=True, exist_ok=True)
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
