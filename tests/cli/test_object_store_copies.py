"""`silt sync`, `protect`, `scrub` and `repair` with stores in a bucket, against a real server.

Rule: a pack is deleted behind the back of `silt`, through a connection of the test's own.
"""

from pathlib import Path

import obstore
import pytest

from siltstone.store import make_key_file
from tests.seaweed import shared_seaweed
from tests.tree_difference import difference

from .conftest import Silt
from .test_object_store import make_tree, restored, variables

pytestmark = pytest.mark.slow

MIB = 1 << 20


@pytest.fixture
def there(silt: Silt, tmp_path: Path) -> Silt:
    """`silt` with a store in a bucket that holds a level of two packs and more."""
    (tmp_path / "key").write_text(make_key_file())
    silt.environment |= variables(shared_seaweed(), tmp_path) | {"SILT_KEY_FILE": str(tmp_path / "key")}
    silt("init")
    silt("backup", make_tree(tmp_path / "tree", 40 * MIB), "--name", "t")
    return silt


def lose_a_pack(folder: str) -> str:
    """Delete the first pack of a store; its name."""
    connection = shared_seaweed().connection()
    names = sorted(str(row["path"]) for page in obstore.list(connection, f"{folder}/packs/") for row in page)
    obstore.delete(connection, names[0])
    return names[0].rpartition("/")[2]


def check(silt: Silt, tmp_path: Path) -> None:
    assert "no damage found" in silt("verify", "--read-data", "all").out
    silt("restore", "latest", "--to", tmp_path / "back")
    assert not difference(tmp_path / "tree", restored(tmp_path, tmp_path / "tree"))


def test_a_lost_pack_is_rebuilt_from_parity(there: Silt, tmp_path: Path) -> None:
    result = there("protect", "--parity", "2/16", "--json").result
    assert result["covered"] >= 2
    lost = lose_a_pack(tmp_path.name)
    assert lost in there("scrub", code=4).out
    assert "rebuild it from parity" in there("repair", "--dry-run", code=4).out
    there("repair", "--yes")
    check(there, tmp_path)


def test_a_copy_in_a_bucket_heals_a_store_in_a_bucket(there: Silt, tmp_path: Path) -> None:
    copy = f"s3://trial/{tmp_path.name}-copy"
    assert "1 level copied" in there("sync", copy, "--new").out
    assert there("sync", copy, "--json").result["there"] == 1
    lost = lose_a_pack(tmp_path.name)
    plan = there("repair", "--from", copy, "--dry-run", code=4).out
    assert lost in plan
    assert f"take it from {copy}" in plan
    there("repair", "--from", copy, "--yes")
    check(there, tmp_path)


def test_a_copy_in_a_directory(there: Silt, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    assert "1 level copied" in there("sync", copy, "--new").out
    there.environment["SILT_STORE"] = str(copy)
    check(there, tmp_path)
