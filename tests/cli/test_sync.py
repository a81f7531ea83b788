"""`silt sync`: to a new copy, to a store with other keys, and what it refuses."""

from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Silt


@pytest.fixture
def store(tmp_path: Path, silt: Silt, make_store: Callable[..., Path]) -> Path:
    """A store with two levels."""
    place = make_store()
    (tmp_path / "tree").mkdir()
    for number in range(2):
        (tmp_path / "tree" / "file").write_text(f"{number}\n")
        silt("backup", tmp_path / "tree", "--name", "app")
    return place


def test_a_new_copy(silt: Silt, store: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    assert "No such file" in silt("sync", copy, code=6).err
    assert silt("sync", copy, "--new", "0/0").out.startswith("1 level copied\n")
    result = silt("sync", copy, "--json").result
    assert (result["levels"], result["there"], result["twins"]) == (["backups/app/0/1"], 1, True)
    assert silt("--store", copy, "cat", "0/1", tmp_path / "tree" / "file").out == "1\n"
    assert silt("verify", "--store", copy, "--read-data", "all").out.startswith("no damage found\n")
    assert "there is a store already" in silt("sync", copy, "--new", code=1).err


def test_other_keys(silt: Silt, store: Path, tmp_path: Path) -> None:
    silt("key", "new", tmp_path / "key")
    silt("init", tmp_path / "theirs", "--key-file", tmp_path / "key")
    assert "opens none" in silt("sync", tmp_path / "theirs", code=5).err
    result = silt("sync", tmp_path / "theirs", "--partner-key-file", tmp_path / "key", "--json").result
    assert (len(result["levels"]), result["twins"]) == (2, False)
    silt.environment |= {"SILT_PARTNER_KEY_FILE": str(tmp_path / "key")}
    assert silt("sync", tmp_path / "theirs", "--json").result["there"] == 2
    theirs = silt("--store", tmp_path / "theirs", "--key-file", tmp_path / "key", "cat", "0/0", tmp_path / "tree/file")
    assert theirs.out == "0\n"


def test_what_differs_is_told(silt: Silt, store: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    silt("sync", copy, "--new", "0/0")
    silt("--store", copy, "backup", tmp_path / "tree", "--name", "app")
    ran = silt("sync", copy, code=3)
    assert "warning: backups/app/0/1: " in ran.err
    assert "  differing  app/0/1\n" in ran.out
    assert "there is no group" in silt("sync", copy, "7", code=1).err
