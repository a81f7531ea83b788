"""`silt protect` without a key, and `silt repair` from parity and from another store."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Silt


@pytest.fixture
def store(tmp_path: Path, silt: Silt, make_store: Callable[..., Path]) -> Path:
    """A store with one level."""
    place = make_store()
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(os.urandom(100_000))
    silt("backup", tmp_path / "tree", "--name", "app")
    return place


def packs(store: Path) -> list[Path]:
    return sorted(path for path in (store / "packs").rglob("*") if path.is_file())


def test_from_parity_to_whole(silt: Silt, store: Path) -> None:
    passphrase = silt.environment.pop("SILT_PASSPHRASE")
    assert "say how much" in silt("protect", code=2).err
    assert "at most 256" in silt("protect", "--parity", "250/16", code=2).err
    result = silt("protect", "--parity", "2/16", "--json").result
    assert (result["parity"], result["covered"], result["stripes"]) == ("2/16", len(packs(store)), 1)
    assert silt("protect").out.startswith(f"{len(packs(store))} of {len(packs(store))} pack")
    lost = packs(store)[0]
    content = lost.read_bytes()
    lost.unlink()
    assert "it is missing" in silt("scrub", code=4).out
    silt.environment["SILT_PASSPHRASE"] = passphrase
    plan = silt("repair", "--dry-run", code=4).out
    assert f"{lost.parent.name}/{lost.name}: it is missing\n  will: rebuild it from parity\n" in plan
    silt("repair", "--yes")
    assert lost.read_bytes() == content
    assert silt("protect", "--parity", "none").out == "2 parity objects deleted\n"


def test_from_another_store(silt: Silt, store: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    silt("sync", copy, "--new")
    lost = packs(store)[-1]
    content = lost.read_bytes()
    lost.unlink()
    (remedy,) = silt("repair", "--from", copy, "--yes", "--json").result["remedies"]
    assert (remedy["action"], remedy["done"]) == (f"take it from {copy}", True)
    assert lost.read_bytes() == content
