"""Restores over what is there: in place, into a folder that holds something, and after an interruption."""

import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from siltstone.store import Store
from siltstone.store.directory import DirectoryBackend
from tests.backed_up import KEY, back_up, copied, new_store, reopened
from tests.restoring import leftovers, put_back
from tests.store.backends import MemoryBackend
from tests.trees import difference, make_tree
from tests.unprivileged import needs_root


@pytest.fixture
def store() -> Store:
    return new_store()


def copy_of(tree: Path) -> Path:
    """A copy beside a tree, to compare with later."""
    copy = tree.with_name(f"{tree.name} as it was")
    subprocess.run(["cp", "-a", tree, copy], check=True)
    return copy


class CountingBackend(MemoryBackend):
    """Counts bytes of packs that are read."""

    def __init__(self, like: MemoryBackend) -> None:
        super().__init__()
        self.objects = like.objects
        self.bytes_read = 0

    def read(self, name: str, offset: int, room: memoryview) -> memoryview:
        self.bytes_read += len(room)
        return super().read(name, offset, room)


class TestInPlace:
    """What differs is put right, what does not is not touched, and what the level does not know stays."""

    @pytest.fixture
    def tree(self, tmp_path: Path) -> Path:
        tree = tmp_path / "tree"
        for folder in ("a/deeper", "b", "empty"):
            (tree / folder).mkdir(parents=True)
        for number in range(40):
            (tree / "a" / f"{number}").write_bytes(os.urandom(1000 + number))
        (tree / "a" / "deeper" / "large").write_bytes(os.urandom(4_000_000))
        (tree / "b" / "link").symlink_to("../a/1")
        os.link(tree / "a" / "2", tree / "b" / "two")
        return tree

    def test_nothing_to_do(self, store: Store, tree: Path) -> None:
        level, copy = back_up(store, tree), copy_of(tree)
        inodes = {path: (path.lstat().st_ino, path.lstat().st_ctime_ns) for path in tree.rglob("*") if path.is_file()}
        result = put_back(store, level, None, verify=True)
        assert (result.written_bytes, result.failures, result.problems) == (0, (), ())
        assert result.unchanged_files >= 40
        assert not difference(tree, copy)
        assert inodes == {path: (path.lstat().st_ino, path.lstat().st_ctime_ns) for path in inodes}

    def test_everything_wrong_at_once(self, store: Store, tree: Path) -> None:
        level, copy = back_up(store, tree), copy_of(tree)
        (tree / "a" / "0").unlink()
        (tree / "a" / "1").write_bytes(b"other content")
        same_size_and_time = (tree / "a" / "3").stat()
        (tree / "a" / "3").write_bytes(bytes(same_size_and_time.st_size))
        os.utime(tree / "a" / "3", ns=(0, same_size_and_time.st_mtime_ns))
        (tree / "a" / "4").chmod(0o600)
        os.utime(tree / "a" / "5", ns=(0, 0))
        (tree / "a" / "6").unlink()
        (tree / "a" / "6").symlink_to("/etc/passwd")
        (tree / "a" / "7").unlink()
        (tree / "a" / "7").mkdir()
        (tree / "b" / "link").unlink()
        (tree / "b" / "link").write_bytes(b"no link any more")
        (tree / "b" / "two").unlink()
        (tree / "b" / "two").write_bytes((tree / "a" / "2").read_bytes())
        (tree / "empty").rmdir()
        (tree / "empty").write_bytes(b"a file where a directory was")
        with (tree / "a" / "deeper" / "large").open("r+b") as file:
            file.seek(2_000_000)
            file.write(b"changed in the middle")
        result = put_back(store, level, None, verify=True)
        assert not result.failures
        assert not difference(tree, copy)

    def test_what_the_level_does_not_know_stays(self, store: Store, tree: Path) -> None:
        level = back_up(store, tree)
        (tree / "new").write_bytes(b"new")
        (tree / "b" / "newer").mkdir()
        (tree / "a" / "1").unlink()
        put_back(store, level, None)
        assert (tree / "new").read_bytes() == b"new"
        assert (tree / "b" / "newer").is_dir()
        assert (tree / "a" / "1").stat().st_size == 1001

    def test_only_what_is_missing_is_fetched(self, store: Store, tree: Path) -> None:
        large = tree / "a" / "deeper" / "large"
        large.write_bytes(random.Random(1).randbytes(30_000_000))
        level, copy = back_up(store, tree), copy_of(tree)
        with large.open("r+b") as file:
            file.seek(10_000_000)
            file.write(b"changed")
            file.truncate(29_000_000)
        assert isinstance(store.backend, MemoryBackend)
        backend = CountingBackend(store.backend)
        counting = reopened(backend)
        backend.bytes_read = 0
        result = put_back(counting, level, None)
        assert backend.bytes_read < 5_000_000
        assert result.written_bytes == 30_000_000
        assert not difference(tree, copy)

    def test_a_part_in_place_leaves_the_rest(self, store: Store, tree: Path) -> None:
        level = back_up(store, tree)
        (tree / "a").chmod(0o750)
        for number in (1, 8):
            (tree / "a" / f"{number}").unlink()
        result = put_back(store, level, None, tree / "a" / "8")
        assert result.files == 1
        assert (tree / "a" / "8").exists()
        assert not (tree / "a" / "1").exists()
        assert (tree / "a").stat().st_mode & 0o777 == 0o750

    def test_a_directory_with_something_in_it_is_not_removed_for_a_file(self, store: Store, tree: Path) -> None:
        level = back_up(store, tree)
        (tree / "a" / "1").unlink()
        (tree / "a" / "1").mkdir()
        (tree / "a" / "1" / "precious").touch()
        (tree / "a" / "9").unlink()
        result = put_back(store, level, None)
        assert [path for path, _ in result.failures] == [os.fsencode(tree / "a" / "1")]
        assert (tree / "a" / "1" / "precious").exists()
        assert (tree / "a" / "9").exists()

    def test_links_that_the_level_does_not_have_are_parted(self, store: Store, tree: Path) -> None:
        (tree / "a" / "11").write_bytes((tree / "a" / "10").read_bytes())
        shutil.copystat(tree / "a" / "10", tree / "a" / "11")
        level, copy = back_up(store, tree), copy_of(tree)
        (tree / "a" / "11").unlink()
        os.link(tree / "a" / "10", tree / "a" / "11")
        os.link(tree / "a" / "2", tree / "not of the level")
        put_back(store, level, None)
        (tree / "not of the level").unlink()
        os.utime(tree, ns=(0, copy.stat().st_mtime_ns))
        assert not difference(tree, copy)

    def test_into_another_folder_that_is_not_empty(self, tmp_path: Path, store: Store, tree: Path) -> None:
        level = back_up(store, tree)
        out = tmp_path / "out"
        (out / "a").mkdir(parents=True)
        (out / "a" / "1").write_bytes(b"older")
        (out / "a" / "of mine").write_bytes(b"mine")
        (out / "a" / "2").symlink_to(out / "a" / "of mine")
        (out / "b").symlink_to(tmp_path)
        result = put_back(store, level, out, base=tree)
        assert {path for path, _ in result.failures} >= {os.fsencode(tree / "b")}
        assert not (tmp_path / "link").is_symlink()
        assert (out / "a" / "of mine").read_bytes() == b"mine"
        assert (out / "a" / "1").read_bytes() == (tree / "a" / "1").read_bytes()
        assert not (out / "a" / "2").is_symlink()

    def test_sparse_files_are_compared_by_their_holes(self, store: Store, tree: Path) -> None:
        for name in ("same", "filled", "zeros"):
            with (tree / name).open("wb") as file:
                file.write(b"data")
                file.truncate(20 << 20)
        level, copy = back_up(store, tree), copy_of(tree)
        with (tree / "filled").open("r+b") as file:
            file.seek(10 << 20)
            file.write(b"in the hole")
        (tree / "zeros").write_bytes((copy / "zeros").read_bytes())
        os.utime(tree / "zeros", ns=(0, copy.stat().st_mtime_ns))
        inode = (tree / "same").stat().st_ino
        put_back(store, level, None)
        assert (tree / "same").stat().st_ino == inode
        assert not difference(tree, copy, but=["holes"])
        assert (tree / "filled").stat().st_blocks * 512 < 1 << 20

    @needs_root
    def test_specials(self, store: Store, tree: Path) -> None:
        os.mkfifo(tree / "fifo")
        os.mknod(tree / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        level, copy = back_up(store, tree), copy_of(tree)
        inode = (tree / "null").stat().st_ino
        (tree / "fifo").chmod(0)
        put_back(store, level, None)
        assert (tree / "null").stat().st_ino == inode
        (tree / "null").unlink()
        os.mknod(tree / "null", stat.S_IFCHR | 0o666, os.makedev(1, 5))
        put_back(store, level, None)
        assert not difference(tree, copy)


SCRIPT = """
    import os, signal, sys, threading
    from siltstone.engine import Selection, list_levels, restore_level
    from siltstone.store import KeyFile, Store, open_backend

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    place, out, base, key, calls, seconds = sys.argv[1:]
    store = Store.open(open_backend(place), KeyFile(bytes.fromhex(key)))
    level = list_levels(store)[-1]
    left = int(calls)

    def count(event, arguments):
        global left
        if event.startswith("os.") or event == "open":
            left -= 1
            if not left:
                die()

    sys.addaudithook(count)
    timer = threading.Timer(float(seconds), die)
    timer.daemon = True
    timer.start()
    restore_level(store, level, target=os.fsencode(out), base=os.fsencode(base), selection=Selection(),
            numeric_ids=True,
            report=lambda event: None)
"""


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_moment_and_run_again(tmp_path: Path, store: Store, seed: int) -> None:
    """Nothing that is not whole has its name meanwhile, and in the end all is there and nothing else."""
    tree = tmp_path / "tree"
    make_tree(tree, seed)
    for number in range(3):
        (tree / f"large {number}").write_bytes(os.urandom(4_000_000))
    back_up(store, tree)
    backend = DirectoryBackend(tmp_path / "store", create=True)
    for name, content in copied(store.backend).objects.items():
        backend.put(name, [content])
    rng = random.Random(seed)
    killed = 0
    for _ in range(12):
        calls, seconds = rng.choice([(rng.randrange(1, 400), 9), (0, rng.uniform(0, 0.1))])
        arguments = [
            str(tmp_path / "store"),
            str(tmp_path / "out"),
            str(tree),
            KEY.data.hex(),
            str(calls),
            str(seconds),
        ]
        done = subprocess.run([sys.executable, "-c", textwrap.dedent(SCRIPT), *arguments], capture_output=True)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        killed += done.returncode != 0
        if (tmp_path / "out").exists():
            assert_whole(tree, tmp_path / "out")
    assert killed
    level = back_up(store, tree)
    result = put_back(store, level, tmp_path / "out", base=tree, verify=True)
    assert not result.failures
    assert not [line for line in difference(tree, tmp_path / "out") if "socket" not in line]
    assert not leftovers(tmp_path / "out")


def assert_whole(tree: Path, out: Path) -> None:
    """Every file that has its name has its content."""
    lines = difference(tree, out, but=["owner", "mode", "time", "xattrs", "flags", "links"])
    assert not [line for line in lines if "only in" not in line]
    assert not [line for line in lines if f"only in {out}" in line and ".silt-" not in line]
