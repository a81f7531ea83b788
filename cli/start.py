"""Where the program begins: `silt wal push` and `silt wal fetch` take their quick way if they can; all else is `main`.

Rule: PostgreSQL calls these two for every segment, so nothing is imported before it is needed. And it takes exit codes
1 to 125 of a restore_command for "there is no such file", ends recovery there and opens the database: so `silt wal
fetch` ends with 0, with NOT_ARCHIVED where that is proved, and with FAILED or more in every other case, whatever broke,
down to a module that cannot be imported. A Python that does not even come this far ends with 1; that is for the shell
in the restore_command to tell apart (docs/postgres.md).
"""

import os
import sys

from .wal_quick import (
    FAILED,
    HISTORY,
    NOT_ARCHIVED,
    SEGMENT,
    WAITED,
    asked,
    becomes_archived,
    detach,
    from_spool,
    lock_spool,
    running_low,
)


def main() -> None:
    """The entry point."""
    arguments = sys.argv[1:]
    which, words, store, system = asked(arguments)
    if which == "fetch":
        _fetch(arguments, words, store, system)
    if which == "push" and len(words) == 1 and store:
        if becomes_archived(words[0], store, system):
            os._exit(0)
        sys.argv.append(WAITED)
    _prepare()
    from .early import begin

    begin(arguments)
    from .main import main as whole

    whole()


def _fetch(arguments: list[str], words: list[str], store: str, system: str) -> None:
    """Run `silt wal fetch` to the end of the process."""
    code = FAILED
    try:
        quick = len(words) == 2 and len(words[0]) in (SEGMENT, HISTORY) and store
        found = from_spool(words[0], words[1], store, system) if quick else None
        if found is None:
            code = _in_full(arguments)
        else:
            spool, code = found
            if code == NOT_ARCHIVED:
                print(f"silt: {words[0]}: the archive ends before it", file=sys.stderr)
            elif _in_background(spool, words[0]):
                _in_full([*arguments, "--only-ahead"])
    except BaseException:  # noqa: BLE001  # whatever it is, it must not look like "there is no such file"
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code if code in (0, NOT_ARCHIVED) else min(FAILED + abs(code) % FAILED, 255))


def _prepare() -> None:
    """Before anything is imported: have numpy start no threads (nothing here multiplies matrices, and they take 25 ms
    of CPU and spin).
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _in_full(arguments: list[str]) -> int:
    _prepare()
    from .main import command_line

    return command_line(arguments)


def _in_background(spool: str, name: str) -> bool:
    """True in a new process that is to fill the spool; this one goes on with False."""
    if not running_low(spool, name):
        return False
    lock = lock_spool(spool)
    if lock is None:
        return False
    if os.fork():
        os.close(lock)
        return False
    detach()
    return True
