"""The exit codes of `silt`: one table, and which error means which code.

Rule: a script can tell from the code alone whether a backup exists (0 and 3), and whom to wake. Every error class of
the store and the engine ends at one of these codes; a class that is not named takes the code of its nearest parent.
It prints nothing; `failure` says what happened.
"""

import errno
from enum import IntEnum

import click


class Exit(IntEnum):
    """What the process ends with."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    WARNINGS = 3
    DAMAGE = 4
    KEY = 5
    STORE = 6
    FULL = 7
    NOT_READY = 8
    NOT_ARCHIVED = 44
    INTERRUPTED = 130
    PIPE = 141


MEANING = {
    Exit.DONE: "done",
    Exit.FAILED: "failed: the error is said, nothing was committed",
    Exit.USAGE: "a mistake on the command line or in a configuration file",
    Exit.WARNINGS: "done with warnings: files changed, vanished or unreadable, or not put back fully",
    Exit.DAMAGE: "damage was found in the store",
    Exit.KEY: "the key is wrong or missing",
    Exit.STORE: "not a store, one of a newer format, or one that cannot be reached",
    Exit.FULL: "the store or the target is full",
    Exit.NOT_READY: "a PostgreSQL cluster is not ready to be backed up",
    Exit.NOT_ARCHIVED: "from `silt wal fetch`: the archive ends before this file (what else fails there is 200 to 255)",
    Exit.INTERRUPTED: "interrupted (128 + SIGINT)",
    Exit.PIPE: "whoever read the output went away (128 + SIGPIPE)",
}

_FULL = (errno.ENOSPC, errno.EDQUOT)


def exit_for(error: BaseException) -> Exit:
    """The exit code that an error ends the process with."""
    if isinstance(error, click.ClickException):
        return Exit(error.exit_code)
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return Exit.INTERRUPTED
    if isinstance(error, BrokenPipeError):
        return Exit.PIPE
    if isinstance(error, OSError):
        return Exit.FULL if error.errno in _FULL else Exit.FAILED
    table = error_table()
    return next((table[kind] for kind in type(error).__mro__ if kind in table), Exit.FAILED)


def error_table() -> dict[type, Exit]:
    """Error class -> exit code. Imported late: whoever needs it has met one of these errors already."""
    from siltstone.engine import ConfigError, TargetFull
    from siltstone.store import (
        BackendError,
        Corrupt,
        NewerFormat,
        NoKey,
        NotAStore,
        ObjectMissing,
        SiltError,
        StoreFull,
        WrongKey,
    )

    return {
        SiltError: Exit.FAILED,
        ConfigError: Exit.USAGE,
        Corrupt: Exit.DAMAGE,
        ObjectMissing: Exit.DAMAGE,
        NoKey: Exit.KEY,
        WrongKey: Exit.KEY,
        NotAStore: Exit.STORE,
        NewerFormat: Exit.STORE,
        BackendError: Exit.STORE,
        StoreFull: Exit.FULL,
        TargetFull: Exit.FULL,
    }
