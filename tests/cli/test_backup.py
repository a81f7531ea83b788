"""`silt backup`, `list` and `show`: what they say, in words and in JSON, and what their exit codes mean."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Silt


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small tree with a name that is not UTF-8."""
    root = tmp_path / "tree"
    (root / "folder").mkdir(parents=True)
    (root / "a.txt").write_text("one\n")
    (root / "folder" / "b.bin").write_bytes(bytes(range(256)) * 400)
    (root / "link").symlink_to("a.txt")
    (root / os.fsdecode(b"caf\xe9")).write_text("")
    return root


@pytest.fixture(autouse=True)
def store(make_store: Callable[..., Path]) -> Path:
    return make_store()


def test_levels_follow_each_other(silt: Silt, tree: Path) -> None:
    ran = silt("backup", tree, "--name", "app")
    assert ran.out.startswith("app:0/0 (full) app_backup_group_0_level_0.tar\n")
    assert "6 new, 0 changed, 0 unchanged, 0 gone" in ran.out
    (tree / "a.txt").write_text("two\n")
    (tree / "folder" / "b.bin").unlink()
    assert "1 gone" in silt("backup", tree, "--name", "app", "--type", "incr").out
    assert "app:0/2 (diff)" in silt("backup", tree, "--name", "app", "--type", "diff").out
    assert "app:1/0 (full)" in silt("backup", tree, "--name", "app", "--type", "full").out
    listed = silt("list").out.splitlines()
    assert [line.split()[0] for line in listed] == ["LEVEL", "0/0", "0/1", "0/2", "1/0"]
    assert listed[-1].endswith("app_backup_group_1_level_0.tar")


def test_json_names_the_level(silt: Silt, tree: Path) -> None:
    result = silt("backup", tree, "--name", "app", "--json").result
    assert (result["deployment"], result["group"], result["level"]) == ("app", 0, 0)
    assert result["tar"] == "app_backup_group_0_level_0.tar"
    assert (result["kind"], result["parent"], result["dry_run"], result["warnings"]) == ("full", None, False, 0)
    assert result["file_sets"] == [
        {"name": "files", "host": "", "roots": [{"path": str(tree)}], "entries": 6, "files": 3, "bytes": 102404}
    ]
    assert result["stats"]["read_bytes"] == 102404
    (listed,) = json.loads(silt("list", "--json").out)
    assert listed == {**{key: result[key] for key in result.keys() - {"type", "dry_run", "forgotten"}}, "pin": None}
    assert silt("show", "0/0", "--json").result == {"type": "result", **listed, "warned": [], "restores": []}


def test_json_tells_events_before_the_result(silt: Silt, tree: Path) -> None:
    records = silt("backup", tree, "--json").records
    assert {record["type"] for record in records[:-1]} <= {"progress", "note", "warning"}
    assert [record["type"] for record in silt("backup", tree, "--json", "--quiet").records] == ["result"]


def test_quiet_says_nothing(silt: Silt, tree: Path) -> None:
    ran = silt("backup", tree, "--quiet")
    assert (ran.out, ran.err) == ("", "")


def test_a_dry_run_stores_nothing(silt: Silt, tree: Path, store: Path) -> None:
    before = sorted(store.rglob("*"))
    assert "app:0/0 would be app_backup_group_0_level_0.tar" in silt("backup", tree, "--name", "app", "--dry-run").out
    result = silt("backup", tree, "--name", "app", "--dry-run", "--json").result
    assert (result["dry_run"], result["stats"]["new"]) == (True, 6)
    assert sorted(store.rglob("*")) == before
    assert "no backups yet" in silt("list").out


def test_a_file_set_that_is_not_there_is_a_warning(silt: Silt, tree: Path, tmp_path: Path) -> None:
    file, absent = tmp_path / "d.toml", tmp_path / "absent"
    sets = f'[file-sets.data]\npaths = ["{tree}"]\n[file-sets.share]\npaths = ["{absent}"]\n'
    file.write_text(f'name = "app"\n{sets}')
    ran = silt("backup", "-c", file, code=3)
    assert f"warning: {absent}: " in ran.err
    assert "done with 1 warning\n" in ran.out
    assert f"warning: {absent}: " in silt("show", "latest").out
    records = silt("backup", "-c", file, "--json", code=3).records
    (warned,) = [record for record in records if record["type"] == "warning"]
    assert warned["path"] == str(absent)
    assert records[-1]["warnings"] == 1


def test_a_deployment_file(silt: Silt, tree: Path, tmp_path: Path) -> None:
    file = tmp_path / "d.toml"
    file.write_text('name = "app"\nversion = "1"\n[variables]\nAT = "/nowhere"\n[file-sets.data]\npaths = ["$AT"]\n')
    result = silt("backup", "-c", file, "-D", f"AT={tree}", "--json").result
    assert (result["deployment"], result["product_version"]) == ("app", "1")
    assert result["file_sets"][0]["name"] == "data"


