"""Events of a long command: as JSON, as plain lines, on a terminal, or not at all."""

import io
import json
import os
import pty
import subprocess
import sys

import pytest

from siltstone.cli import reporter as module
from siltstone.cli.options import Options
from siltstone.cli.pace import Pace
from siltstone.cli.progress import progress_words
from siltstone.cli.reporter import KEPT_WARNINGS, make_reporter
from siltstone.engine import Event, Noted, Progress, Warned

SEEN = Progress("backup", 3, 2048, 1024, "/srv/\x1b[31m", 6, 4096)


def told(options: Options, *events: Event, at_once: bool = False) -> str:
    """The JSON output of a reporter."""
    out = io.StringIO()
    with make_reporter(options, out=out, at_once=at_once) as reporter:
        for event in events:
            reporter.report(event)
    return out.getvalue()


def test_json_tells_every_event() -> None:
    lines = told(Options(json=True), SEEN, Warned("changed", "/a", "it changed"), Noted("by the way")).splitlines()
    assert [json.loads(line) for line in lines] == [
        {
            "type": "progress",
            "phase": "backup",
            "files": 3,
            "bytes": 2048,
            "new_bytes": 1024,
            "current": "/srv/\x1b[31m",
            "total_files": 6,
            "total_bytes": 4096,
        },
        {"type": "warning", "kind": "changed", "path": "/a", "message": "it changed"},
        {"type": "note", "message": "by the way"},
    ]


def test_json_thins_out_progress() -> None:
    assert len(told(Options(json=True), *[SEEN] * 50).splitlines()) == 1


def test_quiet_json_tells_no_event() -> None:
    assert told(Options(json=True, quiet=True), SEEN, Warned("changed", "/a", "it changed")) == ""


def test_progress_in_words() -> None:
    pace = Pace()
    pace.add(0, 0)
    pace.add(2, 2048)
    assert progress_words(SEEN, pace) == [
        "3 of 6 files",
        "2.00 KiB of 4.00 KiB",
        "1.00 KiB new",
        "1.00 KiB/s",
        "2 s left",
    ]
    assert progress_words(Progress("levels", 7, 0), Pace()) == ["7 entries"]
    assert progress_words(Progress("packs", 1, 0, total_files=1), Pace()) == ["1 of 1 pack"]


def test_plain_lines_come_every_few_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told(Options(), *[SEEN] * 50)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(module, "LINE_SECONDS", 0.0)
    told(Options(), SEEN)
    assert capsys.readouterr().err == "backup: 3 of 6 files, 2.00 KiB of 4.00 KiB, 1.00 KiB new\n"


@pytest.mark.parametrize("quiet", [True, False])
def test_warnings_are_told_at_the_end_and_capped(capsys: pytest.CaptureFixture[str], quiet: bool) -> None:
    warnings = [Warned("changed", f"/{number}\n", "it changed") for number in range(KEPT_WARNINGS + 5)]
    with make_reporter(Options(quiet=quiet)) as reporter:
        for warned in warnings:
            reporter.report(warned)
        assert capsys.readouterr().err == ""
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "warning: /0\\n: it changed"
    assert lines[-1] == "warning: and 5 more (--json tells all)"
    assert len(lines) == KEPT_WARNINGS + 1
    assert reporter.warnings.total() == KEPT_WARNINGS + 5


def test_what_cannot_wait_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with make_reporter(Options(), at_once=True) as reporter:
        reporter.report(Warned("damaged", "packs/ab", "it is short"))
        assert capsys.readouterr().err == "warning: packs/ab: it is short\n"
    assert capsys.readouterr().err == ""


DRAW = """
from siltstone.cli.options import Options
from siltstone.cli.reporter import make_reporter
from siltstone.engine import Noted, Progress, Warned

with make_reporter(Options()) as reporter:
    reporter.report(Progress("backup", 3, 2048, 1024, "/srv/\\x1b[31m", 6, 4096))
    reporter.report(Noted("[bold]by the way"))
    reporter.report(Warned("changed", "/a", "it changed"))
"""


def on_a_terminal(program: str) -> str:
    """What a Python program writes on a terminal that is its stderr."""
    terminal, end = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "60", "LINES": "24"}
    with subprocess.Popen([sys.executable, "-c", program], stderr=end, env=environment) as running:
        os.close(end)
        shown = b""
        try:
            while piece := os.read(terminal, 4096):
                shown += piece
        except OSError:  # the terminal is gone with its last process
            pass
        os.close(terminal)
    assert running.returncode == 0, shown
    return shown.decode()


def test_a_terminal_sees_it_live() -> None:
    shown = on_a_terminal(DRAW)
    assert "3 of 6 files, 2.00 KiB of 4.00 KiB" in shown
    assert "50 %" in shown
    assert "/srv/\\x1b[31m" in shown
    assert "note: [bold]by the way" in shown
    assert shown.rstrip().endswith("warning: /a: it changed")
