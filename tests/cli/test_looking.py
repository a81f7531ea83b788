"""`silt ls`, `find`, `diff`, `cat` and `tar`: what a level holds, in words, in JSON and in bytes."""

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Silt


@pytest.fixture
def tree(tmp_path: Path, silt: Silt, make_store: Callable[..., Path]) -> Path:
    """A small tree of two levels, 0/0 and 0/1: `a.txt` changed, `new` came, `gone` went."""
    make_store()
    root = tmp_path / "tree"
    (root / "ssl").mkdir(parents=True)
    (root / "a.txt").write_text("one\n")
    (root / "gone").write_text("")
    (root / "link").symlink_to("a.txt")
    (root / "ssl" / "ca.pem").write_text("certificate\n")
    (root / os.fsdecode(b"caf\xe9")).write_text("")
    silt("backup", root, "--name", "app")
    (root / "a.txt").write_text("three\n")
    (root / "gone").rename(root / "new")
    silt("backup", root, "--name", "app")
    return root


def test_ls_lists_one_folder(silt: Silt, tree: Path) -> None:
    lines = silt("ls", "0/1", tree).out.splitlines()
    names = [line.split(f"{tree}/", 1)[1] for line in lines]
    assert names == ["a.txt", "caf\\xe9", "link -> a.txt", "new", "ssl"]
    assert lines[0].startswith("-rw")
    assert silt("ls", "0/1").out.endswith(f"{tree}\n")
    assert len(silt("ls", "0/1", tree, "-r").out.splitlines()) == 6
    assert "holds no /absent" in silt("ls", "0/1", "/absent", code=1).err


def test_ls_in_json(silt: Silt, tree: Path) -> None:
    *entries, result = silt("ls", "0/1", tree, "--json").records
    by_path = {entry["path"]: entry for entry in entries}
    assert by_path[f"{tree}/a.txt"] == {
        "type": "entry",
        "host": "",
        "path": f"{tree}/a.txt",
        "kind": "file",
        "mode": f"{(tree / 'a.txt').stat().st_mode & 0o7777:04o}",
        "uid": os.getuid(),
        "gid": os.getgid(),
        "owner": (tree / "a.txt").owner(),
        "group": (tree / "a.txt").group(),
        "size": 6,
        "mtime": by_path[f"{tree}/a.txt"]["mtime"],
        "nlink": 1,
    }
    assert by_path[f"{tree}/caf\ufffd"]["path_hex"] == os.fsencode(tree).hex() + b"/caf\xe9".hex()
    assert by_path[f"{tree}/link"]["target"] == "a.txt"
    assert result == {
        "type": "result",
        "deployment": "app",
        "group": 0,
        "level": 1,
        "tar": "app_backup_group_0_level_1.tar",
        "entries": 5,
    }


def test_find_tells_versions(silt: Silt, tree: Path) -> None:
    lines = silt("find", "*.txt", "*.pem").out.splitlines()
    assert [(line.split()[0], line.rsplit("/", 1)[1]) for line in lines] == [
        ("0/0", "a.txt"),
        ("0/1", "a.txt"),
        ("0/0..0/1", "ca.pem"),
    ]
    (found, result) = silt("find", tree / "a.txt", "--json").records
    assert (found["path"], found["differs"], found["deployment"]) == (f"{tree}/a.txt", True, "app")
    assert [version["size"] for version in found["versions"]] == [4, 6]
    assert found["versions"][1]["levels"] == [{"group": 0, "level": 1, "tar": "app_backup_group_0_level_1.tar"}]
    assert result == {"type": "result", "paths": 1}


def test_find_in_one_level_and_nowhere(silt: Silt, tree: Path) -> None:
    assert silt("find", "gone", "--level", "0/0").out.endswith("/gone\n")
    ran = silt("find", "gone", "--level", "0/1")
    assert (ran.out, ran.err) == ("", "nothing found\n")


def test_diff(silt: Silt, tree: Path) -> None:
    assert silt("diff", "0/0", "0/1").out.splitlines() == [
        f"M {tree} (mtime)",
        f"M {tree}/a.txt (content, mtime)",
        f"- {tree}/gone",
        f"+ {tree}/new",
    ]
    assert silt("diff", "0/1", "latest").out == ""
    *changes, result = silt("diff", "0/0", "0/1", "--json").records
    assert result == {"type": "result", "added": 1, "removed": 1, "changed": 2}
    assert (changes[1]["before"]["size"], changes[1]["after"]["size"]) == (4, 6)
    assert (changes[2]["kind"], changes[2]["after"]) == ("removed", None)


def test_cat(silt: Silt, tree: Path) -> None:
    assert silt("cat", "0/0", tree / "a.txt").stdout == b"one\n"
    assert silt("cat", "0/1", tree / "a.txt").stdout == b"three\n"
    assert silt("cat", "0/1", os.fsencode(tree) + b"/caf\xe9").stdout == b""
    assert "is no file" in silt("cat", "0/1", tree, code=1).err
    assert "holds no" in silt("cat", "0/1", tree / "absent", code=1).err


def test_tar(silt: Silt, tree: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(silt("tar", "0/0").stdout)) as archive:
        member = archive.extractfile(f"{tree}/a.txt".lstrip("/"))
        assert member is not None
        assert member.read() == b"one\n"
        assert len(archive.getnames()) == 7
    with tarfile.open(fileobj=io.BytesIO(silt("tar", "0/1", "*.pem", "--set", "files").stdout)) as archive:
        assert [name.rsplit("/", 1)[1] for name in archive.getnames() if name.endswith(".pem")] == ["ca.pem"]
    ran = silt("tar", "0/1", "*.pem", "*.absent", code=3)
    assert "warning: *.absent: nothing in level 0/1 matches" in ran.err


def test_tar_is_nothing_for_a_terminal(silt: Silt, tree: Path) -> None:
    terminal, end = os.openpty()
    running = silt.start("tar", "0/0", stdout=end)
    os.close(end)
    _, error = running.communicate(timeout=60)
    os.close(terminal)
    assert running.returncode == 2
    assert b"nothing for a terminal" in error


def test_events_stay_out_of_an_archive(silt: Silt, tree: Path) -> None:
    ran = silt("tar", "0/1", "--json")
    with tarfile.open(fileobj=io.BytesIO(ran.stdout)) as archive:
        assert archive.getnames()
    assert all(line.startswith("{") for line in ran.err.splitlines())


def test_a_full_disk_has_its_own_code(silt: Silt, tree: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        running = silt.start("tar", "0/1", stdout=full.fileno())
    _, error = running.communicate(timeout=60)
    assert running.returncode == 7
    assert b"No space left on device" in error
