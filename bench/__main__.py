"""`./dev bench`: everything that is measured, and the commands for one part of it.

    ./dev bench                      compare with restic and borg, then the limits; the tables go to docs/performance.md
    ./dev bench compare [OPTION...]  silt beside its peers, over every corpus
    ./dev bench pg [OPTION...]       PostgreSQL: silt beside pgBackRest and pg_basebackup
    ./dev bench wal [OPTION...]      does streaming of WAL keep up, and what does it store beside pgBackRest
    ./dev bench days [OPTION...]     a whole deployment, day by day: silt beside tar or restic with pgBackRest
    ./dev bench tar [OPTION...]      how quickly levels leave as tar archives, and come in
    ./dev bench limits [OPTION...]   what each step costs alone
    ./dev bench index [OPTION...]    an index of 20 million chunks
    ./dev bench gc [OPTION...]       marking the live chunks of stores of several sizes
    ./dev bench tree [OPTION...]     a tree of a million files
    ./dev bench objects [OPTION...]  an object store on loopback, and four backups at once into it
    ./dev bench requests             what each command asks of an object store, and how much of it one after the other
    ./dev bench protect [OPTION...]  scrubbing, parity, copies of a store
    ./dev bench newcomer             the README, from a fresh clone to a verified restore, with a stop-watch
    ./dev bench shards [OPTION...]   verification and garbage collection, split between processes
    ./dev bench peers-tool           silt for a harness that measures other backup programs, as JSON

Rule: a command prints its table, and writes it only where --write says so; without a command the document is written.
Figures of one run compare with each other. Those of another machine, or of another hour on a shared one, do not.
"""

import argparse
import sys
from pathlib import Path

from bench import (
    compare,
    days,
    gc_scale,
    index_scale,
    limits,
    newcomer,
    objects_bench,
    peers_tool,
    pg,
    protect,
    requests_bench,
    shards,
    tar_speed,
    tree_scale,
    wal_bench,
)
from bench.measure import BenchError

COMMANDS = {
    "compare": compare.main,
    "pg": pg.main,
    "wal": wal_bench.main,
    "days": days.main,
    "tar": tar_speed.main,
    "limits": limits.main,
    "index": index_scale.main,
    "gc": gc_scale.main,
    "tree": tree_scale.main,
    "objects": objects_bench.main,
    "requests": requests_bench.main,
    "protect": protect.main,
    "newcomer": newcomer.main,
    "shards": shards.main,
    "peers-tool": peers_tool.main,
}
DOCUMENT = Path(__file__).parent.parent / "docs/performance.md"


def main(arguments: list[str]) -> int:
    """Run one command, or the default ones with these options. 0, or 1 when something is not as it must be."""
    try:
        if arguments and arguments[0] in COMMANDS:
            return COMMANDS[arguments[0]](arguments[1:])
        if "-h" in arguments or "--help" in arguments:
            print(__doc__)
            return 0
        write = ["--write", str(DOCUMENT)]
        return compare.main([*write, *arguments]) or limits.main([*write, *_work(arguments)])
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


def _work(arguments: list[str]) -> list[str]:
    """The folder to work in, if the options name one: both commands take it."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--work")
    given, _ = parser.parse_known_args(arguments)
    return ["--work", given.work] if given.work else []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
