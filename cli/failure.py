"""How a command that failed says so: `silt: what happened` and `hint: what to do` on stderr, or one JSON object.

Rule: an error that we know is a sentence, never a traceback. Only one that we did not foresee asks to be reported, and
shows its traceback when --debug or SILT_DEBUG asks for it. With --json the error is one object on stderr:
{"type": "error", "message": str, "hint": str, "exit_code": int, "error": the class's name}.
"""

import json
import os
import sys

import click

from .exits import Exit, exit_for
from .paths import shown

_INTERRUPTED = {
    "backup": "what was stored stays, and the next backup reuses it",
    "restore": "files that were finished stay; run it again to go on",
    "verify": "what was verified before is remembered; run it again to go on",
}


def answer_failure(error: BaseException, *, command: str | None, as_json: bool, debug: bool) -> int:
    """Say what went wrong on stderr and return the exit code."""
    code = exit_for(error)
    if code is Exit.PIPE:
        return int(code)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        print(error.format_message(), file=sys.stderr)
        return int(code)
    if debug or os.environ.get("SILT_DEBUG"):
        import traceback

        traceback.print_exception(error)
    message, hint = map(shown, _words(error, command))
    if as_json:
        record = {"type": "error", "error": type(error).__name__, "message": message, "hint": hint, "exit_code": code}
        print(json.dumps(record), file=sys.stderr)
    else:
        print(f"silt: {message}", file=sys.stderr)
        if hint:
            print(f"hint: {hint}", file=sys.stderr)
    return int(code)


def _words(error: BaseException, command: str | None) -> tuple[str, str]:
    """One sentence and a hint (or '')."""
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        said = _INTERRUPTED.get(command or "", "")
        return (f"interrupted; {said}" if said else "interrupted"), ""
    if isinstance(error, click.UsageError):
        return error.format_message(), f"see '{error.ctx.command_path} --help'" if error.ctx else ""
    if isinstance(error, click.ClickException):
        return error.format_message(), str(getattr(error, "hint", ""))
    from siltstone.store import SiltError

    if isinstance(error, SiltError):
        return str(error), error.hint
    if isinstance(error, OSError) and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}" if error.filename else error.strerror, ""
    if isinstance(error, MemoryError):
        return "there is not enough memory", ""
    return f"this should not happen, please report it: {_unforeseen(error)}", "SILT_DEBUG=1 shows where it came from"


def _unforeseen(error: BaseException) -> str:
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({os.path.basename(frames[-1].filename)}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"
