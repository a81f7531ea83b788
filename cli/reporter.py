"""What shows the events of a long command while it runs: the choice of one of four, and what they share.

    terminal   a live display on stderr (`live`)
    pipe       a plain line on stderr every few seconds
    --json     every event as one object a line, progress at most once a second
    --quiet    nothing but the warnings at the end

Rule: events may come from any thread and often; showing them costs the work almost nothing. Warnings are counted all,
and the first few kept to be told after the display is gone. What the events mean is the engine's word.
"""

import json
import os
import sys
import time
from collections import Counter
from threading import Lock
from types import TracebackType
from typing import Protocol, Self, TextIO

from siltstone.engine import Event, Noted, Progress, Warned

from .figures import count
from .options import Options
from .pace import Pace
from .paths import about, shown
from .progress import progress_words
from .records import event_record

LINE_SECONDS = 5.0  # a log of a night's backup stays readable
JSON_SECONDS = 1.0
KEPT_WARNINGS = 20


class Display(Protocol):
    """Shows what happens; `begin` and `end` frame it. Calls never overlap."""

    def begin(self) -> None: ...
    def show(self, event: Event) -> None: ...
    def say(self, line: str) -> None: ...
    def end(self) -> None: ...


class Reporter:
    """A context around a long command; give `report` to the engine. `warnings` counts, by kind, what was warned of."""

    def __init__(self, display: Display, *, tell: TextIO | None, at_once: bool) -> None:
        self.warnings: Counter[str] = Counter()
        self._display = display
        self._tell = None if at_once else tell
        self._at_once = at_once
        self._kept: list[Warned] = []
        self._lock = Lock()

    def report(self, event: Event) -> None:
        """Take one event."""
        with self._lock:
            if isinstance(event, Noted):
                self._display.say(f"note: {shown(event.message)}")
            elif isinstance(event, Warned):
                self._warned(event)
            self._display.show(event)

    def _warned(self, event: Warned) -> None:
        self.warnings[event.kind] += 1
        if self._at_once:
            self._display.say(warning_line(event))
        elif len(self._kept) < KEPT_WARNINGS:
            self._kept.append(event)

    def __enter__(self) -> Self:
        self._display.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._display.end()
        if self._tell is not None:
            self._tell_warnings(self._tell)

    def _tell_warnings(self, out: TextIO) -> None:
        for warned in self._kept:
            print(warning_line(warned), file=out)
        more = self.warnings.total() - len(self._kept)
        if more:
            print(f"warning: and {count(more)} more (--json tells all)", file=out)


def make_reporter(options: Options, *, out: TextIO | None = None, at_once: bool = False, live: bool = True) -> Reporter:
    """The reporter that the options and the terminal ask for. JSON goes to `out` (stdout unless given).

    Warnings are told at the end; `at_once` is for commands whose warnings cannot wait and are in their answer again.
    `live` is not for commands that print while they work: the display would erase it.
    """
    if options.json:
        return Reporter(_Silent() if options.quiet else _JsonLines(out or sys.stdout), tell=None, at_once=at_once)
    if options.quiet:
        return Reporter(_Silent(), tell=sys.stderr, at_once=at_once)
    if live and sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from .live import Live

        return Reporter(Live(), tell=sys.stderr, at_once=at_once)
    return Reporter(_PlainLines(sys.stderr), tell=sys.stderr, at_once=at_once)


def warning_line(warned: Warned) -> str:
    """A warning for people."""
    return f"warning: {about(warned.path, warned.message)}"


class _Silent:
    def begin(self) -> None:
        pass

    def show(self, event: Event) -> None:
        pass

    def say(self, line: str) -> None:
        pass

    def end(self) -> None:
        pass


class _JsonLines(_Silent):
    """Events as JSON, one a line."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._next = 0.0

    def show(self, event: Event) -> None:
        if isinstance(event, Progress):
            if time.monotonic() < self._next:
                return
            self._next = time.monotonic() + JSON_SECONDS
        print(json.dumps(event_record(event)), file=self._out, flush=True)


class _PlainLines(_Silent):
    """A line every few seconds, the first after a few seconds too, so that a short command says nothing."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._pace = Pace()
        self._next = time.monotonic() + LINE_SECONDS

    def show(self, event: Event) -> None:
        if isinstance(event, Progress):
            now = time.monotonic()
            self._pace.add(now, event.bytes)
            if now >= self._next:
                self._next = now + LINE_SECONDS
                self.say(f"{event.phase}: {', '.join(progress_words(event, self._pace))}")

    def say(self, line: str) -> None:
        print(line, file=self._out, flush=True)
