"""A schedule as systemd units or as lines for cron.

Rule: pure; every unit begins with `silt-<deployment>-`, so that those of a deployment can be found and removed. What
runs is `silt schedule run TASK`, which runs the task, keeps what it came to, and tells whom the deployment file names;
and the stream of WAL, as a service. A host that was off at the time makes up for it when it is on again (Persistent=);
cron does not.
"""

import shlex
from collections.abc import Iterator, Sequence

from msgspec import Struct

from .schedule import TASKS, Schedule

STREAM = "wal"
_STREAM_WORDS = ("wal", "stream", "--create-slot")


class Caller(Struct, frozen=True):
    """How the timers call: the program, the deployment file, and options before it (the store, a key file)."""

    program: Sequence[str]
    file: str
    options: Sequence[str]

    def words(self, task: str) -> list[str]:
        """The command line of a task."""
        return self.command("schedule", "run", task)

    def command(self, *words: str) -> list[str]:
        """The line of a command that takes the deployment file."""
        return [*self.program, *self.options, *words, "-c", self.file]


def unit_name(deployment: str, task: str) -> str:
    """The name of the units of a task, without its ending."""
    return f"silt-{deployment}-{task}"


def unit_names(deployment: str) -> list[str]:
    """The file names of all units that a deployment may have."""
    names = [f"{unit_name(deployment, task)}.{kind}" for task in TASKS for kind in ("service", "timer")]
    return [*names, f"{unit_name(deployment, STREAM)}.service"]


def units(deployment: str, schedule: Schedule, caller: Caller) -> Iterator[tuple[str, str]]:
    """(file name, text) of every unit, in the order of the tasks, then that of the stream."""
    for task in TASKS:
        if task in schedule.times:
            name = unit_name(deployment, task)
            yield f"{name}.service", _service(deployment, task, caller)
            yield f"{name}.timer", _timer(deployment, task, schedule)
    if schedule.wal_stream:
        yield f"{unit_name(deployment, STREAM)}.service", _stream(deployment, caller)


def _service(deployment: str, task: str, caller: Caller) -> str:
    words = " ".join(_quoted(word) for word in caller.words(task))
    return f"""\
[Unit]
Description=silt: {task} of {deployment}
Documentation=man:systemd.timer(5)
After=network-online.target postgresql.service
Wants=network-online.target

[Service]
Type=oneshot
ExecStart={words}
# Done with warnings is done: 'silt status' tells of them.
SuccessExitStatus=3
Nice=10
IOSchedulingClass=best-effort
IOSchedulingPriority=7
"""


def _stream(deployment: str, caller: Caller) -> str:
    return f"""\
[Unit]
Description=silt: WAL of {deployment}
After=network-online.target postgresql.service
Wants=network-online.target

[Service]
ExecStart={" ".join(map(_quoted, caller.command(*_STREAM_WORDS)))}
# What passes by itself it waits for; what does not may have been mended by then.
Restart=on-failure
RestartSec=60

[Install]
WantedBy=default.target
"""


def _timer(deployment: str, task: str, schedule: Schedule) -> str:
    return f"""\
[Unit]
Description=silt: when {task} of {deployment} is run

[Timer]
OnCalendar={schedule.times[task].on_calendar}
Persistent=true
AccuracySec=1s

[Install]
WantedBy=timers.target
"""


def cron_lines(deployment: str, schedule: Schedule, caller: Caller) -> Iterator[str]:
    """Lines for crontab(5), each with its remark before it."""
    for task in TASKS:
        if task in schedule.times:
            yield f"# silt: {task} of {deployment}"
            # In a crontab a '%' is the end of the line.
            yield f"{schedule.times[task].cron} {shlex.join(caller.words(task))}".replace("%", "\\%")
    if schedule.wal_stream:
        yield f"# silt: WAL of {deployment}"
        yield f"@reboot {shlex.join(caller.command(*_STREAM_WORDS))}".replace("%", "\\%")


def _quoted(word: str) -> str:
    """A word of ExecStart=, as systemd.service(5) reads it."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if any(letter.isspace() or letter in "\"'\\;" for letter in word) else escaped
