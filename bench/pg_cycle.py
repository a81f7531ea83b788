"""One cluster, backed up by every tool in turn: what is measured of each, step by step.

    full -> 500 rows change -> small incr -> restore -> 500 others change -> delta restore over that copy
    -> a burst of pgbench, its WAL held back -> drain -> recovery of the restored copy through that WAL -> burst incr
    -> burst restore

Rule: the tools take turns within each step, on the same server in the same state, in another order each repetition; the
server archives by the tool that is at work. Each repetition begins with empty stores. Every copy is recovered to the
end of the WAL and has to hold the rows of the original; where one of `silt` does not, the measurement fails. The WAL of
the changes before an incremental is archived by no tool, or the first one's store would be charged with it alone.

Of `drain` and `recovery` the wall time is the server's. The CPU time of `drain` is that of the whole machine, for
`silt` archives ahead in a process that nobody waits for; that of `recovery` is what the replay itself took, and a line
below the tables says what it waited for in the rest of the time (pg_replay.py).
"""

import os
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from msgspec.structs import asdict

from bench.cycles import Comparison, Figure, figure_line
from bench.launch import machine_cpu
from bench.measure import BenchError, Taken, measure, stored_bytes, warm
from bench.pg_cluster import Cluster, as_server_user, hand_over
from bench.pg_pages import Pages, changed_since, pages_of
from bench.pg_replay import ReplayWatch
from bench.pg_tools import PgTool
from bench.tools import OURS

STEPS = ("full", "small incr", "restore", "delta restore", "drain", "recovery", "burst incr", "burst restore")
GROWING = ("full", "small incr", "drain", "burst incr")  # steps that add to a store
CORPUS = "pg"
CHANGED_ROWS = 500
TRANSACTIONS = 60_000  # of each of two clients; some 45 segments
LONGEST_RECOVERY = 900
_REDONE = re.compile(r"redo done at .* CPU: user: ([\d.]+) s, system: ([\d.]+) s, elapsed: ([\d.]+) s")


class PgTurn:
    """One tool in one repetition: its folder, its store, the copy that it restored."""

    def __init__(self, tool: PgTool, folder: Path, cluster: Cluster) -> None:
        self.tool, self.folder, self.cluster = tool, folder, cluster
        self.store, self.target = folder / "store", folder / "copy"
        self._backups = 0
        self.replayed = ""
        self.environment = {"HOME": str(folder), "XDG_STATE_HOME": str(folder), "SILT_CONFIG": ""}

    def prepare(self) -> None:
        """Make its folder, its files and an empty store."""
        for path in (self.folder, self.folder / "lock", self.folder / "spool"):
            path.mkdir(parents=True)
            hand_over(path)
        for name, content in self.tool.files:
            (self.folder / name).write_text(content.format(**self._places()))
            hand_over(self.folder / name)
        if self.tool.name.startswith("pgbackrest"):
            self.store.mkdir()
            hand_over(self.store)
        self.archive()
        for command in self.tool.init:
            self._run(command)

    def archive(self) -> None:
        """Have the server archive by this tool."""
        variables = " ".join(f"{name}={value}" for name, value in self.environment.items())
        self.cluster.archive_with(f"export {variables}; {self.tool.filled(self.tool.push, self._places())}")

    def backup(self, template: str) -> Taken:
        """Take a backup, full or incremental."""
        self._backups += 1
        self.archive()
        taken = self._run(template)
        self.cluster.settle_archiving()
        return taken

    def restore(self) -> Taken:
        """Restore the newest backup into an empty folder."""
        shutil.rmtree(self.target, ignore_errors=True)
        self.target.mkdir(mode=0o700)
        hand_over(self.target)
        warm(self.store)
        return self._run(self.tool.restore)

    def restore_over(self) -> Taken:
        """Restore the newest backup over the copy that is there."""
        self.cluster.settle_archiving()
        for read in (self.store, self.target):  # some tools had written the copy past the page cache
            warm(read)
        return self._run(self.tool.delta)

    def drain(self) -> Taken:
        """Archive what waits."""
        self.archive()
        os.sync()
        busy, begun = machine_cpu(), time.monotonic()
        self.cluster.go_on_archiving()
        self.cluster.settle_archiving()
        wall, cpu = time.monotonic() - begun, machine_cpu() - busy
        self.cluster.hold_archiving()
        return Taken(wall, cpu, 0, 0.0)

    def recover(self, sums: str) -> Taken:
        """Start a server on the copy and let it replay everything that was archived; `replayed` tells then what it
        waited for. BenchError if rows differ.
        """
        copy = Cluster(self.folder, self.target)
        fetch = self.tool.filled(self.tool.fetch, self._places())
        variables = " ".join(f"{name}={value}" for name, value in self.environment.items())
        (self.target / "recovery.signal").touch()
        hand_over(self.target / "recovery.signal")
        with (self.target / "postgresql.auto.conf").open("a") as file:
            quoted = f"export {variables}; {fetch}".replace("'", "''")
            file.write(f"\narchive_mode = off\nrestore_command = '{quoted}'\n")
        warm(self.store)
        os.sync()
        busy, begun = machine_cpu(), time.monotonic()
        with ReplayWatch(self.target) as watch:
            copy.start()
            try:
                while copy.sql("SELECT pg_is_in_recovery()") == "t":
                    if time.monotonic() - begun > LONGEST_RECOVERY:
                        raise BenchError(f"{self.tool.name}: recovery does not end")
                    time.sleep(0.02)
                spent = machine_cpu() - busy
                found = copy.sums()
            finally:
                copy.stop()
        if found != sums:
            raise BenchError(f"what {self.tool.name} restored and recovered is not what it was: {found} for {sums}")
        log = copy.log.read_text(errors="replace")
        self.replayed = watch.line(self.tool.name, log)
        redone = _REDONE.findall(log)
        user, system, elapsed = map(float, redone[-1])
        return Taken(elapsed, user + system, 0, max(0.0, spent - user - system))

    def _run(self, template: str) -> Taken:
        return measure(self.words(template), cwd=self.folder, environment=self.environment, log=self.folder / "log")

    def words(self, template: str) -> list[str]:
        """One of the tool's command lines, as the server's user runs it."""
        return as_server_user(self.tool.filled(template, self._places()).split())

    def _places(self) -> Mapping[str, object]:
        return {
            "folder": self.folder,
            "store": self.store,
            "target": self.target,
            "name": f"backup-{self._backups}",
            "data": self.cluster.data,
            "socket": self.cluster.folder,
            "port": self.cluster.port,
        }


