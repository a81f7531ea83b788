"""Directories that are made hidden: found by their paths here, by nobody else until they are shown."""

import errno
import os
import re
import stat
from pathlib import Path

import pytest

from siltstone.engine.create import create_hardlink
from siltstone.engine.problems import Problems
from siltstone.engine.target import Target
from tests.writing import listing, write_file

HIDDEN = re.compile(r"\.silt-[0-9a-f]{16}-[0-9]+")


@pytest.mark.parametrize("open_directories", [1, 256])
def test_their_paths_mean_them_and_then_they_have_their_names(ground: Path, open_directories: int) -> None:
    with Target(bytes(ground / "target"), open_directories=open_directories) as target:
        for path in (b"/one", b"/one/two", b"/one/two/three"):
            target.hide(path)
            with target.directory(path) as made:
                assert (made.fresh, made.hidden, made.path) == (True, True, path)
        with target.directory(b"/one/open") as made:
            assert not made.hidden
        for path in (b"/one/a", b"/one/two/b", b"/one/two/three/c"):
            write_file(target, path)
            with target.directory(path.rpartition(b"/")[0]) as again:
                assert again.hidden
        assert create_hardlink(target, b"/one/two/three/c", b"/one/d", Problems())
        (name,) = os.listdir(ground / "target")
        assert HIDDEN.fullmatch(name)
        assert [bool(HIDDEN.match(name.rpartition("/")[2])) for name in listing(ground / "target")].count(True) == 3
        assert target.show([b"/one/two", b"/not/there", b"/one/open", b"/one/two"]) == {}
        with target.directory(b"/one/two") as shown, target.directory(b"/one") as above:
            assert (shown.hidden, above.hidden) == (False, True)
        write_file(target, b"/one/two/e")
        target.show_all()
        write_file(target, b"/one/two/three/f")
    inside = ["a", "d", "open", "two", "two/b", "two/e", "two/three", "two/three/c", "two/three/f"]
    assert listing(ground / "target") == ["one", *(f"one/{name}" for name in inside)]


def test_what_was_there_or_lies_above_the_roots_is_not_hidden(ground: Path) -> None:
    (ground / "target/above/root/old").mkdir(parents=True)
    with Target(bytes(ground / "target"), roots=[b"/above/root", b"/new/root"]) as target:
        for path, hidden in ((b"/above/root/old", False), (b"/new", False), (b"/new/root", True)):
            target.hide(path)
            with target.directory(path) as directory:
                assert directory.hidden == hidden


def test_whose_name_a_file_took_meanwhile_stay_hidden_and_are_told_and_into_a_directory_goes_what_lies_in_them(
    ground: Path,
) -> None:
    with Target(bytes(ground / "target")) as target:
        for name in (b"file", b"full", b"empty", b"free"):
            target.hide(b"/" + name)
            write_file(target, b"/" + name + b"/inside")
        (ground / "target/file").touch()
        (ground / "target/full/of something").mkdir(parents=True)
        (ground / "target/empty").mkdir()
        refused = target.show([b"/file", b"/full", b"/empty", b"/free"])
        assert set(refused) == {b"/file"}
        assert str(ground / "target/file") in str(refused[b"/file"])
        write_file(target, b"/file/more")
        write_file(target, b"/full/more")
        assert "file/more" not in listing(ground / "target")
        (ground / "target/file").unlink()
        target.show_all()
    shown = ["empty/inside", "file", "file/inside", "file/more", "free", "free/inside", "full"]
    assert listing(ground / "target") == ["empty", *shown, "full/inside", "full/more", "full/of something"]


def test_where_no_directory_can_be_renamed_what_lies_in_it_is_moved(
    ground: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a share whose server does not rename a directory in which something is open."""
    rename = os.rename

    def refusing(old: bytes, new: bytes, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        if stat.S_ISDIR(os.stat(old, dir_fd=src_dir_fd, follow_symlinks=False).st_mode):
            raise PermissionError(errno.EACCES, "no")
        rename(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    with Target(bytes(ground / "target")) as target:
        for name in (b"/one", b"/two"):
            target.hide(name)
            write_file(target, name + b"/file")
            os.symlink("elsewhere", ground / "target" / os.fsdecode(target._hidden[name]) / "link")
        (ground / "target/two").symlink_to(ground / "outside")
        monkeypatch.setattr(os, "rename", refusing)
        assert set(target.show([b"/one", b"/two"])) == {b"/two"}
        (ground / "target/two").unlink()
        write_file(target, b"/one/more")
        with target.directory(b"/one") as one:
            assert not one.hidden
        monkeypatch.undo()
        target.show_all()
    inside = ["one/file", "one/link", "one/more", "two", "two/file", "two/link"]
    assert listing(ground / "target") == ["one", *inside]
