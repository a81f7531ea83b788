"""`silt key` as a user meets it: every kind of key against every command, and what is said where it is refused."""

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Silt

PASSPHRASE = "grains laid down in layers"


@pytest.fixture
def store(silt: Silt, make_store: Callable[..., Path], tmp_path: Path) -> Path:
    """A store with one level, opened by a key file from now on (a passphrase costs a tenth of a second)."""
    silt("key", "new", tmp_path / "admin.key")
    made = make_store("--key-file", str(tmp_path / "admin.key"))
    silt.environment |= {"SILT_KEY_FILE": str(tmp_path / "admin.key"), "SILT_PASSPHRASE": ""}
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(b"content")
    silt("backup", tmp_path / "tree", "--name", "t")
    return made


def keys(silt: Silt) -> dict[str, dict[str, object]]:
    return {key["label"]: key for key in json.loads(silt("key", "list", "--json").stdout)}


def test_adding_listing_removing(silt: Silt, store: Path, tmp_path: Path) -> None:
    silt.environment["SILT_NEW_PASSPHRASE"] = "another one"
    silt("key", "add", "--label", "in the safe")
    found = keys(silt)
    assert found.keys() == {"admin.key", "in the safe"}
    assert (found["in the safe"]["kind"], found["in the safe"]["role"]) == ("passphrase", "all")
    assert "in the safe" in silt("key", "list").out
    by_passphrase = {"SILT_KEY_FILE": "", "SILT_PASSPHRASE": "another one"}
    other = Silt(silt.environment | by_passphrase)
    assert other("cat", "latest", tmp_path / "tree" / "file").stdout == b"content"
    key_id = str(found["in the safe"]["id"])
    assert "would be removed" in silt("key", "remove", key_id, "--dry-run").out
    said = silt("key", "remove", key_id[:10]).out
    assert "was removed" in said
    assert "until 'silt key rotate'" in said
    assert "opens none of its keys" in other("list", code=5).err
    assert "last key" not in silt("key", "remove", str(found["admin.key"]["id"]), code=1).out


def test_changing_the_passphrase(silt: Silt, make_store: Callable[..., Path]) -> None:
    make_store()
    silt.environment["SILT_NEW_PASSPHRASE"] = "a better one"
    silt("key", "change")
    silt("list", code=5)
    silt.environment["SILT_PASSPHRASE"] = "a better one"
    silt("list")
    assert len(keys(silt)) == 1


