"""`silt forget`, `undelete`, `pin` and `unpin`: what is said, and what `list` and `show` say after it."""

import json
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from siltstone.cli.main import run
from siltstone.store import Store, open_backend
from tests.backed_up import back_up

from .conftest import Ran, Silt


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store and a tree: groups 0 and 1 of two levels each, of deployment `app`, not encrypted."""
    folder = tmp_path_factory.mktemp("forget")
    store = Store.init(open_backend(str(folder / "store"), create=True), [])
    (folder / "tree").mkdir()
    for number, kind in enumerate(("full", "incr", "full", "incr")):
        (folder / "tree" / "file").write_text(f"{number}\n")
        back_up(store, folder / "tree", name="app", kind=kind)  # type: ignore[arg-type]  # a literal out of a tuple
    return folder


@pytest.fixture
def tree(made: Path, tmp_path: Path, silt: Silt) -> Path:
    """The tree; `silt` uses a copy of the store."""
    shutil.copytree(made / "store", tmp_path / "store")
    silt.environment["SILT_STORE"] = str(tmp_path / "store")
    return made / "tree"


def listed(silt: Silt, *words: str) -> list[str]:
    return [line.split()[0] for line in silt("list", *words).out.splitlines()[1:]]


def test_a_group_goes_and_comes_back(silt: Silt, tree: Path) -> None:
    ran = silt("forget", "0")
    assert ran.out.startswith("2 levels forgotten; 'silt undelete' brings them back until ")
    assert "note: forgot app:0/1: by name" in ran.err
    assert listed(silt) == ["1/0", "1/1"]
    assert listed(silt, "--forgotten") == ["0/0", "0/1"]
    assert "no level 0/1" in silt("cat", "0/1", tree / "file", code=1).err
    assert silt("undelete", "0/1").out == "app:0/1 is back\n"
    assert silt("undelete", "0").out == "app:0/0 is back\napp:0/1 is there already\n"
    assert silt("cat", "0/1", tree / "file").out == "1\n"
    assert silt("list", "--forgotten").out == "nothing that was forgotten can be undeleted\n"


def test_a_dry_run_draws_and_removes_nothing(silt: Silt, tree: Path) -> None:
    drawn = silt("forget", "--keep-groups", "1", "--dry-run").out.splitlines()
    assert drawn[0] == "app: 2 of 4 levels stay"
    assert [line.split()[:2] for line in drawn if line.startswith("  group")] == [["group", "0"], ["group", "1"]]
    assert [line.split()[0] for line in drawn if " goes " in line and "/" in line] == ["0/0", "0/1"]
    assert any("beyond the newest group" in line for line in drawn)
    assert drawn[-1].startswith("Without what goes, ")
    assert listed(silt) == ["0/0", "0/1", "1/0", "1/1"]
    told = silt("forget", "--keep-groups", "1", "-n", "--json").result
    assert [(row["level"], row["stays"]) for row in told["levels"]] == [(0, False), (1, False), (0, True), (1, True)]
    assert told["levels"][0]["reasons"] == ["beyond the newest group"]
    assert told["forgotten"] == []
    assert 0 < sum(row["own_bytes"] for row in told["levels"][:2]) <= told["groups"][0]["own_bytes"]
    assert told["free_bytes"] == told["groups"][0]["own_bytes"]


def test_rules_as_options(silt: Silt, tree: Path) -> None:
    rules = ("--keep-last", "1", "--keep-daily", "2", "--keep-within", "1d", "--minimum-age", "1d")
    assert silt("forget", *rules, "--json").result["forgotten"] == []
    told = silt("forget", "--keep-last", "1", "--deployment", "app", "--json").result
    assert [(row["group"], row["level"]) for row in told["forgotten"]] == [(0, 0), (0, 1), (1, 0)]
    assert "nothing was forgotten" in silt("forget", "--keep-last", "1").out


def test_pins(silt: Silt, tree: Path) -> None:
    assert "silt unpin app:0/1" in silt("pin", "0/1", "--note", "before the move").out
    assert "pinned already" in silt("pin", "0/1", code=1).err
    assert silt("list").out.splitlines()[0].endswith("PINNED")
    assert "before the move" in silt("list").out
    assert "before the move" in silt("show", "0/1").out
    assert silt("show", "0/1", "--json").result["pin"]["note"] == "before the move"
    ran = silt("forget", "0", code=1)
    assert "0/1 is pinned" in ran.err
    assert "hint: 'silt unpin app:0/1' first" in ran.err
    silt("forget", "--keep-groups", "1")
    assert listed(silt) == ["0/1", "1/0", "1/1"]
    assert silt("unpin", "0/1").out == "app:0/1 is not pinned any more\n"
    assert "not pinned" in silt("unpin", "0/1", code=1).err
    assert not silt("list").out.splitlines()[0].endswith("PINNED")


def test_the_deployment_file_says_what_stays(silt: Silt, tree: Path, tmp_path: Path) -> None:
    file = tmp_path / "app.toml"
    file.write_text(f'name = "app"\n[file-sets.files]\npaths = ["{tree}"]\n[retention]\nkeep-groups = 1\n')
    assert "  keep-groups 1\n" in silt("config", "show", file).out
    assert silt("config", "check", file, "--json").result["retention"]["keep_groups"] == 1
    assert "2 of 4 levels stay" in silt("forget", "-c", file, "-n").out
    ran = silt("backup", "-c", file)
    assert "2 levels forgotten, as [retention] says" in ran.out
    assert listed(silt) == ["1/0", "1/1", "1/2"]
    assert silt("backup", "-c", file, "--json").result["forgotten"] == []
    silt.environment["SILT_CONFIG"] = str(tmp_path / "config.toml")
    (tmp_path / "config.toml").write_text('deployment = "app.toml"\n')
    assert silt("forget").out == "nothing was forgotten: all levels stay\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "nothing says what is to be forgotten"),
        (["0", "--keep-last", "1"], 2, "not both"),
        (["--minimum-age", "1d"], 2, "no rule keeps anything"),
        (["--keep-last", "0"], 2, "--keep-last"),
        (["--deployment", "app"], 2, "without --keep options"),
        (["--keep-within", "soon"], 2, "no span of time"),
        (["--keep-last", "1", "--deployment", "none"], 1, "no backup"),
        (["7"], 1, "there is no group 7"),
        (["0/7"], 1, "there is no level 0/7"),
        (["latest"], 1, "names no group and no level"),
    ],
)
def test_mistakes(made: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str) -> None:
    """In this process, which is quicker; nothing is removed, so that the store may be everybody's."""
    assert run(["forget", "--store", str(made / "store"), *words]) == code
    told = capsys.readouterr().err
    assert said in told
    assert "hint: " in told
    assert len(list((made / "store" / "backups" / "app").glob("*/*"))) == 4


