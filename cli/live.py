"""The live display of a long command on a terminal, drawn by rich on stderr.

    backup  ━━━━━━━━━━━━━━━━━━━━━━━━━━  45 %
    12,345 of 27,000 files, 1.20 GiB of 2.70 GiB read, 300 MiB new, 450 MiB/s, 3.4 s left
    /srv/app/vault/aa/bb

Rule: an event only replaces what is to be drawn; rich's own thread draws it four times a second. Everything is escaped
before it is shown. The display is gone when the command ends; notes stay above it.
"""

import time

from rich.console import Console, Group, RenderableType
from rich.live import Live as RichLive
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from siltstone.engine import Event, Progress

from .figures import share
from .pace import Pace
from .paths import shown
from .progress import progress_words

BAR_WIDTH = 40


class Live:
    """A `Display` on the terminal."""

    def __init__(self) -> None:
        self._pace = Pace()
        self._last: Progress | None = None
        self._console = Console(stderr=True, highlight=False)
        self._live = RichLive(
            console=self._console,
            get_renderable=self._draw,
            transient=True,
            refresh_per_second=4,
            redirect_stdout=False,  # stdout may carry data
            redirect_stderr=False,
        )

    def begin(self) -> None:
        self._live.start()

    def show(self, event: Event) -> None:
        if isinstance(event, Progress):
            if self._last is None or event.phase != self._last.phase:
                self._pace = Pace()
            self._pace.add(time.monotonic(), event.bytes)
            self._last = event

    def say(self, line: str) -> None:
        self._console.print(Text(line))

    def end(self) -> None:
        self._live.stop()

    def _draw(self) -> RenderableType:
        last = self._last
        if last is None:
            return Text("")
        return Group(
            _bar(last),
            Text(", ".join(progress_words(last, self._pace)), overflow="ellipsis", no_wrap=True),
            Text(shown(last.current), style="dim", overflow="ellipsis", no_wrap=True),
        )


def _bar(now: Progress) -> RenderableType:
    done, total = (now.bytes, now.total_bytes) if now.total_bytes else (now.files, now.total_files)
    row = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=total or None, completed=done, width=BAR_WIDTH, pulse=not total)
    row.add_row(Text(now.phase, style="bold"), bar, Text(share(min(done, total), total) if total else ""))
    return row