def test_excluded_paths_are_left_out(silt: Silt, tree: Path) -> None:
    result = silt("backup", tree, "--exclude", "*.bin", "--exclude", "caf*", "--json").result
    assert result["file_sets"][0]["entries"] == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["backup"], "nothing says what to back up"),
        (["backup", "-c", "d.toml", "/etc"], "-c has no meaning with paths"),
        (["backup", "-c", "d.toml", "--name", "x"], "--name has no meaning without paths"),
        (["backup", "/etc", "--name", "a/b"], "cannot name a deployment"),
        (["backup", "/etc", "--type", "half"], "'half' is not one of"),
        (["backup", "/etc", "--compression", "zstd:20"], "zstd:1 to zstd:19"),
        (["backup", "-c", "absent.toml"], "absent.toml"),
    ],
)
def test_mistakes(silt: Silt, arguments: list[str], words: str) -> None:
    assert words in silt(*arguments, code=2).err


def test_the_deployment_that_lies_here_is_named(silt: Silt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "'silt config new' writes one" in silt("backup", code=2).err
    (tmp_path / "deployment.toml").touch()
    assert "'-c deployment.toml' takes the one here" in silt("backup", code=2).err


def test_another_compression_than_the_store_s(silt: Silt, tree: Path, store: Path) -> None:
    (tree / "even").write_bytes(b"even\n" * 200_000)
    packed = silt("backup", tree, "--name", "app", "--json").result["stats"]["stored_bytes"]
    (tree / "odd").write_bytes(b"odd\n" * 200_000)
    plain = silt("backup", tree, "--name", "app", "--compression", "none", "--json").result["stats"]["stored_bytes"]
    assert packed < 100_000 < 800_000 < plain
    (tree / "more").write_bytes(os.urandom(1000))
    assert " to 1" not in silt("backup", tree, "--name", "app").out  # what does not compress grows by its seal


def test_a_damaged_key_is_no_reason_to_verify(silt: Silt, store: Path) -> None:
    (key,) = (store / "keys").iterdir()
    key.chmod(0o600)
    key.write_bytes(key.read_bytes()[:-1])
    assert "hint: use another key, or put keys/ back from a copy of the store\n" in silt("list", code=4).err


def test_a_level_that_is_not_there(silt: Silt, tree: Path) -> None:
    silt("backup", tree)
    ran = silt("show", "3/1", code=1)
    assert "silt: there is no level 3/1\nhint: " in ran.err


def test_several_deployments_are_told_apart(silt: Silt, tree: Path) -> None:
    for name in ("one", "two"):
        silt("backup", tree, "--name", name)
    listed = silt("list").out
    assert "one:0/0" in listed
    assert "two:0/0" in listed
    assert "one:0/0" not in silt("list", "two").out
    silt("backup", tree, "--name", "two")
    assert "hint: write for example one:0/0\n" in silt("show", "0/0", code=1).err
    assert "hint: write for example two:0/1\n" in silt("show", "0/1", code=1).err
    assert "hint: write for example one:latest\n" in silt("show", "latest", code=1).err
    assert "there is no level 0/2" in silt("show", "0/2", code=1).err
    assert silt("show", "two:latest", "--json").result["deployment"] == "two"


def test_wrong_places_and_wrong_keys(silt: Silt, tree: Path, tmp_path: Path) -> None:
    assert "there is no Siltstone store" in silt("--store", tree, "list", code=6).err
    silt.environment["SILT_PASSPHRASE"] = "wrong"
    assert "opens none" in silt("list", code=5).err
    del silt.environment["SILT_PASSPHRASE"]
    assert "no terminal" in silt("list", code=5).err
    del silt.environment["SILT_STORE"]
    assert "no store was named" in silt("list", code=2).err


def test_a_damaged_root_is_listed(silt: Silt, tree: Path, store: Path) -> None:
    silt("backup", tree, "--name", "app")
    root = store / "backups" / "app" / "0" / "0"
    root.chmod(0o600)
    data = bytearray(root.read_bytes())
    data[-1] ^= 1
    root.write_bytes(data)
    assert "damaged" in silt("list", code=4).out
    assert json.loads(silt("list", "--json", code=4).out)[0]["damage"]


def test_an_interruption(silt: Silt, tree: Path) -> None:
    with (tree / "large").open("wb") as file:
        for _ in range(128):  # MiB: longer than a signal takes
            file.write(os.urandom(1 << 20))
    running = silt.start("backup", tree, "--json", stdout=subprocess.PIPE)
    assert running.stdout is not None
    running.stdout.readline()
    running.send_signal(signal.SIGINT)
    _, error = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "the next backup reuses it" in json.loads(error)["message"]
    assert "no backups yet" in silt("list").out


def test_a_reader_that_goes_away(silt: Silt, tree: Path) -> None:
    silt("backup", tree)
    running = silt.start("list", stdout=subprocess.PIPE)
    assert running.stdout is not None
    running.stdout.close()
    _, error = running.communicate(timeout=60)
    assert (running.returncode, error) == (141, b"")
