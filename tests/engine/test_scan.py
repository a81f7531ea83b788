"""The scan: everything below the roots, in path order, but for what is excluded or skipped; and nothing stops it."""

import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from siltstone.engine import Event, FileSet, Noted, Warned
from siltstone.engine import scan as module
from siltstone.engine.entry import HEAD, order_key
from siltstone.engine.exclude import CACHE_TAG_NAME, CACHE_TAG_SIGNATURE, SkipRules
from siltstone.engine.files import COMPILED, STAT
from siltstone.engine.scan import Found, Scan, same_device
from tests.moments import nothing_ahead
from tests.trees import make_tree
from tests.unprivileged import folder_of_nobody, needs_root, unprivileged

DEFAULT = SkipRules()
ONE = SkipRules(one_file_system=True)


class Scanned:
    """One scan of some paths: its entries, relative to the folder, and its events."""

    def __init__(
        self, folder: Path, *roots: str, exclude: tuple[str, ...] = (), skip: SkipRules = DEFAULT, store: str = ""
    ) -> None:
        self.events: list[Event] = []
        files = FileSet("files", tuple(os.fsencode(folder / root) for root in roots or ("",)), exclude, skip)
        scan = Scan(files, files.roots(), store, self.events.append)
        self.found: list[Found] = list(scan)
        self.skipped = scan.skipped
        self.paths = [os.fsdecode(os.path.relpath(path, os.fsencode(folder))) for path, _ in self.found]

    @property
    def warned(self) -> list[tuple[str, str]]:
        return [(event.kind, os.path.basename(event.path)) for event in self.events if isinstance(event, Warned)]


