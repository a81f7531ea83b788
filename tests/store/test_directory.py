"""What is special to a directory as a backend: its files and folders, what is no object, and a root that goes away.

Rule: everything happens on a real folder. What the system refuses is in test_directory_faults.py, real mounts and
several processes are in test_directory_processes.py, power loss is in test_directory_durability.py.
"""

import gc
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from siltstone.store import Backend, BackendError, NotAStore, ObjectInfo, ObjectMissing, open_backend
from siltstone.store.directory import DirectoryBackend
from siltstone.store.durable import DurableFiles

PACK = "packs/ab/abcd"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def backend(root: Path) -> Backend:
    return open_backend(str(root), create=True)


def listed(backend: Backend) -> list[str]:
    return [info.name for info in backend.list("")]


def leave_temporary(root: Path, folder: str, *, age: float) -> Path:
    """What a writer leaves when it is killed."""
    path = root / folder / f".tmp-{len(folder):016x}"
    path.write_bytes(b"half a pa")
    now = path.stat().st_mtime
    os.utime(path, (now, now - age))  # somebody has read it since: access times tell nothing
    return path


class TestOpening:
    def test_it_knows_its_location_as_it_was_named(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        root.mkdir()
        monkeypatch.chdir(root.parent)
        backend = open_backend("store")
        assert backend.location == "store"
        monkeypatch.chdir("/")
        backend.put(PACK, [b"grain"])
        assert (root / PACK).read_bytes() == b"grain"

    def test_a_missing_directory_is_no_store(self, root: Path) -> None:
        with pytest.raises(NotAStore, match="No such file or directory") as caught:
            open_backend(str(root))
        assert "mounted" in caught.value.hint
        assert not root.exists()

    @pytest.mark.parametrize("create", [False, True])
    def test_a_file_is_no_store(self, root: Path, create: bool) -> None:
        root.write_bytes(b"")
        with pytest.raises(NotAStore, match="Not a directory"):
            open_backend(str(root), create=create)

    def test_what_is_missing_above_is_made_too(self, root: Path) -> None:
        open_backend(str(root / "a" / "b"), create=True).put("config", [b"x"])
        assert (root / "a" / "b" / "config").exists()

    def test_a_closed_backend_leaves_no_descriptor(self, backend: Backend, root: Path) -> None:
        def use() -> None:
            another = open_backend(str(root))
            another.put("a", [b"x"])
            another.get("a")
            assert listed(another) == ["a"]
            another.delete("a")
            with pytest.raises(ObjectMissing):
                another.view("a")

        gc.collect()
        before = set(os.listdir("/proc/self/fd"))
        use()
        gc.collect()
        assert set(os.listdir("/proc/self/fd")) <= before


class TestFiles:
    def test_a_store_is_private_whatever_the_umask(self, root: Path) -> None:
        umask = os.umask(0)
        try:
            backend = open_backend(str(root), create=True)
            backend.put(PACK, [b"grain"])
            backend.replace("sessions/s", [b"lease"])
        finally:
            os.umask(umask)
        modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [root, *root.rglob("*")]}
        assert len(modes) == 6
        assert modes == {path: 0o700 if path.is_dir() else 0o600 for path in modes}

    def test_an_object_is_a_plain_file_with_one_link(self, backend: Backend, root: Path) -> None:
        backend.put(PACK, [b"gr", b"ain"])
        assert (root / PACK).read_bytes() == b"grain"
        assert (root / PACK).stat().st_nlink == 1
        assert os.listdir(root / "packs" / "ab") == ["abcd"]

    def test_folders_that_were_tidied_away_are_made_again(self, backend: Backend, root: Path) -> None:
        backend.put(PACK, [b"grain"])
        backend.delete(PACK)
        (root / "packs" / "ab").rmdir()
        (root / "packs").rmdir()
        backend.put(PACK, [b"again"])
        assert backend.get(PACK) == b"again"

    def test_a_folder_may_be_a_link_to_another_disk(self, backend: Backend, root: Path) -> None:
        other = root.parent / "other-disk"
        other.mkdir()
        (root / "packs").symlink_to(other)
        backend.put(PACK, [b"grain"])
        assert (other / "ab" / "abcd").read_bytes() == b"grain"
        assert listed(backend) == [PACK]

    def test_what_bears_no_object_name_is_passed_over(self, backend: Backend, root: Path) -> None:
        backend.put(PACK, [b"grain"])
        for folder in ("lost+found", ".snapshot", ".Trash-1000"):
            (root / folder).mkdir()
            (root / folder / "x").write_bytes(b"")
        (root / ".nfs0001").write_bytes(b"")
        (root / "dangling").symlink_to("nowhere")
        os.mkfifo(root / "pipe")
        leave_temporary(root, "packs/ab", age=0)
        assert listed(backend) == [PACK]
        with pytest.raises(ObjectMissing):
            backend.size("pipe")


