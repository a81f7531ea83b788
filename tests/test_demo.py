"""The demonstration runs, tiny, and its judge can tell trees apart: otherwise it would prove nothing."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.demo import flip_a_bit, main
from bench.demo_trees import change_trees, make_trees
from bench.picture import differences, take_picture

CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda tree: (tree / "file").write_bytes(b"otherwise"),
    "one bit, all times kept": lambda tree: keeping_times(tree / "file", flip_a_bit),
    "mtime by a nanosecond": lambda tree: os.utime(tree / "file", ns=(0, (tree / "file").stat().st_mtime_ns + 1)),
    "mode": lambda tree: (tree / "file").chmod(0o601),
    "target": lambda tree: retarget(tree / "soft", "elsewhere"),
    "hard link cut": lambda tree: cut_link(tree / "hard"),
    "deleted": lambda tree: keeping_times(tree, lambda _: (tree / "file").unlink()),
    "added": lambda tree: keeping_times(tree, lambda _: (tree / "more").touch()),
    "folder's time": lambda tree: os.utime(tree, ns=(0, 1)),
}


def keeping_times(path: Path, change: Callable[[Path], object]) -> None:
    times = path.stat()
    change(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def retarget(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


def cut_link(path: Path) -> None:
    """Replace one name of a file by a copy of it, alike in all but that."""
    found, data = path.stat(), path.read_bytes()
    path.unlink()
    path.write_bytes(data)
    path.chmod(found.st_mode)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    root.mkdir()
    (root / "file").write_bytes(b"something")
    (root / "soft").symlink_to("file")
    os.link(root / "file", root / "hard")
    return root


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_the_judge_sees_every_kind_of_change(tree: Path, change: Callable[[Path], object]) -> None:
    before = take_picture(os.fsencode(tree))
    assert not differences(before, take_picture(os.fsencode(tree)))
    change(tree)
    assert differences(before, take_picture(os.fsencode(tree)))


def test_a_day_changes_the_trees(tmp_path: Path) -> None:
    make_trees(tmp_path, tiny=True)
    before = take_picture(os.fsencode(tmp_path))
    change_trees(tmp_path)
    assert len(differences(before, take_picture(os.fsencode(tmp_path)))) > 50


def test_the_demonstration(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code = main(["--tiny", str(tmp_path / "demo")])
    said = capfd.readouterr()
    assert code == 0, said.out + said.err
    assert "Everything came back." in said.out
