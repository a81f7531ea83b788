"""Days of one deployment, backed up by every way in turn; and the judgement of what `silt` restores at the end.

Rule: see days.py. A figure is of one part: `silt` is a part of its own, tar, restic and pgBackRest are each one, and
day_table.py adds up those that belong together. It does not measure what the server does to archive.
"""

import os
import stat
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from msgspec import Struct

from bench.appliance import Appliance
from bench.day_ways import FileTurn, FileWay
from bench.measure import BenchError, Taken, measure, stored_bytes, warm
from bench.pg_cluster import Cluster, as_server_user
from bench.pg_cycle import PgTurn
from bench.pg_tools import PgTool
from bench.picture import Picture, differences, take_picture
from bench.tools import OURS

WEEK = 7
ROWS = 100  # that lie side by side change together
# What lies above these folders is in no file set.
_JUDGED = tuple(b"opt/phantom/" + name for name in (b"vault/", b"apps/", b"scm/", b"local_data/app_states/", b"tmp/"))


class DayFigure(Struct, frozen=True):
    """What a part took on one day, and its store after that. `day` -1: the restore of the newest level."""

    part: str
    day: int
    wall: float
    cpu: float
    store: int


class Daily:
    """All of it. `figures` and `notes` are there after `run`."""

    def __init__(
        self,
        appliance: Appliance,
        cluster: Cluster,
        folder: Path,
        silt: PgTool,
        backrest: PgTool | None,
        ways: Sequence[FileWay],
    ) -> None:
        self._appliance, self._cluster, self._folder = appliance, cluster, folder
        tools = [silt] if backrest is None else [silt, backrest]
        self._databases = [PgTurn(tool, folder / tool.name, cluster) for tool in tools]
        self._trees = [FileTurn(way, folder / way.name, appliance.top) for way in ways]
        self._archived: dict[str, set[str]] = {}
        self.figures: list[DayFigure] = []
        self.notes: list[str] = []
        self.files, self.bytes, self.database = 0, 0, 0

    def run(self, days: int, share: float) -> None:
        """Live through the days, then restore. BenchError when `silt` fails or restores something else."""
        for database in self._databases:
            database.prepare()
            self._archived[database.tool.name] = self._segments()
        for tree in self._trees:
            tree.prepare()
        for day in range(days):
            if day:
                self._appliance.pass_day(day, share)
                self._change_rows(day, share)
            self._back_up(day)
        self.files, self.bytes = self._appliance.files, stored_bytes(self._appliance.top)
        self.database = int(self._cluster.sql("SELECT pg_database_size('postgres')"))
        self._restore()

    def _back_up(self, day: int) -> None:
        warm(self._appliance.top)
        full = day % WEEK == 0
        work: list[tuple[str, Path, Callable[[], list[Taken]]]] = [
            *((each.tool.name, each.store, partial(self._of_database, each, day)) for each in self._databases),
            *((each.way.name, each.store, partial(each.backup, full=full)) for each in self._trees),
        ]
        shift = day % len(work)
        for part, store, back_up in work[shift:] + work[:shift]:
            self._note(part, day, back_up(), store)

    def _of_database(self, turn: PgTurn, day: int) -> list[Taken]:
        """A backup of the server, and for `silt` of the files as well; after all WAL since its last one is archived."""
        name = turn.tool.name
        turn.archive()
        self._cluster.ask_again(self._segments() - self._archived[name])
        self._cluster.settle_archiving()
        taken = [turn.backup(turn.tool.incr if day % WEEK else turn.tool.full)]
        self._archived[name] = self._segments()
        if name == OURS and day % WEEK < 2:  # one run condemns, and another removes
            taken.append(self._run_silt(turn, "gc", turn.folder))
        return taken

    def _segments(self) -> set[str]:
        return {name for name in self._cluster.archived() if "." not in name}

    def _change_rows(self, day: int, share: float) -> None:
        """Update this share of the rows, in runs of ROWS all over the table, other ones each day; then vacuum."""
        each = max(1, round(1 / share))
        which = f"aid / {ROWS} % {each} = {7 * day % each}"
        self._cluster.sql(f"UPDATE pgbench_accounts SET abalance = abalance + {day} WHERE {which}")
        self._cluster.sql("VACUUM pgbench_accounts")
        self._cluster.sql("CHECKPOINT")
        self._cluster.sql("SELECT pg_switch_wal()")
        self._cluster.settle_archiving()

    def _note(self, part: str, day: int, taken: Sequence[Taken], store: Path) -> None:
        wall, cpu = sum(each.wall for each in taken), sum(each.cpu for each in taken)
        self.figures.append(DayFigure(part, day, wall, cpu, stored_bytes(store)))
        what = "restore" if day < 0 else f"day {day}"
        size = self.figures[-1].store / 2**20
        print(f"{part:14} {what:8} {wall:8.2f} s {cpu:8.2f} CPU s {size:9.1f} MiB stored", flush=True)

    def _restore(self) -> None:
        expected = _judged(self._appliance.top)
        sums = self._cluster.sums()
        for database in self._databases:
            taken = [database.restore()]
            if database.tool.name == OURS:
                target = database.folder / "files"
                target.mkdir()
                words = f"restore latest --to {target} --base {self._appliance.top}"
                taken.append(self._run_silt(database, words, target))
                wrong = differences(expected, _judged(target))
                if wrong:
                    raise BenchError(f"silt restored files otherwise than they were: {'; '.join(wrong[:5])}")
            self._note(database.tool.name, -1, taken, database.store)
            database.recover(sums)
        for tree in self._trees:
            target = tree.folder / "restored"
            self._note(tree.way.name, -1, tree.restore(target), tree.store)
            wrong = differences(expected, _judged(target))
            if wrong:
                self.notes.append(f"{tree.way.name} restored {len(wrong)} entries otherwise, the first: {wrong[0]}")

    def _run_silt(self, turn: PgTurn, words: str, cwd: Path) -> Taken:
        """Run it on the turn's store: as the server's user, but a restore as who may give files to their owners."""
        options = f"-q --store {turn.store} --key-file {turn.folder / 'key'}"
        command = [turn.tool.binary, *options.split(), *words.split()]
        command = command if words.startswith("restore") else as_server_user(command)
        return measure(command, cwd=cwd, environment=turn.environment, log=turn.folder / "log")


def _judged(top: Path) -> Picture:
    """What lies in file sets."""
    picture = take_picture(os.fsencode(top), left_out=lambda name: name == b"lost+found")
    return {path: seen for path, seen in picture.items() if not stat.S_ISDIR(seen.mode) or path.startswith(_JUDGED)}
