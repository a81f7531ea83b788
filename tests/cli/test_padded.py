"""A padded store through the commands: parity, scrub, repair, collection, sync to stores that pad or do not."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from siltstone.store.padding import padded_size

from .conftest import Silt, packs


@pytest.fixture
def store(tmp_path: Path, silt: Silt, make_store: Callable[..., Path]) -> Path:
    """A padded store with one level."""
    place = make_store("--pad")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(os.urandom(100_123))
    silt("backup", tmp_path / "tree", "--name", "app")
    return place


def are_padded(store: Path) -> bool:
    return all(padded_size(path.stat().st_size) == path.stat().st_size for path in packs(store))


def test_a_lost_pack_comes_back_from_parity(silt: Silt, store: Path) -> None:
    silt("protect", "--parity", "2/16")
    silt("scrub")
    lost = packs(store)[0]
    content = lost.read_bytes()
    lost.unlink()
    assert "it is missing" in silt("scrub", code=4).out
    silt("repair", "--yes")
    assert lost.read_bytes() == content
    assert are_padded(store)
    silt("gc")
    assert silt("verify", "--read-data", "all").out.startswith("no damage found\n")


@pytest.mark.parametrize("theirs", [["--pad"], []])
def test_sync_to_other_keys(silt: Silt, store: Path, tmp_path: Path, theirs: list[str]) -> None:
    silt("key", "new", tmp_path / "key")
    other = tmp_path / "theirs"
    silt("init", other, "--key-file", tmp_path / "key", *theirs)
    silt("sync", other, "--partner-key-file", tmp_path / "key")
    # What it holds is padded by its own choice, not by that of where it came from.
    assert are_padded(other) == bool(theirs)
    assert are_padded(store)
    opened = ("--store", other, "--key-file", tmp_path / "key")
    silt("restore", *opened, "latest", "--to", tmp_path / "back")
    back = next((tmp_path / "back").rglob("file"))
    assert back.read_bytes() == (tmp_path / "tree" / "file").read_bytes()


def test_a_twin_pads_too(silt: Silt, store: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    silt("sync", copy, "--new")
    assert [path.name for path in packs(copy)] == [path.name for path in packs(store)]
    (tmp_path / "tree" / "file").write_bytes(os.urandom(77_777))
    silt("--store", copy, "backup", tmp_path / "tree", "--name", "app")
    assert are_padded(copy)
