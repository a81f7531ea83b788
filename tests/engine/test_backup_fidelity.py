"""What a backup keeps of trees that hold everything a file system allows, and what it says where it cannot."""

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from siltstone.engine import Warned, back_up, content, entries, list_levels, walk
from siltstone.engine import backup_run as module
from siltstone.engine.entry import order_key
from siltstone.engine.exclude import SkipRules
from siltstone.engine.metadata import MetadataError
from siltstone.engine.restore import restore_level
from siltstone.engine.workers import BUFFER
from tests.backing_up import Place, picture, recorded
from tests.moments import before_small_files_are_read
from tests.trees import difference, make_tree, remove_tree
from tests.unprivileged import needs_root

SOCKETS = SkipRules(sockets=False)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path, skip=SOCKETS)
    place.make_store()
    return place


def restored(place: Place, level: int) -> Path:
    """The tree as a level brings it back."""
    out = place.folder / f"out {level}"
    made = place.levels()[level]
    result = restore_level(place.open(), made, target=os.fsencode(out), report=lambda event: None)
    assert not result.failures
    return out / place.tree.relative_to("/")


@pytest.mark.parametrize("seed", [1, 2])
def test_whole_trees_of_three_levels(place: Place, seed: int) -> None:
    """Each level is compared with the tree of its time, although the later ones read only what changed."""
    states = []
    for number in range(3):
        shutil.rmtree(place.tree) if number == 0 else None
        if number == 0:
            make_tree(place.tree, seed)
        elif number == 1:
            make_tree(place.tree / "more", seed + 10)
        else:
            remove_tree(place.tree / "files")
            (place.tree / "many").rename(place.tree / "moved")
            (place.tree / "files").symlink_to("moved")
        place.level(kind="diff" if number == 2 else "auto")
        assert not place.warned
        states.append(restored(place, number))
        assert difference(place.tree, states[number]) == []
    for number in range(3):
        shutil.rmtree(place.folder / f"out {number}", ignore_errors=True)
    again = [restored(place, number) for number in range(3)]
    assert difference(again[2], place.tree) == []
    assert (again[0] / "files" / "1").exists()
    assert not (again[0] / "more").exists()
    remove_tree(place.tree)


@pytest.fixture
def deep(place: Place) -> Iterator[int]:
    """A folder of the tree, as a descriptor, whose path is longer than the system takes."""
    fd = os.open(place.tree, os.O_RDONLY)
    for number in range(30):
        name = b"%03d" % number + b"x" * 200
        os.mkdir(name, dir_fd=fd)
        above, fd = fd, os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(above)
    yield fd
    os.close(fd)
    remove_tree(place.tree)


def make_below(fd: int, name: str, data: bytes) -> int:
    made = os.open(name, os.O_RDWR | os.O_CREAT, 0o644, dir_fd=fd)
    os.write(made, data)
    return made


def test_what_lies_deeper_than_a_path_may_be_long(place: Place, deep: int) -> None:
    for name, data in (("small", b"s"), ("large", os.urandom(BUFFER + 5)), ("sparse", b"x")):
        file = make_below(deep, name, data)
        if name == "sparse":
            os.truncate(file, 1 << 20)
        os.setxattr(file, "user.note", name.encode())
        os.close(file)
    os.symlink("large", "link", dir_fd=deep)
    os.mkfifo("fifo", dir_fd=deep)
    os.link("small", "small too", src_dir_fd=deep, dst_dir_fd=deep)
    os.mkdir("folder", dir_fd=deep)
    os.setxattr(f"/proc/self/fd/{deep}/folder", "user.note", b"f")
    level = place.level()
    assert not place.warned
    found = {os.path.basename(entry.path): entry for entry in entries(place.open(), level)}
    assert found[b"link"].target == b"large"
    for kept in (b"small", b"large", b"sparse", b"small too"):
        assert found[kept].xattrs == {b"user.note": kept.split()[0]}
    assert found[b"folder"].xattrs == {b"user.note": b"f"}
    assert difference(place.tree, restored(place, 0)) == []
    file = make_below(deep, "large", b"changed")
    os.close(file)
    os.unlink("small", dir_fd=deep)
    level = place.level()
    assert (level.stats["gone"], place.warned) == (1, [])
    assert difference(place.tree, restored(place, 1)) == []


def test_names_that_are_no_text(place: Place) -> None:
    names = [b"\xff", b"caf\xe9", b"new\nline", b"\x1b[31m", "grüße".encode(), b"\x01", b"a\\b", b" ", b"~"]
    top = os.fsencode(place.tree)
    for name in names:
        os.mkdir(top + b"/d" + name)
        Path(os.fsdecode(top + b"/d" + name + b"/f" + name)).write_bytes(name)
        os.symlink(name, top + b"/l" + name)
    level = place.level()
    assert recorded(place.open(), level) == picture(place.tree)
    Path(os.fsdecode(top + b"/d\xff/f\xff")).chmod(0)
    assert not place.warned
    for name in (b"d\xff", b"d\xff/f\xff", b"d\xff/none", b"dcaf"):
        under = top + b"/" + name
        expected = sorted(
            (path for path in picture(place.tree) if path == under or path.startswith(under + b"/")), key=order_key
        )
        assert [entry.path for entry in entries(place.open(), level, under=under)] == expected


