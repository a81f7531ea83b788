"""Hooks: commands of the deployment file around a backup, for those who stop services or take snapshots.

    [hooks]
    before = ["systemctl stop app"]      # in order; the first that fails ends it, and nothing is backed up
    after = ["systemctl start app"]      # always, all of them, also where a hook before or the backup failed
    timeout = 300                        # seconds for each; one that takes longer is killed, with what it started

A hook is a line for /bin/sh. It has SILT_DEPLOYMENT in its environment, and after the backup SILT_RESULT ("committed"
or "failed") and SILT_LEVEL ("0/3", or empty). What it writes goes to nobody, but for its last line if it fails.

Rule: `after` undoes what `before` did, so it comes whatever happened in between, short of a killed process. A hook
after the backup that fails is a warning: the level is there.
"""

import os
import signal
from types import TracebackType
from typing import TYPE_CHECKING, Self

from msgspec import Struct

from .errors import EngineError
from .events import Report, Warned

if TYPE_CHECKING:
    from .toml_table import Table

TIMEOUT = 300

# Of our own environment, not for others.
SECRETS = frozenset({"SILT_PASSPHRASE", "SILT_PASSPHRASE_COMMAND"})


class Hooks(Struct, frozen=True):
    """The commands, and how many seconds each may take."""

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    timeout: int = TIMEOUT


NO_HOOKS = Hooks()


class HookFailed(EngineError):
    """A hook before the backup failed: nothing was backed up."""


def hooks_of(top: "Table") -> Hooks:
    """What a deployment file says. Raises ConfigError."""
    table = top.table("hooks")
    table.refuse_unknown(("before", "after", "timeout"))
    timeout = table.number("timeout")
    if timeout is not None and timeout < 1:
        raise table.error("must be a number of seconds, 1 or more", "timeout")
    return Hooks(tuple(table.strings("before")), tuple(table.strings("after")), timeout or TIMEOUT)


class Around:
    """A context around a backup: runs the hooks before it on entry, and those after it on exit. Set `level` when there
    is one. Raises HookFailed on entry.
    """

    def __init__(self, hooks: Hooks, deployment: str, report: Report) -> None:
        self._hooks, self._report = hooks, report
        self._environment = {"SILT_DEPLOYMENT": deployment}
        self.level = ""
        self.warnings = 0

    def __enter__(self) -> Self:
        for command in self._hooks.before:
            if fault := self._run(command, {}):
                self._run_after()
                raise HookFailed(f"hook '{command}': {fault}", hint="nothing was backed up; see to the command")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run_after()

    def _run_after(self) -> None:
        result = {"SILT_RESULT": "committed" if self.level else "failed", "SILT_LEVEL": self.level}
        for command in self._hooks.after:
            if fault := self._run(command, result):
                self.warnings += 1
                self._report(Warned("hook", command, fault))

    def _run(self, command: str, more: dict[str, str]) -> str:
        """Run one; what went wrong, or nothing."""
        import subprocess
        import tempfile

        inherited = {name: value for name, value in os.environ.items() if name not in SECRETS}
        environment = {**inherited, **self._environment, **more}
        with tempfile.TemporaryFile() as said:  # no pipe: what a hook leaves running would hold it open
            child = subprocess.Popen(
                ["/bin/sh", "-c", command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
            try:
                code = child.wait(self._hooks.timeout)
            except BaseException as error:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                if isinstance(error, subprocess.TimeoutExpired):
                    return f"it took longer than {self._hooks.timeout} s, and was killed"
                raise
            if not code:
                return ""
            said.seek(max(0, said.seek(0, 2) - 1000))
            last = said.read().decode(errors="replace").strip().splitlines()[-1:]
        came_to = f"exit code {code}" if code > 0 else f"killed by signal {-code}"
        return f"{came_to}: {last[0]}" if last else came_to
