"""Large files, links and special files: whole under their names or not at all, with their metadata."""

import os
import resource
import signal
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from siltstone.engine.create import BigFile, create_hardlink, create_special
from siltstone.engine.errors import TargetError
from siltstone.engine.problems import Problems
from siltstone.engine.target import Target
from tests.entries import NUMBERS
from tests.trees import IMMUTABLE, NO_ATIME, require
from tests.unprivileged import folder_of_nobody, needs_root, unprivileged
from tests.writing import descriptors, entry, listing, write_file


class TestBigFiles:
    def test_whole_or_not_at_all(self, ground: Path) -> None:
        require(ground)
        size = 3 << 20
        pieces = [(at, os.urandom(65_536)) for at in range(0, size, 262_144)]
        wanted = entry(mode=0o640, size=size, xattrs={b"user.a": b"1"}, flags=NO_ATIME)
        (ground / "target/big").write_text("the one before")
        problems = Problems()
        with (
            Target(bytes(ground / "target")) as target,
            ThreadPoolExecutor(4) as threads,
            BigFile(target, b"/big", wanted) as file,
        ):
            for job in [threads.submit(file.write, at, memoryview(data)) for at, data in pieces]:
                job.result()
            assert (ground / "target/big").read_text() == "the one before"
            file.finish(NUMBERS, problems)
        content = bytearray(size)
        for at, data in pieces:
            content[at : at + len(data)] = data
        found = (ground / "target/big").stat()
        assert (ground / "target/big").read_bytes() == content
        assert (stat.S_IMODE(found.st_mode), found.st_mtime_ns) == (0o640, wanted.mtime_ns)
        assert found.st_blocks * 512 < size // 2, "what was not written must stay a hole"
        assert not problems
        assert os.listdir(ground / "target") == ["big"]

    @needs_root
    def test_a_lock_is_set_after_the_name(self, ground: Path) -> None:
        problems = Problems()
        for _ in range(2):  # the second time over the locked one
            with (
                Target(bytes(ground / "target")) as target,
                BigFile(target, b"/x", entry(size=1, flags=IMMUTABLE)) as file,
            ):
                file.finish(NUMBERS, problems)
            with pytest.raises(PermissionError):
                (ground / "target/x").write_text("y")
        assert not problems

    def test_abandoned_while_others_write(self, ground: Path) -> None:
        before = descriptors()
        data = bytes(1 << 20)
        with Target(bytes(ground / "target")) as target, ThreadPoolExecutor(4) as threads:
            file = BigFile(target, b"/x", entry(size=64 << 20))
            jobs = [threads.submit(file.write, at << 20, data) for at in range(64)]
            jobs[3].result()
            file.abandon()
            file.abandon()
            refused = [job.exception() for job in jobs]
        assert all(error is None or isinstance(error, TargetError) for error in refused)
        assert (listing(ground / "target"), descriptors()) == ([], before)

    def test_an_error_while_writing_names_the_file_and_leaves_nothing(self, ground: Path) -> None:
        """A limit on the size of files stands for a full disk: a write stops halfway, then fails."""
        before = descriptors()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with Target(bytes(ground / "target")) as target:
            file = BigFile(target, b"/x", entry(size=1 << 20))
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
            try:
                with pytest.raises(OSError, match="target/x"), file:
                    file.write(0, bytes(1 << 20))
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)
                signal.signal(signal.SIGXFSZ, handler)
        assert (listing(ground / "target"), descriptors()) == ([], before)

    def test_an_obstacle_found_at_the_end_leaves_nothing(self, ground: Path) -> None:
        before = descriptors()
        with Target(bytes(ground / "target")) as target:
            (ground / "target/x/y").mkdir(parents=True)
            with pytest.raises(TargetError), BigFile(target, b"/x", entry(size=1)) as file:
                file.finish(NUMBERS, Problems())
        assert (listing(ground / "target"), descriptors()) == (["x", "x/y"], before)


