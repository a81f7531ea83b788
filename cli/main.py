"""`silt`: the group of commands, loaded one by one, and the one place where errors become lines and exit codes.

Rule: importing this module imports click and nothing heavier; a command's module is imported when it is named (all of
them for `silt --help`, which is why they import the engine, the store and rich only when they run).
"""

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

import click

from .exits import MEANING, Exit
from .failure import answer_failure
from .lazy import LazyCommands
from .options import Options, answer_options, store_options

# In the order in which a new user needs them.
COMMANDS = (
    "init",
    "backup",
    "list",
    "show",
    "ls",
    "find",
    "diff",
    "restore",
    "cat",
    "tar",
    "export",
    "import",
    "verify",
    "forget",
    "undelete",
    "gc",
    "pin",
    "unpin",
    "status",
    "schedule",
    "repair",
    "scrub",
    "protect",
    "sync",
    "pg",
    "wal",
    "config",
    "key",
    "completion",
)


def _version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"silt {version('siltstone')}")
        ctx.exit()


_EPILOG = """\b
Examples:
  silt init /mnt/backup/store              # a new store; asks for a passphrase
  export SILT_STORE=/mnt/backup/store
  silt backup /etc /home                   # the first backup: group 0 level 0
  silt list
  silt restore latest --to /tmp/out

\b
A level is named GROUP/LEVEL (0/1), DEPLOYMENT:GROUP/LEVEL where the store holds
several deployments, or 'latest'.

\b
Exit codes:
""" + "\n".join(f"  {code.value:<4} {meaning}" for code, meaning in MEANING.items())

silt = LazyCommands(
    "silt",
    COMMANDS,
    help="Siltstone: backs up files and databases, each chunk kept once, every level restorable by itself.",
    epilog=_EPILOG,
    params=[
        *store_options(),
        *answer_options(),
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_version,
            help="Show the version and exit.",
        ),
    ],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; every error has been told when this returns."""
    options = Options()
    name = None
    try:
        with silt.make_context("silt", list(arguments), obj=options) as context:
            try:
                code = silt.invoke(context)
            finally:
                name = context.invoked_subcommand
        sys.stdout.flush()
    except click.exceptions.Exit as done:
        return done.exit_code
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # the one place where errors become lines
        # A mistake before an option was read must still be answered in the form that was asked for.
        as_json = options.json or "--json" in arguments
        return answer_failure(error, command=name, as_json=as_json, debug=options.debug)
    return int(code or Exit.DONE)


# How long a thread may keep the interpreter while others want it. Ours come back from C every few hundred microseconds,
# and with Python's 5 ms they wait for each other: 200,000 small files were backed up in 28 s, with this in 10.
TURN_SECONDS = 0.0005


def _tune() -> None:
    """Settings of the interpreter that are a program's to make, and no library's."""
    sys.setswitchinterval(TURN_SECONDS)
    for number in (signal.SIGINT, signal.SIGTERM):  # a service that is stopped ends as by Ctrl-C
        signal.signal(number, _interrupt)


def _interrupt(*_: object) -> None:
    with suppress(ImportError):  # the program has hardly begun, and waits for nothing
        from siltstone.store import hurry

        hurry()
    raise KeyboardInterrupt


def command_line(arguments: Sequence[str]) -> int:
    """Run one command line in a process of its own: the exit code, after everything was told."""
    _tune()
    # A name in another encoding must never end a listing; ours are escaped before, this catches the rest.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a real process has real streams
    code = run(arguments)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = int(Exit.PIPE)
    if code == Exit.PIPE:
        # What is still buffered can go nowhere; without this the interpreter complains about it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    with suppress(OSError):
        sys.stderr.flush()
    return code


def main() -> None:
    """The entry point for everything that `start` has no quicker way for."""
    if "_SILT_COMPLETE" in os.environ:
        from click.shell_completion import shell_complete

        sys.exit(shell_complete(silt, {}, "silt", "_SILT_COMPLETE", os.environ["_SILT_COMPLETE"]))
    code = command_line(sys.argv[1:])
    os._exit(code)  # all is done and told; taking the interpreter apart piece by piece would take 30 ms
