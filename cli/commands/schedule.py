"""`silt schedule`: backups by the clock: systemd timers or lines for cron, and what they run.

Rule: what is installed is only what the deployment file's [schedule] says, under names of the deployment; installing
again replaces it, and what the file no longer names goes. A scheduled run is an ordinary `silt` command, run by
`silt schedule run`, which keeps what it came to on this host and tells whom [notify] names.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..answer import answer
from ..deploying import deployment_from_file
from ..mistake import Mistake
from ..options import Options, examples_text, make_command
from ..paths import shown
from ..settings import load_settings
from ..state import state_folder

if TYPE_CHECKING:
    from siltstone.engine import Caller, Deployment, Run, Schedule

LINES_KEPT = 20  # of what a run said, for the message
_EXAMPLES = """
silt schedule show -c deployment.toml
silt schedule install -c /etc/silt/deployment.toml
silt schedule show -c deployment.toml --cron | crontab -
"""


@click.group("schedule", epilog=examples_text(_EXAMPLES))
def command() -> None:
    """Backups by the clock: systemd timers, or lines for cron."""


_config = click.option("-c", "--config", "file", metavar="FILE", help="The deployment file, with its [schedule].")


@make_command(
    "show",
    examples="""
    silt schedule show -c deployment.toml
    silt schedule show -c deployment.toml --cron
    """,
)
@_config
@click.option("--cron", is_flag=True, help="As lines for cron instead of systemd units.")
def show(options: Options, file: str | None, cron: bool) -> int:
    """Show what would be installed.

    With --json: {"units": [{"name", "text"}], "cron": [...]}.
    """
    from siltstone.engine import cron_lines, units

    deployment, schedule, caller = _scheduled(options, file)
    made = list(units(deployment.name, schedule, caller))
    lines = list(cron_lines(deployment.name, schedule, caller))
    record = {"units": [{"name": name, "text": text} for name, text in made], "cron": lines}
    answer(options, record, lines if cron else (line for unit in made for line in _unit_lines(*unit)))
    return 0


def _unit_lines(name: str, text: str) -> Iterator[str]:
    yield f"# {name}"
    yield from text.splitlines()
    yield ""


@make_command("install", examples="silt schedule install -c /etc/silt/deployment.toml")
@_config
@click.option("--units", "folder", metavar="DIR", help="Only write the units into this folder; start nothing.")
def install(options: Options, file: str | None, folder: str | None) -> int:
    """Install systemd timers for what the file schedules.

    With wal-stream = true also the service that streams WAL. As root into /etc/systemd/system, else as the user's own
    (they run while the user is logged in, or lingers). The key has to be at hand without a terminal: a key file, or a
    passphrase_command in the settings. With --json: {"installed": [names], "removed": [names]}.
    """
    from siltstone.engine import units

    deployment, schedule, caller = _scheduled(options, file)
    _need_key(options)
    place = _units_folder(folder)
    if folder is None:
        _need_systemd()
    try:
        place.mkdir(parents=True, exist_ok=True)
        made = dict(units(deployment.name, schedule, caller))
        removed = [name for name in _installed(place, deployment.name) if name not in made]
        _remove(place, removed, started=folder is None)
        for name, text in made.items():
            (place / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise Mistake(f"{place}: {error.strerror}", hint="name another folder with --units, or be root") from error
    if folder is None:
        _systemctl("daemon-reload")
        _systemctl("enable", *_started(made))
        _systemctl("restart", *_started(made))  # what runs already runs as the file says now
    said = [f"{place / name}: {'written' if folder else 'installed'}" for name in made]
    answer(options, {"installed": list(made), "removed": removed}, [*said, *(f"{name}: removed" for name in removed)])
    return 0


@make_command("remove", examples="silt schedule remove -c deployment.toml")
@_config
@click.option("--units", "folder", metavar="DIR", help="The folder of the units, if they are in one of their own.")
def remove(options: Options, file: str | None, folder: str | None) -> int:
    """Remove the deployment's timers, and its service. With --json: {"removed": [names]}."""
    deployment = deployment_from_file(file, (), load_settings(os.environ))
    place = _units_folder(folder)
    names = _installed(place, deployment.name)
    if folder is None and names:
        _need_systemd()
    _remove(place, names, started=folder is None)
    if folder is None and names:
        _systemctl("daemon-reload")
    answer(options, {"removed": names}, [f"{name}: removed" for name in names] or ["there was nothing to remove"])
    return 0


@make_command("run", examples="silt schedule run incremental -c /etc/silt/deployment.toml")
@click.argument("task", type=click.Choice(["full", "incremental", "verify", "gc"]))
@_config
def run_task(options: Options, task: str, file: str | None) -> int:
    """Run a scheduled task now, as a timer does.

    What it came to is kept on this host for 'silt status', and told to whom [notify] of the file names. The exit code
    is the task's.
    """
    from siltstone.engine import Message, remember, tell

    deployment = deployment_from_file(file, (), load_settings(os.environ))
    run = _run(_program(), _words(options, task, str(deployment.source)))
    try:
        remember(state_folder(os.environ), deployment.name, task, run)
    except OSError as error:
        print(f"silt: what the run came to is not kept: {error}", file=sys.stderr)
    if deployment.notify is not None and deployment.notify.wants(run):
        for line in tell(deployment.notify, Message(deployment.name, task, os.uname().nodename, run)):
            print(f"silt: {shown(line)}", file=sys.stderr)
    if deployment.schedule is not None and deployment.schedule.metrics:
        words = [*_given(options), "status", "-c", str(deployment.source), "--metrics", deployment.schedule.metrics]
        subprocess.run([*_program(), *words, "--quiet"], check=False, stdin=subprocess.DEVNULL)
    return run.exit_code