class TestLinksAndSpecialFiles:
    def test_hard_links_of_files_symlinks_and_fifos(self, ground: Path) -> None:
        problems = Problems()
        for _ in range(2):  # the second time over the result of the first
            with Target(bytes(ground / "target")) as target:
                write_file(target, b"/a/file")
                create_special(target, b"/a/link", entry(stat.S_IFLNK, target=b"../../outside/file"), NUMBERS, problems)
                create_special(target, b"/a/fifo", entry(stat.S_IFIFO), NUMBERS, problems)
                for name in ("file", "link", "fifo") * 2:
                    assert create_hardlink(target, f"/a/{name}".encode(), f"/b/{name}".encode(), problems)
        for name in ("file", "link", "fifo"):
            assert os.path.samestat((ground / "target/a" / name).lstat(), (ground / "target/b" / name).lstat())
            assert (ground / "target/a" / name).lstat().st_nlink == 2
        assert sorted(os.listdir(ground / "target/b")) == ["fifo", "file", "link"]
        assert not problems

    @needs_root
    def test_a_locked_file_gets_its_other_names(self, ground: Path) -> None:
        with Target(bytes(ground / "target")) as target:
            with BigFile(target, b"/first", entry(size=1, flags=IMMUTABLE)) as file:
                file.finish(NUMBERS, Problems())
            assert create_hardlink(target, b"/first", b"/second", Problems())
        assert (ground / "target/second").stat().st_nlink == 2
        with pytest.raises(PermissionError):
            (ground / "target/second").write_text("still locked")

    def test_a_first_name_that_is_missing_is_an_error(self, ground: Path) -> None:
        with Target(bytes(ground / "target")) as target, pytest.raises(FileNotFoundError, match="target/second"):
            create_hardlink(target, b"/first", b"/second", Problems())

    @needs_root
    def test_what_cannot_be_linked_is_a_problem(self, ground: Path) -> None:
        """From /proc into a folder is from one file system to another."""
        problems = Problems()
        with Target(b"/") as target:
            assert not create_hardlink(target, b"/proc/version", bytes(ground / "target/x"), problems)
        assert [problem.kind for problem in problems.listed()] == ["hard link"]
        assert listing(ground / "target") == []

    @pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFLNK])
    def test_over_what_stands_there(self, ground: Path, kind: int) -> None:
        problems = Problems()
        (ground / "target/x").symlink_to(ground / "outside/file")
        with Target(bytes(ground / "target")) as target:
            wanted = entry(kind, mode=0o777, target=b"nowhere")
            assert create_special(target, b"/x", wanted, NUMBERS, problems)
        found = (ground / "target/x").lstat()
        assert (found.st_mode, found.st_mtime_ns) == (kind | 0o777, wanted.mtime_ns)
        assert os.listdir(ground / "target") == ["x"]
        assert not problems

    @needs_root
    @pytest.mark.parametrize("kind", [stat.S_IFCHR, stat.S_IFBLK])
    def test_devices(self, ground: Path, kind: int) -> None:
        problems = Problems()
        rdev = os.makedev(259, 70_000)
        with Target(bytes(ground / "target")) as target:
            assert create_special(target, b"/x", entry(kind, mode=0o604, rdev=rdev, uid=5), NUMBERS, problems)
        found = (ground / "target/x").lstat()
        assert (found.st_mode, found.st_rdev, found.st_uid) == (kind | 0o604, rdev, 5)
        assert not problems

    def test_a_device_without_root_is_a_problem(self) -> None:
        problems = Problems()
        with folder_of_nobody() as folder, unprivileged(), Target(bytes(folder)) as target:
            for name in (b"/a", b"/b"):
                assert not create_special(target, name, entry(stat.S_IFCHR, rdev=259), NUMBERS, problems)
            assert os.listdir(folder) == []
        assert [(problem.kind, problem.count) for problem in problems.listed()] == [("device", 2)]
