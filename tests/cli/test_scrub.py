"""`silt scrub`, without a key; and the options that `silt verify` shares with it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Silt


@pytest.fixture
def store(tmp_path: Path, silt: Silt, make_store: Callable[..., Path]) -> Path:
    """A store whose passphrase `silt` does not find."""
    place = make_store()
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "large").write_bytes(os.urandom(3 << 20))
    silt("backup", tmp_path / "tree", "--name", "app")
    return place


def test_it_needs_no_key(silt: Silt, store: Path) -> None:
    del silt.environment["SILT_PASSPHRASE"]
    assert silt("scrub").out.startswith("no damage found\n")
    result = silt("scrub", "--budget", "none", "--json").result
    assert (result["damaged"], result["packs_read"], result["coverage"]["share"]) == ([], 0, 1)
    pack = next(path for path in (store / "packs").rglob("*") if path.is_file())
    pack.chmod(0o600)
    with pack.open("r+b") as file:
        file.truncate(100)
    name = pack.relative_to(store).as_posix()
    assert f"damaged: {name}: " in silt("scrub", "-q", code=4).out
    (damage,) = silt("scrub", "--json", code=4).result["damaged"]
    assert damage["object"] == name


def test_verify_takes_ages_and_shards(silt: Silt, store: Path) -> None:
    packs = silt("verify", "--json").result["packs"]
    assert silt("verify", "--max-age", "30d", "--json").result["packs_read"] == packs
    assert silt("verify", "--max-age", "30d", "--json").result["packs_read"] == 0
    read = [silt("verify", "--read-data", "all", "--shard", f"{n}/2", "--json").result["packs_read"] for n in (1, 2)]
    assert sum(read) == packs
    assert "is no shard" in silt("verify", "--shard", "3/2", code=2).err
    assert "is no age" in silt("scrub", "--max-age", "soon", code=2).err