class TestStale:
    def test_old_temporaries_go_and_nothing_else(self, backend: Backend, root: Path) -> None:
        backend.put(PACK, [b"grain"])
        old = [leave_temporary(root, folder, age=90000) for folder in ("", "packs", "packs/ab")]
        young = leave_temporary(root, "packs/ab", age=80000).rename(root / "packs" / "ab" / f".tmp-{7:016x}")
        (root / ".tmp-mine").write_bytes(b"not of our making")
        leave_temporary(root, "packs/ab", age=90000)
        os.utime(root / PACK, (0, 0))
        assert backend.remove_stale() == 3
        assert not any(path.exists() for path in old)
        assert young.exists()
        assert (root / ".tmp-mine").exists()
        assert listed(backend) == [PACK]
        assert backend.remove_stale(70000) == 1
        assert backend.remove_stale(-1) == 0

    def test_the_clock_is_the_storage_s(self, backend: Backend, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (root / "packs").mkdir()
        temporary = leave_temporary(root, "packs", age=0)
        monkeypatch.setattr("time.time", lambda: 0.0)
        monkeypatch.setattr("time.time_ns", lambda: 0)
        assert backend.remove_stale(3600) == 0
        assert temporary.exists()


Call = Callable[[Backend], object]
CALLS: dict[str, Call] = {
    "put": lambda backend: backend.put("packs/ab/new", [b"x"]),
    "replace": lambda backend: backend.replace("sessions/s", [b"x"]),
    "delete": lambda backend: backend.delete(PACK),
    "remove stale": lambda backend: backend.remove_stale(),
    "free space": lambda backend: backend.free_space(),
    "list": lambda backend: list(backend.list("")),
    "list a folder": lambda backend: list(backend.list("packs/")),
    "list no folder": lambda backend: list(backend.list("nothing/")),
    "get": lambda backend: backend.get("packs/ab/nothing"),
    "view": lambda backend: backend.view("packs/ab/nothing"),
    "get into": lambda backend: backend.read("packs/ab/nothing", 0, memoryview(bytearray(1))),
    "size": lambda backend: backend.size("packs/ab/nothing"),
}


class TestVanished:
    """A root that is gone is said to be gone; its objects are never called missing, and nothing goes elsewhere."""

    @pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
    def test_the_root_is_gone(self, backend: Backend, root: Path, call: Call) -> None:
        backend.put(PACK, [b"grain"])
        root.rename(root.parent / "away")
        with pytest.raises(BackendError, match=f"the store vanished: {root}: No such file or directory") as caught:
            call(backend)
        assert "mount" in caught.value.hint
        assert DirectoryBackend(root.parent / "away").get(PACK) == b"grain"

    @pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
    def test_another_directory_is_in_its_place(self, backend: Backend, root: Path, call: Call) -> None:
        backend.put(PACK, [b"grain"])
        root.rename(root.parent / "away")
        (root / "packs" / "ab").mkdir(parents=True)
        with pytest.raises(BackendError, match=f"the store vanished: {root}: another directory is in its place"):
            call(backend)
        assert [path for path in root.rglob("*") if path.is_file()] == []
        assert listed(DirectoryBackend(root.parent / "away")) == [PACK]

    def test_the_root_goes_while_it_is_listed(self, backend: Backend, root: Path) -> None:
        for name in ("a/x", "b/x", "c/x"):
            backend.put(name, [b"grain"])
        found = backend.list("")
        assert next(found) == ObjectInfo("a/x", 5)
        root.rename(root.parent / "away")
        with pytest.raises(BackendError, match="vanished"):
            list(found)

    def test_a_folder_that_goes_while_it_is_listed_is_passed_over(self, backend: Backend, root: Path) -> None:
        for name in ("a/x", "b/x", "c/x"):
            backend.put(name, [b"grain"])
        found = backend.list("")
        next(found)
        backend.delete("b/x")
        (root / "b").rmdir()
        assert [info.name for info in found] == ["c/x"]

    def test_an_object_that_goes_while_its_folder_is_read_is_passed_over(
        self, backend: Backend, root: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("a/x", "a/y", "a/z"):
            backend.put(name, [b"grain"])
        entries = DurableFiles.entries

        @contextmanager
        def while_y_goes(files: DurableFiles, folder: str) -> Iterator[Iterator[os.DirEntry[str]]]:
            with entries(files, folder) as found:
                read = sorted(found, key=lambda entry: entry.name != "y")  # y first: the others must still be seen
                if folder == "a/":
                    (root / "a" / "y").unlink()
                yield iter(read)

        monkeypatch.setattr(DurableFiles, "entries", while_y_goes)
        assert listed(backend) == ["a/x", "a/z"]
