"""`silt protect` without a key, and `silt repair` from parity and from another store."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Silt, packs


@pytest.fixture
def store(tmp_path: Path, silt: Silt, make_store: Callable[..., Path]) -> Path:
    """A store with one level."""
    place = make_store()
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(os.urandom(100_000))
    silt("backup", tmp_path / "tree", "--name", "app")
    return place


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


def test_what_a_backup_stored_since_is_told_until_somebody_covers_it(silt: Silt, store: Path, tmp_path: Path) -> None:
    def figures() -> tuple[str | None, int, int]:
        told = silt("status", "--json").result["store"]
        return told["parity"], told["uncovered"], told["uncovered_bytes"]

    assert figures() == (None, 0, 0)
    silt("protect", "--parity", "2/16")
    assert figures() == ("2/16", 0, 0)
    before = packs(store)
    (tmp_path / "tree" / "new").write_bytes(os.urandom(50_000))
    silt("backup", tmp_path / "tree", "--name", "app")
    new = [path for path in packs(store) if path not in before]
    assert figures() == ("2/16", len(new), sum(path.stat().st_size for path in new))
    shown = silt("status", "--metrics", tmp_path / "silt.prom").out
    assert f"2/16; {len(new)} pack" in shown
    assert "without it until 'silt protect' or 'silt gc'" in shown
    assert f"silt_uncovered_bytes {figures()[2]}\n" in (tmp_path / "silt.prom").read_text()
    silt("gc")
    assert figures() == ("2/16", 0, 0)


def test_from_another_store(silt: Silt, store: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    silt("sync", copy, "--new")
    lost = packs(store)[-1]
    content = lost.read_bytes()
    lost.unlink()
    (remedy,) = silt("repair", "--from", copy, "--yes", "--json").result["remedies"]
    assert (remedy["action"], remedy["done"]) == (f"take it from {copy}", True)
    assert lost.read_bytes() == content
