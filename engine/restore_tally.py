"""What a restore has done so far, counted from any thread, and the result that it ends with.

Rule: a file counts once, when it stands under its name as it should be, or is known to fail; the first reason is kept.
Failures are kept one by one, each with its path: these are files that somebody needs and does not have.
It reports nothing by itself: the one thread that waits for the others asks for progress.
"""

import threading
from collections.abc import Sequence

from msgspec import Struct

from .events import Progress, Report, Warned, show_path
from .problems import Problem, Problems

Failure = tuple[bytes, str]
"""The path of an entry that is not in place, and why."""


class RestoreResult(Struct, frozen=True):
    """What a restore did, or after a dry run: would do.

    `files`: regular files that are in place, each name counted, with `bytes` of content; `unchanged_files` of them
    were there already and were left alone. `written_bytes`: content that had to be written. `skipped`: entries selected
    that do not lie below the base. `failures`: what is not in place; `damaged`: some of it because what the store holds
    of it is damaged or missing. `problems`: what could not be put back of entries that are. `warnings`: how many of all
    these were reported.
    """

    files: int
    bytes: int
    written_bytes: int
    unchanged_files: int
    skipped: int
    failures: tuple[Failure, ...]
    damaged: bool
    problems: tuple[Problem, ...]
    warnings: int
    dry_run: bool


def combined(results: Sequence[RestoreResult]) -> RestoreResult:
    """Several restores told as one."""
    return RestoreResult(
        files=sum(each.files for each in results),
        bytes=sum(each.bytes for each in results),
        written_bytes=sum(each.written_bytes for each in results),
        unchanged_files=sum(each.unchanged_files for each in results),
        skipped=0,
        failures=tuple(failure for each in results for failure in each.failures),
        damaged=any(each.damaged for each in results),
        problems=tuple(problem for each in results for problem in each.problems),
        warnings=sum(each.warnings for each in results),
        dry_run=any(each.dry_run for each in results),
    )


class Tally:
    """Counts of one restore."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.problems = Problems()
        self._failed: dict[bytes, str] = {}
        self.files = self.bytes = self.written = self.unchanged = 0
        self.other_warnings = 0
        self.damaged = False
        self.current = b""
        self.total_files: int | None = None
        self.total_bytes: int | None = None

    def restored(self, files: int, size: int, written: int, current: bytes = b"") -> None:
        """Regular files that are in place now, their content, and how much of it was written."""
        with self._lock:
            self.files += files
            self.bytes += size
            self.written += written
            self.current = current or self.current

    def kept(self, size: int) -> None:
        """A file that was there already, with the right content."""
        with self._lock:
            self.files += 1
            self.bytes += size
            self.unchanged += 1

    def retract(self, path: bytes, size: int, reason: str) -> None:
        """A file that was counted turned out to be wrong when it was read back."""
        with self._lock:
            self.files -= 1
            self.bytes -= size
            self._failed[path] = reason

    def fail(self, path: bytes, reason: str, *, damaged: bool = False) -> None:
        """An entry that is not in place, and will not be; `damaged`: because the store does not have it whole."""
        with self._lock:
            self._failed.setdefault(path, reason)
            self.damaged |= damaged

    @property
    def any_failed(self) -> bool:
        """Whether anything failed."""
        return bool(self._failed)

    def has_failed(self, path: bytes) -> bool:
        """Whether this entry is known not to be in place."""
        return path in self._failed

    def progress(self, phase: str) -> Progress:
        """How far it is."""
        with self._lock:
            return Progress(
                phase, self.files, self.bytes, self.written, show_path(self.current), self.total_files, self.total_bytes
            )

    def finished(self, report: Report, *, skipped: int, dry_run: bool) -> RestoreResult:
        """The result; failures and problems are reported as warnings first."""
        failures, problems = sorted(self._failed.items()), self.problems.listed()
        for path, reason in failures:
            report(Warned("failed", show_path(path), reason))
        for problem in problems:
            report(Warned(problem.kind, show_path(problem.first), problem.message))
        return RestoreResult(
            files=self.files,
            bytes=self.bytes,
            written_bytes=self.written,
            unchanged_files=self.unchanged,
            skipped=skipped,
            failures=tuple(failures),
            damaged=self.damaged,
            problems=tuple(problems),
            warnings=len(failures) + len(problems) + self.other_warnings,
            dry_run=dry_run,
        )
