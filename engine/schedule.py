"""The schedule of a deployment, as its file says it, and what of it was missed.

    [schedule]
    full = "Sun 02:00"             # silt backup --type full
    incremental = "Mon..Sat 02:00" # silt backup --type incr
    verify = "05:00"               # silt verify --max-age 30d
    gc = "Sun 06:00"               # silt gc
    wal-stream = true              # silt wal stream, as a service
    grace = 3600                   # seconds after its time, or a run counts as missed
    metrics = "/var/lib/node_exporter/textfile/silt.prom"

Rule: pure. Whether a backup was made is told by the levels in the store, whoever made them; of what leaves nothing
there the runs on this host are asked (runs.py).
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from msgspec import Struct, field

from .calendar import Times, parse_times

if TYPE_CHECKING:
    from .toml_table import Table

GRACE = 3600


class Task(Struct, frozen=True):
    """What can be scheduled: its name, and the words of the command behind `silt`; FILE is the deployment file."""

    name: str
    words: tuple[str, ...]


TASKS: Mapping[str, Task] = {
    task.name: task
    for task in (
        Task("full", ("backup", "-c", "FILE", "--type", "full")),
        Task("incremental", ("backup", "-c", "FILE", "--type", "incr")),
        Task("verify", ("verify", "--max-age", "30d")),
        Task("gc", ("gc",)),
    )
}


class Schedule(Struct, frozen=True):
    """`times` of each task that is scheduled; `grace` in seconds; `metrics` is the file for Prometheus, or empty.
    `wal_stream`: WAL is received by a service that runs all the time.
    """

    times: Mapping[str, Times] = field(default_factory=dict)
    grace: int = GRACE
    metrics: str = ""
    wal_stream: bool = False


def schedule_of(top: "Table") -> Schedule | None:
    """What a deployment file says. Raises ConfigError."""
    if "schedule" not in top:
        return None
    table = top.table("schedule")
    table.refuse_unknown((*TASKS, "wal-stream", "grace", "metrics"))
    times = {}
    for name in TASKS:
        if name in table:
            try:
                times[name] = parse_times(table.string(name))
            except ValueError as error:
                raise table.error(str(error), name) from None
    grace = table.number("grace")
    if grace is not None and grace < 0:
        raise table.error("must be a number of seconds, 0 or more", "grace")
    wal_stream = table.flag("wal-stream", default=False)
    if wal_stream and "postgres" not in top:
        raise table.error("there is no database to stream from", "wal-stream", hint="add [postgres] with its dsn")
    return Schedule(times, GRACE if grace is None else grace, table.string("metrics"), wal_stream)


def missed(schedule: Schedule, done: Mapping[str, datetime], now: datetime) -> Iterator[tuple[str, datetime]]:
    """(task, when it was due) of each that was due, and its grace is over, and was not begun since.

    `done` has when each was last begun; a full backup does for an incremental one. What was never done counts as
    missed only for backups: the others may have been scheduled a moment ago.
    """
    begun = dict(done)
    if "full" in begun:
        begun["incremental"] = max(begun["full"], begun.get("incremental", begun["full"]))
    for name, times in schedule.times.items():
        due = times.last(now - timedelta(seconds=schedule.grace))
        last = begun.get(name)
        # A timer may be early by a second or so, and clocks of two hosts differ by more.
        early = timedelta(minutes=5)
        if (last is None and name in ("full", "incremental")) or (last is not None and last < due - early):
            yield name, due
