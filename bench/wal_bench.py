"""The command `bench wal`: does `silt wal stream` keep up with a server that writes as much WAL as it can?

    pgbench alone -> pgbench beside the stream -> VACUUM FULL, twice -> until the last segment is called durable

Rule: one cluster of some 900 MiB (scale 1) on a disk, the stream on the same machine as the server and the load, as the
server's user. pgbench runs two clients that do not wait for the disk, so that the processors bound them. Afterwards
`silt wal status` has to find the archive without a gap, or the measurement fails; and pgBackRest, where it is on the
PATH, archives the same segments through `archive_command`, so that the sizes compare. What the stream stored of open
segments on the way, and its index of commits, are a part of its size.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct, field

from bench.machine import describe
from bench.measure import BenchError, measure, stored_bytes
from bench.options import parse_comparison, tools_parser
from bench.pg_cluster import Cluster, hand_over
from bench.pg_cycle import PgTurn
from bench.pg_tools import TOOLS, PgTool, find_pg_tools
from bench.table import markdown, origin, write_place
from bench.tools import OURS
from bench.wal_phases import HEAD, MIB, Phase, Watch

SCALE = 1.0
TRANSACTIONS = 15_000  # of each of two clients, at scale 1; before the stream and beside it; some 20 s each time
PLACE = "wal"
START = 60  # seconds in which a stream has to begin
STATUS = "{bin} -q --store {store} --key-file {folder}/key wal status"
PEERS = [tool.name for tool in TOOLS if tool.fetch]


class Streamed(Struct):
    """What was measured: phases; transactions a second without and with the stream; bytes stored, by tool."""

    phases: list[Phase] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    segments: int = 0
    stored: dict[str, int] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """The table and the sentences below it."""
        alone, beside = self.rates
        sizes = ", ".join(f"{name} {size / MIB:.1f} MiB" for name, size in self.stored.items())
        return [
            *markdown(HEAD, [phase.row() for phase in self.phases]),
            "",
            f"pgbench: {alone:,.0f} transactions a second without the stream, {beside:,.0f} beside it.",
            f"{self.segments} segments were stored: {sizes}.",
        ]


def measure_stream(work: Path, tools: Sequence[PgTool], scale: float, say: Callable[[str], None]) -> Streamed:
    """Make a cluster, load it, stream, compare. BenchError when `silt` fails."""
    hand_over(work)
    work.chmod(0o755)
    cluster = Cluster(work / "cluster")
    say("wal: making the cluster")
    try:
        cluster.make(scale)
        cluster.drop_wal()
        ours, *peers = [PgTurn(tool, work / tool.name, cluster) for tool in tools]
        for turn in (ours, *peers):
            turn.prepare()
        return _measured(cluster, ours, peers, max(20, round(TRANSACTIONS * scale)), say)
    finally:
        cluster.go_on_archiving()
        cluster.remove()


def _measured(
    cluster: Cluster, ours: PgTurn, peers: Sequence[PgTurn], transactions: int, say: Callable[[str], None]
) -> Streamed:
    found = Streamed()

    def load() -> None:
        said = cluster.pgbench("-n", "-c2", "-j2", f"-t{transactions}")
        found.rates.append(float(said.partition("tps = ")[2].split()[0]))

    def burst() -> None:
        cluster.sql("VACUUM FULL pgbench_accounts")

    cluster.archive_with("exit 0")
    cluster.sql("ALTER DATABASE postgres SET synchronous_commit = off")
    load()
    cluster.drop_wal()
    cluster.hold_archiving()
    empty = stored_bytes(ours.store)
    with _stream(ours) as process, Watch(cluster, process) as watch:
        for name, work in (("pgbench", load), ("VACUUM FULL", burst), ("again", burst), ("catching up", watch.settle)):
            found.phases.append(watch.phase(name, work))
            say("  ".join(found.phases[-1].row()))
    measure(ours.words(STATUS), cwd=ours.folder, environment=ours.environment, log=ours.folder / "log")
    held = {name for name in cluster.waiting() if len(name) == 24}
    found.segments = len(held)
    found.stored[OURS] = stored_bytes(ours.store) - empty
    for turn in peers:
        before = stored_bytes(turn.store)
        cluster.ask_again(held - cluster.waiting())
        turn.drain()
        found.stored[turn.tool.name] = stored_bytes(turn.store) - before
    return found


@contextmanager
def _stream(ours: PgTurn) -> Iterator[int]:
    """`silt wal stream` at work: its process. BenchError when it does not begin, or does not end well."""
    said = ours.folder / "streamed"
    with said.open("wb") as file:
        process = subprocess.Popen(
            ours.words(ours.tool.stream),
            cwd=ours.folder,
            env={**os.environ, **ours.environment},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    limit = time.monotonic() + START
    try:
        while b'"started"' not in said.read_bytes():
            if process.poll() is not None or time.monotonic() > limit:
                raise BenchError(f"the stream does not begin: {said.read_text(errors='replace')[-500:]}")
            time.sleep(0.05)
        yield process.pid
        process.terminate()
        if process.wait(START):
            raise BenchError(f"the stream failed: {said.read_text(errors='replace')[-500:]}")
    finally:
        process.kill()
        process.wait()


def main(arguments: list[str]) -> int:
    """Measure, print, write the place `wal`."""
    parser = tools_parser("wal", __doc__, PEERS, SCALE)
    given = parse_comparison(parser, arguments)
    tools = [tool for tool in find_pg_tools(given.tool or PEERS, given.bin) if tool.fetch]
    if given.work:
        given.work.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="silt-wal-", dir=given.work))
    try:
        found = measure_stream(work, tools, given.scale, lambda line: print(line, flush=True))
        machine = describe(work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    command = f"./dev bench wal --scale {given.scale:g}"
    lines = [origin(machine, command, [tool.version() for tool in tools]), "", *found.lines()]
    print("\n".join(["", *lines]))
    if given.write:
        write_place(given.write, PLACE, lines)
    return 0