def test_rotating(silt: Silt, store: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        silt("key", "new", tmp_path / name)
        silt("key", "add", "--new-key-file", tmp_path / name)
    would = silt("key", "rotate", "--also", tmp_path / "one", "--dry-run", "--json").result
    assert (len(would["renewed"]), len(would["outdated"]), would["generation"]) == (2, 1, 1)
    said = silt("key", "rotate", "--also", tmp_path / "one").out
    assert "2 keys are renewed" in said
    assert "(two) are outdated" in said
    assert [key["outdated"] for _, key in sorted(keys(silt).items())] == [False, False, True]
    (tmp_path / "tree" / "file").write_bytes(b"later")
    silt("backup", tmp_path / "tree", "--name", "t")
    one, two = (Silt(silt.environment | {"SILT_KEY_FILE": str(tmp_path / name)}) for name in ("one", "two"))
    assert one("cat", "0/1", tmp_path / "tree" / "file").stdout == b"later"
    assert two("cat", "0/0", tmp_path / "tree" / "file").stdout == b"content"
    assert "newer than this key" in two("cat", "0/1", tmp_path / "tree" / "file", code=5).err


def test_an_outdated_key_backs_up_and_says_that_it_is(silt: Silt, store: Path, tmp_path: Path) -> None:
    silt("key", "new", tmp_path / "two")
    silt("key", "add", "--new-key-file", tmp_path / "two")
    silt("key", "rotate")
    two = Silt(silt.environment | {"SILT_KEY_FILE": str(tmp_path / "two")})
    assert "outdated" in two("backup", tmp_path / "tree", "--name", "other", code=3).err
    assert silt("cat", "other:latest", tmp_path / "tree" / "file").stdout == b"content"


def test_a_recovery_copy_opens_a_store_that_lost_keys_and_config(silt: Silt, store: Path, tmp_path: Path) -> None:
    copy = tmp_path / "recovery.txt"
    silt.environment["SILT_NEW_PASSPHRASE"] = "for the safe"
    silt("key", "export", copy, "--passphrase")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert len(copy.read_text()) < 1200  # a page, with room
    assert "never overwritten" in silt("key", "export", copy, "--passphrase", code=2).err
    (store / "config").unlink()
    for key in (store / "keys").iterdir():
        key.unlink()
    recovery = Silt(silt.environment | {"SILT_KEY_FILE": str(copy), "SILT_PASSPHRASE": "for the safe"})
    recovery.environment.pop("SILT_KEY_FILE")
    recovery("--key-file", copy, "repair", "--yes")
    assert recovery("cat", "latest", tmp_path / "tree" / "file").stdout == b"content"
    wrong = Silt(recovery.environment | {"SILT_PASSPHRASE": "guessed"})
    assert "does not open" in wrong("--key-file", copy, "list", code=5).err


class TestKinds:
    """Every command against a key that only writes, and one that only reads."""

    @pytest.fixture
    def writer(self, silt: Silt, store: Path, tmp_path: Path) -> Silt:
        silt("key", "export", "--write-only", tmp_path / "writer.key")
        state = {"SILT_KEY_FILE": str(tmp_path / "writer.key"), "XDG_STATE_HOME": str(tmp_path / "state")}
        return Silt(silt.environment | state)

    @pytest.fixture
    def reader(self, silt: Silt, store: Path, tmp_path: Path) -> Silt:
        silt("key", "new", tmp_path / "reader.key")
        silt("key", "add", "--new-key-file", tmp_path / "reader.key", "--read-only")
        return Silt(silt.environment | {"SILT_KEY_FILE": str(tmp_path / "reader.key")})

    def test_one_that_writes_reads_nothing(self, writer: Silt) -> None:
        for command in (
            "restore latest --to out",
            "ls latest",
            "cat latest file",
            "find file",
            "tar latest",
            "diff 0/0 latest",
            "show latest",
            "verify",
            "verify --read-data all",
            "repair",
            "status",
            "forget 0",
            "gc",
            "undelete 0/0",
            "unpin 0/0",
            "key add",
            "key remove 0",
            "key change",
            "key rotate",
            "key export out",
        ):
            refused = writer(*command.split(), code=5)
            assert not refused.out, command
            assert "adds backups" in refused.err, command
            assert "hint: " in refused.err, command

    def test_one_that_writes_lists_names(self, writer: Silt) -> None:
        said = writer("list").out
        assert "0/0" in said
        assert "t_backup_group_0_level_0.tar" in said
        (level,) = json.loads(writer("list", "--json").stdout)
        assert (level["deployment"], level["group"], level["level"], level["sealed"]) == ("t", 0, 0, True)

    def test_one_that_reads_changes_nothing(self, reader: Silt) -> None:
        for command in ("backup .", "repair", "forget 0", "gc", "pin 0/0", "key add", "key rotate", "key export out"):
            assert "changes nothing" in reader(*command.split(), code=5).err, command

    def test_one_that_reads_reads(self, reader: Silt, store: Path, tmp_path: Path) -> None:
        assert reader("cat", "latest", tmp_path / "tree" / "file").stdout == b"content"
        before = {path for path in store.rglob("*") if path.is_file()}
        assert "is not remembered" in reader("verify", "--read-data", "all").err
        assert {path for path in store.rglob("*") if path.is_file()} == before
        reader("restore", "latest", "--to", tmp_path / "out")


def test_a_key_is_of_one_kind(silt: Silt, store: Path) -> None:
    assert "leave one" in silt("key", "add", "--write-only", "--read-only", code=2).err


def test_without_encryption_there_are_no_keys(silt: Silt, make_store: Callable[..., Path]) -> None:
    make_store("--no-encryption")
    silt.environment["SILT_PASSPHRASE"] = ""
    assert "no keys" in silt("key", "list").out
    assert "no keys" in silt("key", "add", code=1).err