class PgCycles:
    """All repetitions over one cluster."""

    def __init__(
        self, cluster: Cluster, tools: Sequence[PgTool], folder: Path, scale: float, say: Callable[[str], None]
    ) -> None:
        self._cluster, self._tools, self._folder, self._say = cluster, list(tools), folder, say
        self._transactions = max(20, round(TRANSACTIONS * scale))
        self.result = Comparison([], [], [])
        self.segments = 0

    def run(self, repetitions: int) -> Comparison:
        """Measure. BenchError when `silt` fails."""
        for number in range(repetitions):
            shift = number % len(self._tools)
            order = self._tools[shift:] + self._tools[:shift]
            turns = [PgTurn(tool, self._folder / tool.name, self._cluster) for tool in order]
            try:
                self._cycle(turns, number)
            finally:
                for turn in turns:
                    shutil.rmtree(turn.folder, ignore_errors=True)
        return self.result

    def _cycle(self, turns: list[PgTurn], number: int) -> None:
        self._cluster.settle_pages()
        for turn in turns:
            turn.prepare()
        self._step("full", turns, number, lambda turn: turn.backup(turn.tool.full))
        before_rows = pages_of(self._cluster.data)
        self._change_rows(2 * number)
        self._cluster.drop_wal()
        able = [turn for turn in turns if turn.tool.incr]
        self._step("small incr", able, number, lambda turn: turn.backup(turn.tool.incr))
        self._tell_of_pages("small incr", before_rows)
        self._step("restore", able, number, PgTurn.restore)
        self._change_rows(2 * number + 1)
        before = self._cluster.archived()
        for turn in able:
            turn.backup(turn.tool.incr)
        self._step("delta restore", able, number, PgTurn.restore_over)
        since = self._cluster.archived() - before
        for turn in able:  # what one tool archived during its backup the others need for recovery
            turn.archive()
            self._cluster.ask_again(since)
            self._cluster.settle_archiving()
        before_burst = pages_of(self._cluster.data)
        held = self._burst(number)
        for turn in able:  # the first finds the backlog as the server left it, for the others it is put there again
            self._cluster.ask_again(held if turn is not able[0] else ())
            self._step("drain", [turn], number, PgTurn.drain)
        sums = self._cluster.sums()
        self._step("recovery", able, number, lambda turn: turn.recover(sums))
        for turn in able:
            self._note(turn.replayed)
        self._cluster.drop_wal()
        self._step("burst incr", able, number, lambda turn: turn.backup(turn.tool.incr))
        self._tell_of_pages("burst incr", before_burst)
        self._step("burst restore", able, number, PgTurn.restore)

    def _tell_of_pages(self, step: str, before: Pages) -> None:
        """Hold what `silt` added in the step that was last against the pages that changed."""
        sizes = [figure.store for figure in self.result.figures if figure.tool == OURS]
        self._note(changed_since(before, self._cluster.data).line(step, sizes[-1] - sizes[-2]))

    def _note(self, line: str) -> None:
        self.result.notes.append(line)
        self._say(line)

    def _change_rows(self, number: int) -> None:
        """Change rows that lie far from each other, other ones each time."""
        rows = int(self._cluster.sql("SELECT count(*) FROM pgbench_accounts"))
        step = max(1, rows // CHANGED_ROWS)
        self._cluster.sql(
            f"UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid % {step} = {7 * number % step}"
        )
        self._cluster.sql("CHECKPOINT")

    def _burst(self, number: int) -> set[str]:
        """Write WAL that waits: the names of the segments."""
        self._cluster.hold_archiving()
        self._cluster.pgbench("-n", "-c2", "-j2", f"-t{self._transactions}", f"--random-seed={42 + number}")
        self._cluster.sql("CHECKPOINT")
        self._cluster.sql("SELECT pg_switch_wal()")
        held = self._cluster.waiting()
        self.segments = len(held)
        return held

    def _step(self, step: str, turns: Sequence[PgTurn], number: int, work: Callable[[PgTurn], Taken]) -> None:
        for turn in turns:
            taken = work(turn)
            figure = Figure(CORPUS, step, turn.tool.name, number, **asdict(taken), store=stored_bytes(turn.store))
            self.result.figures.append(figure)
            self._say(figure_line(figure))
