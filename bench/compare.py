"""The command `bench compare`: makes the corpora one after the other, measures all tools over each, writes the tables.

Rule: the work folder holds one corpus and one store a tool at a time; at scale 1 that is some 20 GiB. Corpora are made
from seeds, and kept for the next time only where --work names a folder. pgBackRest backs up no file trees and is not
compared here.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.comparison_table import ComparisonTables
from bench.corpora import corpus_names, make_corpus
from bench.cycles import Comparison, Cycles
from bench.machine import describe, file_system
from bench.options import comparison_parser, parse_comparison
from bench.table import origin, write_place
from bench.tools import TOOLS, Tool, find_tools

# Some ten minutes on two cores with restic beside silt; large enough that the start of a process is no part of it.
SCALE = 0.5


def compare(work: Path, corpora: Sequence[str], tools: Sequence[Tool], scale: float, repetitions: int) -> Comparison:
    """Measure; every figure is told as it comes. BenchError when `silt` fails."""
    result = Comparison([], [], [])
    for name in corpora:
        print(f"{name}: making it", flush=True)
        corpus = make_corpus(name, work / "corpora", scale)
        (work / "run").mkdir(exist_ok=True)
        measured = Cycles(corpus, tools, work / "run", lambda line: print(line, flush=True)).run(repetitions)
        result.figures += measured.figures
        result.notes += measured.notes
        result.wrong += measured.wrong
    return result


def _command(given: argparse.Namespace) -> str:
    corpora = "".join(f" --corpus {name}" for name in given.corpus or ())
    tools = "".join(f" --tool {name}" for name in given.tool or ())
    return f"./dev bench compare --scale {given.scale:g} --repetitions {given.repetitions}{corpora}{tools}"


def main(arguments: list[str]) -> int:
    """Measure, print, write the place without a name. 1 when `silt` restored anything otherwise than it was."""
    parser = comparison_parser("compare", __doc__, [tool.name for tool in TOOLS], SCALE)
    parser.add_argument("--corpus", action="append", choices=corpus_names(), help="only this one; may be repeated")
    given = parse_comparison(parser, arguments)
    tools = find_tools(given.tool or (), given.bin)
    work = given.work or Path(tempfile.mkdtemp(prefix="silt-bench-"))
    work.mkdir(parents=True, exist_ok=True)
    if file_system(work) == "tmpfs":
        print("the work folder is in memory: writing to it costs less than on a disk, --work names another")
    try:
        result = compare(work, given.corpus or corpus_names(), tools, given.scale, given.repetitions)
        machine = describe(work)
    finally:
        if not given.work:
            shutil.rmtree(work, ignore_errors=True)
    lines = [origin(machine, _command(given), [tool.version() for tool in tools]), ""]
    lines += ComparisonTables(result).lines()
    print("\n".join(["", *lines]))
    if given.figures:
        result.write(given.figures)
    if given.write:
        write_place(given.write, "", lines)
    for line in result.wrong:
        print(f"not restored as it was: {line}", file=sys.stderr)
    return 1 if result.wrong else 0