def make(folder: Path, *names: str) -> None:
    """Files, and folders where the name ends in a slash, with what is above them."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            (folder / name).mkdir(exist_ok=True)
        else:
            (folder / name).write_text(name)


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Path]:
    """A real mount of another file system, at tree/mnt."""
    place = tmp_path / "tree" / "mnt"
    place.mkdir(parents=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    yield place
    subprocess.run(["umount", place], check=True)


def test_everything_in_path_order(tmp_path: Path) -> None:
    make_tree(tmp_path / "tree", 1)
    found = Scanned(tmp_path / "tree", skip=SkipRules(sockets=False)).found
    paths = [path for path, _ in found]
    assert paths == sorted(paths, key=order_key)
    walked = list(os.walk(os.fsencode(tmp_path / "tree")))  # as far as paths may be long
    listed = {os.path.join(folder, name) for folder, folders, files in walked for name in folders + files}
    assert listed | {os.fsencode(tmp_path / "tree")} == {path for path in paths if len(path) < 4096 or path in listed}
    assert sum(len(path) > 4096 for path in paths) >= 3, "the tree goes deeper than paths may be long"
    for path, seen in found:
        if len(path) < 4000:
            st = os.lstat(path)
            head = (st.st_mode, st.st_uid, st.st_gid, st.st_nlink, st.st_size, st.st_mtime_ns, st.st_ctime_ns)
            assert seen[: HEAD.size] == HEAD.pack(*head, st.st_ino, st.st_rdev)


def test_siblings_that_begin_alike(tmp_path: Path) -> None:
    make(tmp_path, "a/b", "a/b.c/d", "a-b", "a.b/x", "a!", "ab", "a\x01/y")
    expected = [".", "a", "a/b", "a/b.c", "a/b.c/d", "a\x01", "a\x01/y", "a!", "a-b", "a.b", "a.b/x", "ab"]
    assert Scanned(tmp_path).paths == expected


def test_roots_of_every_kind(tmp_path: Path) -> None:
    make(tmp_path, "file", "folder/inside", "elsewhere/not this")
    (tmp_path / "link").symlink_to("elsewhere")
    (tmp_path / "dangling").symlink_to("nowhere")
    os.mkfifo(tmp_path / "fifo")
    scanned = Scanned(tmp_path, "link", "file", "folder", "dangling", "fifo")
    assert scanned.paths == ["dangling", "fifo", "file", "folder", "folder/inside", "link"]
    assert not scanned.warned


def test_what_is_excluded_is_not_entered(tmp_path: Path) -> None:
    make(tmp_path, "keep/a.log", "keep/b", "skip/c", "d.log")
    assert Scanned(tmp_path, exclude=("*.log", "skip/")).paths == [".", "keep", "keep/b"]


def test_a_root_that_vanished_after_it_was_found(tmp_path: Path) -> None:
    files = FileSet("files", (os.fsencode(tmp_path / "here"), os.fsencode(tmp_path / "there")))
    make(tmp_path, "here", "there")
    roots = files.roots()
    (tmp_path / "here").unlink()
    events: list[Event] = []
    found = list(Scan(files, roots, "", events.append))
    assert [path for path, _ in found] == [os.fsencode(tmp_path / "there")]
    assert [type(event) for event in events] == [Warned]


def test_a_folder_that_vanishes_or_turns_into_a_link_while_it_is_scanned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing_ahead(monkeypatch)
    make(tmp_path, "tree/a/x", "tree/b/x", "tree/c/x")
    files = FileSet("files", (os.fsencode(tmp_path / "tree"),))
    events: list[Event] = []
    paths = []
    for found in Scan(files, files.roots(), "", events.append):
        paths.append(os.path.basename(found[0]))
        if found[0].endswith(b"/a"):
            (tmp_path / "tree" / "a").rename(tmp_path / "away")
        if found[0].endswith(b"/b"):
            (tmp_path / "tree" / "b").rename(tmp_path / "b")
            (tmp_path / "tree" / "b").symlink_to(tmp_path / "b")
    assert paths == [b"tree", b"a", b"b", b"c", b"x"], "a link is not followed into what the folder was"
    assert [event.kind for event in events if isinstance(event, Warned)] == ["vanished", "unreadable"]


def test_a_folder_that_lets_nobody_in(tmp_path: Path) -> None:
    with folder_of_nobody() as folder:
        make(folder, "closed/inside", "open/inside")
        (folder / "closed").chmod(0o300)
        try:
            with unprivileged():
                scanned = Scanned(folder)
        finally:
            (folder / "closed").chmod(0o700)
    assert scanned.paths == [".", "closed", "open", "open/inside"]
    assert scanned.warned == [("unreadable", "closed")]


def test_a_folder_whose_entries_cannot_be_examined(tmp_path: Path) -> None:
    with folder_of_nobody() as folder:
        make(folder, "listed/inside", "open")
        (folder / "listed").chmod(0o444)
        try:
            with unprivileged():
                if os.access(folder / "listed" / "inside", os.F_OK, effective_ids=True):
                    pytest.skip("rights do not matter here")
                scanned = Scanned(folder)
        finally:
            (folder / "listed").chmod(0o700)
    assert scanned.paths == [".", "listed", "open"]
    assert scanned.warned == [("unreadable", "inside")]


def test_sockets_are_skipped_unless_they_are_wanted(tmp_path: Path) -> None:
    make(tmp_path, "file")
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(tmp_path, os.O_PATH)
        server.bind(f"/proc/self/fd/{here}/socket")
        os.close(here)
    scanned = Scanned(tmp_path)
    assert (scanned.paths, scanned.skipped, scanned.warned) == ([".", "file"], 1, [])
    assert Scanned(tmp_path, skip=SkipRules(sockets=False)).paths == [".", "file", "socket"]


def test_caches_are_left_out_but_for_their_folder(tmp_path: Path) -> None:
    make(tmp_path, "cache/", "cache/content", "no cache/content", "odd/content", "pipe/content", "link/content")
    tag = os.fsdecode(CACHE_TAG_NAME)
    (tmp_path / "cache" / tag).write_bytes(CACHE_TAG_SIGNATURE + b"\n# a cache")
    (tmp_path / "no cache" / tag).write_bytes(b"Signature: something else")
    (tmp_path / "link" / tag).symlink_to(tmp_path / "cache" / tag)
    os.mkfifo(tmp_path / "pipe" / tag)  # nobody writes into it: who waits for that waits for ever
    (tmp_path / "odd" / tag).mkdir()
    left = Scanned(tmp_path, skip=SkipRules(caches=True))
    everything = Scanned(tmp_path)
    assert set(everything.paths) - set(left.paths) == {"cache/content", f"cache/{tag}"}
    assert left.skipped == 1


def test_files_that_are_still_being_written_are_skipped(tmp_path: Path) -> None:
    make(tmp_path, "old", "new", "future", "film.part", "folder/")
    hour = 3600 * 10**9
    for name, age in (("old", hour), ("future", -10 * hour), ("film.part", hour)):
        os.utime(tmp_path / name, ns=(0, time.time_ns() - age))
    scanned = Scanned(tmp_path, skip=SkipRules(changed_within_ns=60 * 10**9, patterns=("*.part",)))
    assert scanned.paths == [".", "folder", "future", "old"]
    assert scanned.skipped == 2


def test_the_store_inside_the_tree_is_left_out(tmp_path: Path) -> None:
    make(tmp_path, "tree/file", "tree/store/config", "tree/store/packs/00/pack", "tree/z")
    (tmp_path / "other way").symlink_to("tree/store")
    scanned = Scanned(tmp_path / "tree", store=str(tmp_path / "other way"))
    assert scanned.paths == [".", "file", "store", "z"]
    assert [type(event) for event in scanned.events] == [Noted]
    assert "tree/store" in str(scanned.events[0])
    assert "config" in str(Scanned(tmp_path / "tree", store=str(tmp_path / "nothing")).paths)


def test_another_file_system_is_left_out_but_for_its_folder(mount: Path) -> None:
    tree = mount.parent
    make(tree, "a", "mnt/inside", "mnt/folder/more", "z")
    assert Scanned(tree, skip=ONE).paths == [".", "a", "mnt", "z"]
    assert Scanned(tree).paths == [".", "a", "mnt", "mnt/folder", "mnt/folder/more", "mnt/inside", "z"]
    assert Scanned(tree, "mnt", skip=ONE).paths == ["mnt", "mnt/folder", "mnt/folder/more", "mnt/inside"]


def test_another_file_system_that_was_named_is_entered(mount: Path) -> None:
    tree = mount.parent
    make(tree, "a", "mnt/folder/more/deep", "mnt/inside", "z")
    scanned = Scanned(tree, "", "mnt", skip=ONE)
    inside = ["mnt/folder", "mnt/folder/more", "mnt/folder/more/deep", "mnt/inside"]
    assert scanned.paths == [".", "a", "mnt", *inside, "z"]


def test_a_folder_of_another_file_system_that_was_named_is_entered(mount: Path) -> None:
    tree = mount.parent
    make(tree, "a", "mnt/folder/more/deep", "mnt/other/x", "z")
    scanned = Scanned(tree, "", "mnt/folder", skip=ONE)
    assert scanned.paths == [".", "a", "mnt", "mnt/folder", "mnt/folder/more", "mnt/folder/more/deep", "mnt/other", "z"]


@needs_root
def test_which_roots_share_the_device_of_the_store(mount: Path, tmp_path: Path) -> None:
    (mount / "store").mkdir()
    assert not same_device(str(mount / "store"), [os.fsencode(tmp_path)])
    assert same_device(str(mount / "store"), [os.fsencode(tmp_path), os.fsencode(mount)])
    assert not same_device(str(tmp_path / "nowhere"), [os.fsencode(tmp_path)])
    assert not same_device(str(tmp_path), [os.fsencode(tmp_path / "gone")])


@pytest.mark.parametrize("seconds", [2**31, 2**33, -(2**31), 9_300_000_000, 14_000_000_000, -9_300_000_000])
def test_times_that_64_bits_of_nanoseconds_may_not_hold(tmp_path: Path, seconds: int) -> None:
    make(tmp_path, "file")
    os.utime(tmp_path / "file", (seconds, seconds))
    kept = os.stat(tmp_path / "file").st_mtime_ns  # a file system clamps, too
    scanned = Scanned(tmp_path, skip=SkipRules(changed_within_ns=1))
    assert scanned.paths == [".", "file"]
    assert STAT.unpack(scanned.found[1][1])[5] == min(max(kept, -(2**63)), 2**63 - 1)


def test_a_path_that_no_row_can_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path, "folder/inside", "file")
    monkeypatch.setattr(module, "MAX_PATH", len(os.fsencode(tmp_path)) + 6)
    scanned = Scanned(tmp_path)
    assert scanned.paths == [".", "file"]
    assert scanned.warned == [("unreadable", "folder")]


@pytest.mark.skipif(not COMPILED, reason="the plain twin makes a list")
def test_a_folder_of_many_entries_needs_no_memory_of_python(tmp_path: Path) -> None:
    """The listing is compact: 5,000 entries, none of which is an object before its turn."""
    folder = tmp_path / "many"
    folder.mkdir()
    fd = os.open(folder, os.O_RDONLY)
    for number in range(5_000):
        os.mknod(b"%06d" % number, stat.S_IFREG | 0o600, dir_fd=fd)
    os.close(fd)
    files = FileSet("files", (os.fsencode(folder),))
    scan = iter(Scan(files, files.roots(), "", lambda event: None))
    next(scan)
    blocks = sys.getallocatedblocks()
    next(scan)
    assert sys.getallocatedblocks() - blocks < 1000
    assert sum(1 for _ in scan) == 4_999
