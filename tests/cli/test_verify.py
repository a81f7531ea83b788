"""`silt verify`: what it says of a whole store and of a damaged one."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Silt


@pytest.fixture
def store(tmp_path: Path, silt: Silt, make_store: Callable[..., Path]) -> Path:
    """A store with level 0/0 of 'app': a file of 3 MiB that does not compress."""
    place = make_store()
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "large").write_bytes(os.urandom(3 << 20))
    (tmp_path / "tree" / "small").write_text("small\n")
    silt("backup", tmp_path / "tree", "--name", "app")
    return place


@pytest.fixture
def damaged_pack(store: Path) -> Path:
    """The largest pack, with one byte changed in a frame of the large file."""
    pack = max((path for path in (store / "packs").rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    pack.chmod(0o600)
    with pack.open("r+b") as file:
        file.seek(1 << 20)
        (byte,) = file.read(1)
        file.seek(1 << 20)
        file.write(bytes([byte ^ 1]))
    return pack


def test_a_whole_store(silt: Silt, store: Path) -> None:
    ran = silt("verify")
    assert ran.out.startswith("no damage found\n")
    assert "levels    1 with 3 entries\n" in ran.out
    assert "read      none\n" in ran.out
    result = silt("verify", "--read-data", "all", "--json").result
    assert (result["damaged"], result["levels"], result["entries"]) == ([], 1, 3)
    assert result["packs_read"] == result["packs"] > 0
    assert result["coverage"]["share"] == 1


def test_damage_is_named_with_its_files(silt: Silt, damaged_pack: Path, tmp_path: Path) -> None:
    assert silt("verify").out.startswith("no damage found\n")  # the structure is whole
    ran = silt("verify", "--read-data", "all", code=4)
    assert ran.out.startswith("1 damaged object\n")
    assert f"damaged: packs/{damaged_pack.name[:2]}/{damaged_pack.name}: " in ran.out
    assert "  app:0/0: 1 path\n" in ran.out
    assert ran.out.count(damaged_pack.name) == ran.err.count(damaged_pack.name) == 1
    assert f"    {tmp_path}/tree/large\n" in ran.out
    assert f"warning: packs/{damaged_pack.name[:2]}/{damaged_pack.name}: " in ran.err
    (damage,) = silt("verify", "--read-data", "all", "--json", code=4).result["damaged"]
    assert damage["object"] == f"packs/{damaged_pack.name[:2]}/{damaged_pack.name}"
    assert damage["levels"] == {"app:0/0": [{"path": f"{tmp_path}/tree/large"}]}
    assert damage["chunks"] >= 1


def test_quiet_still_tells_of_damage(silt: Silt, damaged_pack: Path) -> None:
    ran = silt("verify", "--read-data", "all", "--quiet", code=4)
    assert ran.out.startswith(f"damaged: packs/{damaged_pack.name[:2]}/{damaged_pack.name}: ")


def test_a_missing_pack(silt: Silt, damaged_pack: Path) -> None:
    damaged_pack.unlink()  # and the manifest was in it
    ran = silt("verify", code=4)
    assert damaged_pack.name in ran.out
    assert "  app:0/0: 3 entries of file set files cannot be listed any more\n" in ran.out
    (damage,) = silt("verify", "--json", code=4).result["damaged"]
    assert damage["unlisted"]["app:0/0"][0]["entries"] == 3


def test_no_chunk_is_said_to_be_lost_with_a_root(silt: Silt, store: Path) -> None:
    root = store / "backups" / "app" / "0" / "0"
    root.chmod(0o600)
    root.write_bytes(b"damage")
    ran = silt("verify", code=4)
    assert "damaged: backups/app/0/0: " in ran.out
    assert " lost" not in ran.out


def test_a_budget_that_is_none(silt: Silt, store: Path) -> None:
    assert "is no amount of data to read" in silt("verify", "--read-data", "much", code=2).err
