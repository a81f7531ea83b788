"""The days of a whole deployment are measured, tiny and without peers but tar, and what was restored is compared.

Rule: as in test_bench_pg.py, whose servers these are. No figure is judged, only that each is there.
"""

import re
from pathlib import Path

import pytest

from bench import days
from bench.__main__ import main
from bench.appliance import Appliance
from bench.day_table import DayTable
from bench.day_ways import TAR, FileTurn
from bench.measure import stored_bytes
from bench.picture import take_picture

TINY = 0.0001


def test_two_days_are_measured(server_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(days, "backrest", lambda _: None)
    monkeypatch.setattr(days, "file_ways", lambda _: [TAR])
    daily = days.measure_days(server_folder, TINY, 2, 0.1, None)
    assert {(each.part, each.day) for each in daily.figures} == {
        (part, day) for part in ("silt", "tar") for day in (0, 1, -1)
    }
    assert all(each.wall > 0 and each.store > 0 for each in daily.figures)
    assert daily.files > 0 < daily.database
    lines = DayTable(daily).lines()
    assert any(re.fullmatch(r"\| an incremental day, median \| \d+\.\d\d \(\d+\.\d\d\) \|", line) for line in lines)


class TestAppliance:
    """Files and their days."""

    def test_the_same_scale_gives_the_same_files(self, tmp_path: Path) -> None:
        pictures = []
        for name in ("one", "two"):
            appliance = Appliance(tmp_path / name)
            appliance.make(TINY)
            appliance.pass_day(1, 0.1)
            seen = take_picture(bytes(tmp_path / name))
            pictures.append({path: (each.size, each.content) for path, each in seen.items()})
        assert pictures[0] == pictures[1]

    def test_a_day_changes_adds_and_removes(self, tmp_path: Path) -> None:
        appliance = Appliance(tmp_path)
        appliance.make(2 * TINY)
        before = take_picture(bytes(tmp_path))
        appliance.pass_day(1, 0.3)
        after = take_picture(bytes(tmp_path))
        assert before.keys() - after.keys()
        assert after.keys() - before.keys()
        assert [path for path in before.keys() & after.keys() if before[path].content != after[path].content]


def test_a_group_too_many_goes(tmp_path: Path) -> None:
    for folder in ("opt/phantom", "etc", "var"):
        (tmp_path / "top" / folder).mkdir(parents=True)
    turn = FileTurn(TAR, tmp_path / "tar", tmp_path / "top")
    turn.prepare()
    for full in (True, False, True, True, True, False):
        turn.backup(full=full)
    names = sorted(path.name for path in turn.store.iterdir())
    assert names == ["1.0.tar", "2.0.tar", "3.0.tar", "3.1.tar"]
    assert stored_bytes(turn.store) > 0
    turn.restore(tmp_path / "restored")
    assert (tmp_path / "restored/opt/phantom").is_dir()


def test_archives_are_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = tmp_path / "performance.md"
    assert main(["tar", "--scale", str(TINY), "--repetitions", "1", "--write", str(document)]) == 0
    rows = re.findall(r"\| (.*) \| \d+\.\d\d \(\d+\.\d\d\) \| \d+ \| \d+ \| \d+ \|", document.read_text())
    assert rows == ["export", "import, contents known", "import, all new", "export of an import"]
    assert "CPU s" in capsys.readouterr().out