def test_a_damaged_level_is_left_and_told(silt: Silt, tree: Path) -> None:
    root = Path(silt.environment["SILT_STORE"]) / "backups/app/1/1"
    content = root.read_bytes()
    root.chmod(0o600)
    root.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    ran = silt("forget", "--keep-last", "1", "--json", code=3)
    assert [(row["group"], row["level"]) for row in ran.result["forgotten"]] == [(0, 0), (0, 1)]
    assert ran.result["levels"][3]["reasons"] == ["damaged: no rule removes it"]


def test_the_settings_say_how_long_it_can_be_undeleted(
    tree: Path, tmp_path: Path, quick: Callable[..., Ran], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is nearest wins: the command line, the file's [retention], the settings."""
    settings, file = tmp_path / "config.toml", tmp_path / "app.toml"
    settings.write_text('undelete_window = "14d"\n')
    monkeypatch.setenv("SILT_CONFIG", str(settings))
    monkeypatch.setenv("SILT_STORE", str(tmp_path / "store"))
    text = f'name = "app"\n[file-sets.all]\npaths = ["{tree}"]\n[retention]\nkeep-last = 2\n'
    file.write_text(text)

    def days(*words: str | Path) -> int:
        quick("forget", *words)
        record, *others = json.loads(quick("list", "--forgotten", "--json").out)
        quick("undelete", *(f"{each['group']}/{each['level']}" for each in (record, *others)))
        gone, until = (datetime.fromisoformat(record[name]) for name in ("forgotten", "until"))
        return (until - gone).days

    assert days("0/1") == 14
    assert days("0/1", "--undelete-window", "3d") == 3
    assert days("-c", file) == 14
    file.write_text(f'{text}undelete-window = "5d"\n')
    assert days("-c", file) == 5
    assert "what goes can be undeleted for 5 days" in quick("config", "show", file).out
    settings.write_text('undelete_window = "soon"\n')
    assert "'soon' is no span of time" in quick("forget", "0/1", code=2).err