@pytest.mark.parametrize("seconds", [-1, -(2**31), 2**33, 9_300_000_000, 15_000_000_000])
@pytest.mark.parametrize("size", [10, BUFFER + 1])
def test_times_beyond_those_that_a_row_can_hold(place: Place, seconds: int, size: int) -> None:
    """They come back as the nearest one that it can; the file is not read again for that."""
    path = place.tree / "file"
    path.write_bytes(b"x" * size)
    os.utime(path, (seconds, seconds))
    level = place.level()
    kept = min(max(path.stat().st_mtime_ns, -(2**63)), 2**63 - 1)
    assert recorded(place.open(), level)[os.fsencode(path)].mtime_ns == kept
    assert place.level().stats["changed"] == 0


@needs_root
def test_devices_keep_their_numbers(place: Place) -> None:
    for name, kind, device in (("c", stat.S_IFCHR, (1, 3)), ("b", stat.S_IFBLK, (259, 70_000))):
        os.mknod(place.tree / name, kind | 0o640, os.makedev(*device))
    assert recorded(place.open(), place.level()) == picture(place.tree)


@pytest.mark.skipif(not os.path.exists("/proc/version"), reason="needs /proc")
def test_what_proc_says_has_no_size(place: Place) -> None:
    """Files whose size is 0 whatever they hold: what is kept fits what the row says, and they are told of."""
    level = place.level(Path("/proc/self/limits"), Path("/proc/version"))
    assert place.warned == [("changed", "/proc/self/limits"), ("changed", "/proc/version")]
    for entry in entries(place.open(), level):
        assert entry.size == sum(extent.length for extent in entry.extents)
    out = place.folder / "out"
    assert not restore_level(place.open(), level, target=os.fsencode(out), report=lambda event: None).failures


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def test_warnings_stand_in_the_root_and_are_capped(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_WARNINGS", 5)
    for number in range(9):
        (place.tree / f"{number}").write_bytes(b"x")
    before_small_files_are_read(monkeypatch, lambda: empty(place.tree))
    made = place.back_up()
    assert made.level is not None
    assert (made.warnings, made.level.stats["warnings"], made.stats["warnings"]) == (9, 9, 9)
    (level,) = list_levels(place.open())
    said = "it vanished, or became something else, before it was read"
    assert list(level.warnings) == [("vanished", place.path(str(number)), said) for number in range(5)]
    assert (level.sets[0].files, level.sets[0].bytes, level.sets[0].entries) == (0, 0, 1)


def test_metadata_that_cannot_be_read_is_told_whatever_it_is_called(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names of attributes are bytes: what Python makes of them is no text that a root could hold."""
    (place.tree / "folder").mkdir()
    monkeypatch.setattr(walk, "probe_directory", lambda path: (1, 0))

    def refuse(*_: object, **__: object) -> None:
        raise MetadataError(f"not all: user.{os.fsdecode(b'caf' + bytes([0xE9]))}", {b"user.\xe9": b"1"}, 0)

    monkeypatch.setattr(content, "capture", refuse)
    level = place.level()
    assert [kind for kind, _ in place.warned] == ["metadata"] * 2
    assert all("caf\\udce9" in message for _, _, message in level.warnings)
    assert [event.message for event in place.events if isinstance(event, Warned)] == [w[2] for w in level.warnings]
    assert all(entry.xattrs == {b"user.\xe9": b"1"} for entry in entries(place.open(), level))


def test_owners_whose_names_are_no_text(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    class Person:
        pw_name = gr_name = os.fsdecode(b"caf\xe9")

    monkeypatch.setattr("pwd.getpwuid", lambda number: Person)
    monkeypatch.setattr("grp.getgrgid", lambda number: Person)
    level = place.level()
    assert (level.owners, level.groups) == ({}, {})


def test_a_path_longer_than_a_row_holds(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some 66,000 bytes deep: left out with a warning, and all above it is there."""
    fd = os.open(place.tree, os.O_RDONLY)
    for _ in range(330):
        os.mkdir(b"y" * 200, dir_fd=fd)
        above, fd = fd, os.open(b"y" * 200, os.O_RDONLY, dir_fd=fd)
        os.close(above)
    os.close(make_below(fd, "bottom", b"down here"))
    os.close(fd)
    try:
        level = back_up(place.open(), place.deployment(), report=place.events.append).level
        assert level is not None
        assert [kind for kind, _ in place.warned] == ["unreadable"]
        (files,) = level.sets
        assert files.entries == 1 + (65_535 - len(os.fsencode(place.tree))) // 201
    finally:
        remove_tree(place.tree)
