"""`silt repair` as a user meets it: the plan first, then the work, and an exit code that says what is left."""

from collections.abc import Callable
from pathlib import Path

from .conftest import Silt


def test_a_plan_then_the_work(silt: Silt, make_store: Callable[..., Path], tmp_path: Path) -> None:
    store = make_store()
    (tmp_path / "file").write_bytes(b"content")
    silt("backup", tmp_path / "file", "--name", "t")
    before = (store / "config").read_bytes()
    (store / "config").unlink()
    for segment in (store / "index").iterdir():
        segment.unlink()
    silt("list", code=6)
    for arguments in (["--dry-run"], []):  # no terminal to ask on: nothing is done
        said = silt("repair", *arguments, code=4).out
        assert "config: it is missing\n  will: write it anew" in said
        assert "nothing was changed" in said
        assert not (store / "config").exists()
    said = silt("repair", "--yes").out
    assert "2 repairs done, 0 left as found" in said
    assert (store / "config").read_bytes() == before
    assert silt("cat", "latest", tmp_path / "file").stdout == b"content"
    assert "nothing to repair" in silt("repair").out


def test_as_json(silt: Silt, make_store: Callable[..., Path]) -> None:
    store = make_store("--no-encryption")
    del silt.environment["SILT_PASSPHRASE"]
    (store / "config").unlink()
    result = silt("--json", "repair", "--dry-run", code=4).result
    (remedy,) = result["remedies"]
    assert (remedy["object"], remedy["done"], result["dry_run"]) == ("config", False, True)
    (remedy,) = silt("--json", "repair", "--yes").result["remedies"]
    assert remedy["done"]


def test_without_the_right_key_nothing_is_done(silt: Silt, make_store: Callable[..., Path]) -> None:
    store = make_store()
    (store / "config").unlink()
    silt.environment["SILT_PASSPHRASE"] = "another"
    assert "opens none of its keys" in silt("repair", "--yes", code=5).err
    assert not (store / "config").exists()