def _run(program: list[str], words: list[str]) -> "Run":
    """Run `silt` with these words; its stderr goes on to ours, and its last lines are kept."""
    from collections import deque

    from siltstone.engine import Run

    begun = time.time()
    kept: deque[str] = deque(maxlen=LINES_KEPT)
    with subprocess.Popen([*program, *words], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        for line in child.stderr:
            sys.stderr.write(line)
            kept.append(line)
    code = child.returncode if child.returncode >= 0 else 128 - child.returncode
    return Run(begun, time.time(), code, "".join(kept))


def _program() -> list[str]:
    """How this very `silt` is called: also from a folder that is not on the PATH of a timer."""
    called = Path(sys.argv[0])
    own = called.with_name("silt")  # which lies beside `ibackup`, too
    if called.is_file() and own.is_file():
        return [str(own.resolve())]
    return [sys.executable, "-c", "from siltstone.cli.start import main; main()"]


def _given(options: Options) -> list[str]:
    """The options before a command that the user gave to this one."""
    given = (("--store", options.store), ("--key-file", options.key_file))
    return [word for name, value in given if value for word in (name, value)]


def _words(options: Options, task: str, file: str) -> list[str]:
    from siltstone.engine import TASKS

    return [*_given(options), *(file if word == "FILE" else word for word in TASKS[task].words)]


def _scheduled(options: Options, file: str | None) -> "tuple[Deployment, Schedule, Caller]":
    from siltstone.engine import Caller

    settings = load_settings(os.environ)
    deployment = deployment_from_file(file, (), settings)
    if deployment.schedule is None or not (deployment.schedule.times or deployment.schedule.wal_stream):
        raise Mistake(
            f"{shown(str(deployment.source))}: nothing is scheduled",
            hint='write [schedule] with full = "Sun 02:00" and incremental = "Mon..Sat 02:00"',
        )
    store = options.store or os.environ.get("SILT_STORE")
    key_file = options.key_file or os.environ.get("SILT_KEY_FILE")
    given = [("--store", store if store and "://" in store else store and os.path.abspath(store))]
    given.append(("--key-file", key_file and os.path.abspath(key_file)))
    words = [word for name, value in given if value for word in (name, value)]
    return deployment, deployment.schedule, Caller(_program(), os.path.abspath(str(deployment.source)), words)


def _need_key(options: Options) -> None:
    """A timer has no terminal and not this shell's environment: say now that the key will not be found then."""
    settings = load_settings(os.environ)
    given = [options.key_file, os.environ.get("SILT_KEY_FILE"), *map(settings.get, ("key_file", "passphrase_command"))]
    if not any(given) and os.environ.get("SILT_PASSPHRASE"):
        raise Mistake(
            "a timer does not have the SILT_PASSPHRASE of this shell",
            hint="give --key-file, or write key_file or passphrase_command into the settings file",
        )


def _units_folder(folder: str | None) -> Path:
    if folder:
        return Path(folder)
    if os.geteuid() == 0:
        return Path("/etc/systemd/system")
    return Path(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")) / "systemd" / "user"


def _installed(place: Path, deployment: str) -> list[str]:
    from siltstone.engine import unit_names

    return [name for name in unit_names(deployment) if (place / name).exists()]


def _started(names: Iterable[str]) -> list[str]:
    """The units that run by themselves: timers, and services without one. The other services are run by timers."""
    every = set(names)
    return [name for name in names if name.endswith(".timer") or name.replace(".service", ".timer") not in every]


def _remove(place: Path, names: list[str], *, started: bool) -> None:
    running = _started(names)
    if started and running:
        _systemctl("disable", "--now", *running)
    for name in names:
        (place / name).unlink(missing_ok=True)


def runs_systemd() -> bool:
    """Whether timers can be installed on this host."""
    return shutil.which("systemctl") is not None and os.path.isdir("/run/systemd/system")  # as sd_booted(3) finds out


def _need_systemd() -> None:
    """Before anything is written: units that nothing reads would look as if they were at work."""
    if not runs_systemd():
        raise Mistake("systemd does not run this host", hint="'silt schedule show --cron' prints lines for cron")


def _systemctl(*words: str) -> None:
    user = [] if os.geteuid() == 0 else ["--user"]
    done = subprocess.run(["systemctl", *user, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or ["it failed"]
        raise Mistake(f"systemctl {words[0]}: {said[0]}", hint="'silt schedule show --cron' prints lines for cron")


for each in (show, install, remove, run_task):
    command.add_command(each)
