"""`silt config`: what it writes is right, what it checks is named, what it shows is there."""

import json
from pathlib import Path

import pytest

from siltstone.engine import parse_deployment, starting_file
from siltstone.engine.deployment import Database

from .conftest import Silt


@pytest.mark.parametrize("preset", [[], ["--preset", "phantom"]], ids=["plain", "phantom"])
def test_a_starting_file_is_right(silt: Silt, tmp_path: Path, preset: list[str]) -> None:
    file = tmp_path / "d.toml"
    assert str(file) in silt("config", "new", file, *preset).out
    assert "right; deployment" in silt("config", "check", file).out
    assert "exists already" in silt("config", "new", file, code=2).err
    assert silt("config", "new", *preset, "-").stdout == file.read_bytes()


def test_the_phantom_preset_has_nine_file_sets(silt: Silt, tmp_path: Path) -> None:
    silt("config", "new", tmp_path / "d.toml", "--preset", "phantom")
    (tmp_path / "home" / "apps").mkdir(parents=True)
    ran = silt("config", "show", tmp_path / "d.toml", "-D", f"PHANTOM_HOME={tmp_path / 'home'}", "--json")
    assert len(ran.result["file_sets"]) == 9
    apps = next(row for row in ran.result["file_sets"] if row["name"] == "apps")
    assert apps["found"] == [{"path": str(tmp_path / "home" / "apps")}]
    ran = silt("config", "show", tmp_path / "d.toml", "-D", f"PHANTOM_HOME={tmp_path / 'home'}")
    assert f"  {tmp_path / 'home' / 'apps'}\n" in ran.out
    assert f"  {tmp_path / 'home' / 'scm'}  (not there)\n" in ran.out


def test_mistakes_are_named_by_line_and_key(silt: Silt, tmp_path: Path) -> None:
    file = tmp_path / "d.toml"
    file.write_text('name = "app"\n[file-sets.data]\npaths = ["/srv"]\nexcludes = ["*.tmp"]\n')
    ran = silt("config", "check", file, code=2)
    assert f"{file}:4: file-sets.data.excludes" in ran.err
    assert "hint: " in ran.err
    error = json.loads(silt("config", "check", file, "--json", code=2).err)
    assert error["error"] == "ConfigError"


def test_words_that_are_no_definition(silt: Silt, tmp_path: Path) -> None:
    silt("config", "new", tmp_path / "d.toml")
    assert "-D HOME: this is not NAME=VALUE" in silt("config", "check", tmp_path / "d.toml", "-D", "HOME", code=2).err


def test_rules_are_shown(silt: Silt, tmp_path: Path) -> None:
    file = tmp_path / "d.toml"
    rules = 'one-file-system = true\nskip-caches = true\nskip-changed-within = 90\nskip-patterns = ["*.part"]\n'
    file.write_text(f'name = "app"\n[file-sets.a]\npaths = ["/srv"]\n{rules}[file-sets.b]\npaths = ["/srv"]\n')
    said = silt("config", "show", file).out
    assert "  one file system: " in said
    assert "  skips sockets, caches, files changed within 1 min 30 s, files named *.part\n" in said
    assert said.endswith("  skips sockets\n")
    first, second = silt("config", "show", file, "--json").result["file_sets"]
    assert first["one_file_system"]
    assert first["skip"] == {"sockets": True, "caches": True, "changed_within": 90, "patterns": ["*.part"]}
    assert second["skip"] == {"sockets": True, "caches": False, "changed_within": 0, "patterns": []}


def test_a_file_that_is_not_there(silt: Silt, tmp_path: Path) -> None:
    assert "hint: 'silt config new' writes one" in silt("config", "check", tmp_path / "d.toml", code=2).err


def test_without_a_file(silt: Silt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "hint: name FILE; 'silt config new' writes one\n" in silt("config", "check", code=2).err
    silt("config", "new", tmp_path / "d.toml")
    (tmp_path / "settings.toml").write_text('deployment = "d.toml"')
    silt.environment["SILT_CONFIG"] = str(tmp_path / "settings.toml")
    assert str(tmp_path / "d.toml") in silt("config", "check").out
    silt("config", "new")
    assert silt("config", "check").out.startswith("deployment.toml: right; ")
    assert silt("config", "show").out.startswith("deployment my-deployment\n")


@pytest.mark.parametrize("preset", [None, "phantom"])
def test_the_table_of_a_database_parses_as_it_stands_there(preset: str | None) -> None:
    text = starting_file(preset)
    start = text.index("# [postgres]")
    table = "".join(line.removeprefix("# ") + "\n" for line in text[start:].split("\n\n")[0].splitlines())
    database = parse_deployment(text + table).database
    assert database == Database("host=db.example user=backup", max_rate=51200, mode="auto")
