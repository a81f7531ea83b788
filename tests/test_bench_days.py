"""The days of a whole deployment are measured, tiny and without peers but tar, and what was restored is compared.

Rule: as in test_bench_pg.py, whose servers these are. No figure is judged, only that each is there.
"""

import random
import re
from pathlib import Path

import pytest

from bench import days
from bench.__main__ import main
from bench.appliance import Appliance
from bench.attachments import COPIED, USUAL, WORST, Attachments
from bench.day_table import DayTable
from bench.day_ways import TAR, FileTurn
from bench.measure import stored_bytes
from bench.picture import take_picture

TINY = 0.0001


@pytest.mark.slow
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


class TestAttachments:
    """What mails carry comes again, and no attachment is there twice."""

    def test_as_many_mails_as_said_carry_what_others_did(self) -> None:
        made, chance = Attachments(USUAL), random.Random(3)
        files = [made.make(number, chance, 2000) for number in range(1500)]
        carried = [file.rpartition(b"base64\r\n\r\n")[2] for file in files if file.startswith(b"Message-ID")]
        assert len(set(files)) == len(files)
        assert len(carried) / len(files) == pytest.approx(0.4, abs=0.05)
        assert len(set(carried)) / len(carried) == pytest.approx(1 - COPIED, abs=0.07)

    def test_in_the_worst_mix_nothing_does(self) -> None:
        made, chance = Attachments(WORST), random.Random(3)
        files = [made.make(number, chance, 2000) for number in range(200)]
        assert len(set(files)) == len(files)
        assert not any(file.startswith(b"Message-ID") for file in files)


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
