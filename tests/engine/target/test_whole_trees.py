"""Whole trees through the parts that a restore is made of: recorded, written below a target, compared by other code."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from siltstone.engine.create import BigFile, create_hardlink, create_special
from siltstone.engine.entry import Entry
from siltstone.engine.metadata import apply_open, capture
from siltstone.engine.problems import Problems
from siltstone.engine.target import Target
from tests.entries import NUMBERS
from tests.trees import ACL, IMMUTABLE, difference, make_tree, remove_tree, set_flags
from tests.unprivileged import FULL_ROOT, folder_of_nobody, needs_root, unprivileged


class Recorded(Struct, frozen=True):
    """An entry and its content: (offset, bytes) of all that is no hole."""

    entry: Entry
    pieces: list[tuple[int, bytes]]


def record(root: Path) -> list[Recorded]:
    """All of a tree in path order, under /tree."""
    parent = os.open(root.parent, os.O_RDONLY)
    try:
        return list(_record(b"/tree", os.fsencode(root.name), parent))
    finally:
        os.close(parent)


def _record(path: bytes, name: bytes, parent: int) -> Iterator[Recorded]:
    found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    xattrs, flags = capture(name, found.st_mode, dir_fd=parent)
    entry = Entry(
        path, found.st_mode, found.st_uid, found.st_gid, found.st_nlink, found.st_size, found.st_mtime_ns,
        found.st_ctime_ns, found.st_ino, found.st_rdev, xattrs=xattrs, flags=flags,
    )  # fmt: skip
    if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
        entry.link = (found.st_dev, found.st_ino)
    if stat.S_ISLNK(found.st_mode):
        entry.target = os.readlink(name, dir_fd=parent)
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        yield Recorded(entry, [])
        return
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=parent)
    try:
        yield Recorded(entry, list(_pieces(fd, found.st_size)) if stat.S_ISREG(found.st_mode) else [])
        if stat.S_ISDIR(found.st_mode):
            for below in sorted(map(os.fsencode, os.listdir(fd))):
                yield from _record(path + b"/" + below, below, fd)
    finally:
        os.close(fd)


def _pieces(fd: int, size: int) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < size:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:  # nothing but a hole to the end
            return
        end = os.lseek(fd, at, os.SEEK_HOLE)
        yield at, os.pread(fd, end - at, at)
        at = end


def write(recorded: list[Recorded], target: Target) -> Problems:
    """Restore all, directories last and deepest first."""
    problems = Problems()
    first: dict[tuple[int, int], bytes] = {}
    for item in recorded:
        entry = item.entry
        if stat.S_ISDIR(entry.mode):
            with target.directory(entry.path) as directory:
                directory.remove_leftovers()
        elif entry.link in first and create_hardlink(target, first[entry.link], entry.path, problems):
            continue
        elif stat.S_ISREG(entry.mode):
            with BigFile(target, entry.path, entry) as file:
                for offset, data in item.pieces:
                    file.write(offset, data)
                file.finish(NUMBERS, problems)
        else:
            create_special(target, entry.path, entry, NUMBERS, problems)
        if entry.link:
            first.setdefault(entry.link, entry.path)
    for item in reversed(recorded):
        if stat.S_ISDIR(item.entry.mode):
            with target.directory(item.entry.path) as directory:
                apply_open(directory.fd, item.entry, NUMBERS, problems)
    return problems


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    """A tree of every kind; it and what is restored to `restored` are removed with all their locks."""
    made = make_tree(tmp_path / "all/tree", seed=7, locks=True)
    if FULL_ROOT:
        assert made >= {"sockets", "devices", "owners"}
    yield tmp_path / "all/tree"
    remove_tree(tmp_path / "all")


def test_every_kind_of_entry_comes_back_and_again_over_itself(tree: Path) -> None:
    recorded = record(tree)
    restored = tree.parent / "restored"
    for _ in range(2):
        with Target(bytes(restored)) as target:
            assert not write(recorded, target)
        assert difference(tree, restored / "tree") == []


def test_in_place_over_what_became_of_it(tree: Path) -> None:
    recorded = record(tree)
    restored = tree.parent / "restored"
    with Target(bytes(restored), roots=[b"/tree"]) as target:
        write(recorded, target)
    there = restored / "tree"
    elsewhere = tree.parent / "elsewhere"
    elsewhere.mkdir()
    for name in (".", "sparse", "links"):
        (there / name).chmod(0o755)  # for those that are not root
    remove_tree(there / "only a folder")
    (there / "only a folder").symlink_to(elsewhere)
    remove_tree(there / "files")
    (there / "files").write_text("a file now")
    (there / "sparse/hole first").unlink()
    (there / "sparse/hole first").mkdir()
    (there / "links/second").unlink()
    (there / "links/second").write_text("linked no more")
    (there / "sparse/zeros").chmod(0o600)
    (there / "sparse/zeros").write_bytes(b"other content")
    os.setxattr(there, "user.extra", b"1")
    os.setxattr(there, "system.posix_acl_default", ACL)
    if FULL_ROOT:
        set_flags(there / "sparse", IMMUTABLE)
    with Target(bytes(restored), roots=[b"/tree"], replace=True) as target:
        assert not write(recorded, target)
    assert difference(tree, there) == []
    assert list(elsewhere.iterdir()) == []


def test_ones_own_tree_without_root() -> None:
    with folder_of_nobody() as folder:
        with unprivileged():
            make_tree(folder / "tree", seed=8)
            for _ in range(2):
                with Target(bytes(folder / "restored")) as target:
                    assert not write(record(folder / "tree"), target)
        assert difference(folder / "tree", folder / "restored/tree") == []
        remove_tree(folder / "tree")
        remove_tree(folder / "restored")


@needs_root
def test_a_tree_of_root_restored_without_root(tree: Path) -> None:
    recorded = record(tree)
    with folder_of_nobody() as folder:
        with unprivileged(), Target(bytes(folder / "restored")) as target:
            problems = write(recorded, target)
        found = difference(tree, folder / "restored/tree", but=["owner", "mode", "xattrs", "flags"])
        remove_tree(folder / "restored")
    assert [line.split(":")[0] for line in found] == ["b'/special/disk'", "b'/special/zero'"]
    kinds = [problem.kind for problem in problems.listed()]
    assert kinds == [
        "device",
        "extended attribute security.*",
        "extended attribute trusted.*",
        "flags (a)",
        "flags (i)",
        "mode",
        "owner",
    ]
