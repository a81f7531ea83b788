"""Directories of a target: made right, few at a time, shared by threads, free of what their parents pass on."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from siltstone.engine.create import create_hardlink
from siltstone.engine.entry import HEAD
from siltstone.engine.problems import Problems
from siltstone.engine.target import OPEN_DIRECTORIES, Target
from tests.trees import ACL, NO_ATIME, difference, require, set_flags
from tests.unprivileged import folder_of_nobody, unprivileged
from tests.writing import descriptors, write_file


class TestDirectories:
    def test_made_private_below_the_roots_and_usual_above(self, ground: Path) -> None:
        with Target(bytes(ground / "target"), roots=[b"/above/root"]) as target:
            with target.directory(b"/above/root/below") as made, target.directory(b"/above") as above:
                assert (made.fresh, made.covered, made.path) == (True, True, b"/above/root/below")
                assert (above.fresh, above.covered) == (True, False)
            with target.directory(b"/above/root/below") as again:
                assert again is made
        umask = os.umask(0)
        os.umask(umask)
        modes = [stat.S_IMODE((ground / "target" / name).stat().st_mode) for name in ("above", "above/root/below")]
        assert modes == [0o777 & ~umask, 0o700]

    def test_the_target_itself_and_one_that_is_missing(self, ground: Path) -> None:
        with Target(bytes(ground / "target/new/one")) as target, target.directory(b"/") as top:
            assert not top.fresh
            write_file(target, b"/file")
        assert (ground / "target/new/one/file").read_bytes() == b"restored"

    def test_a_target_that_is_no_directory(self, ground: Path) -> None:
        with pytest.raises(OSError, match="file"):
            Target(bytes(ground / "outside/file"))

    def test_paths_beyond_the_systems_limit(self, ground: Path) -> None:
        path = b"".join(b"/%03d" % number + b"n" * 200 for number in range(41))
        assert len(path) > 2 * os.pathconf("/", "PC_PATH_MAX")
        with Target(bytes(ground / "target")) as target:
            write_file(target, path + b"/file")
            create_hardlink(target, path + b"/file", b"/near", Problems())
        assert (ground / "target/near").stat().st_nlink == 2

    def test_very_many_levels(self, ground: Path) -> None:
        path = b"/d" * 3000
        before = descriptors()
        with Target(bytes(ground / "target")) as target:
            target.directory(path).release()
            assert descriptors() <= before + OPEN_DIRECTORIES + 1
            fd = os.dup(target.directory(path).fd)
        for _ in range(3000):  # too deep for what removes the test's folder
            above = os.open(b"..", os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            os.rmdir(b"d", dir_fd=above)
            fd = above
        os.close(fd)

    def test_few_stay_open_and_those_in_use_stay_valid(self, ground: Path) -> None:
        before = descriptors()
        target = Target(bytes(ground / "target"))
        held = target.directory(b"/held/one")
        for number in range(OPEN_DIRECTORIES + 50):
            target.directory(b"/many/%d" % number).release()
        assert descriptors() <= before + OPEN_DIRECTORIES + 2
        (ground / "target/held/one/file").touch()
        assert os.listdir(held.fd) == ["file"]
        with target.directory(b"/held/one") as again:
            assert again is not held
            target.close()
            assert os.listdir(again.fd) == os.listdir(held.fd) == ["file"]
        held.release()
        assert descriptors() == before

    def test_several_are_had_at_once_but_for_those_that_cannot_be(self, ground: Path) -> None:
        before = descriptors()
        with Target(bytes(ground / "target")) as target:
            write_file(target, b"/file")
            held, refused = target.directories([b"/one", b"/file/below", b"/two/deeper", b"/one"])
            assert list(held) == [b"/one", b"/two/deeper"]
            assert list(refused) == [b"/file/below"]
            target.close()
            assert os.listdir(held[b"/one"].fd) == []
            target.release(held.values())
        assert descriptors() == before

    def test_a_fresh_one_gets_what_its_head_says_or_says_that_it_has_not(self, ground: Path) -> None:
        mine, when = (os.geteuid(), os.getegid()), 10**18 + 7
        with Target(bytes(ground / "target")) as target, target.directory(b"/new") as new:
            assert new.finish(HEAD.pack(stat.S_IFDIR | 0o2751, *mine, 2, 0, when, 0, 1, 0))
            found = os.fstat(new.fd)
            assert (stat.S_IMODE(found.st_mode), found.st_mtime_ns) == (0o2751, when)
            assert not new.finish(HEAD.pack(stat.S_IFDIR | 0o700, 2**32 - 1, 2**32 - 1, 2, 0, when, 0, 1, 0))

    def test_many_threads_share_directories(self, ground: Path) -> None:
        before = descriptors()
        with Target(bytes(ground / "target")) as target, ThreadPoolExecutor(8) as threads:
            jobs = [
                threads.submit(write_file, target, b"/%d/%d/%d" % (n % 7, n % 300, n), b"%d" % n) for n in range(1500)
            ]
            assert [job.result() for job in jobs] == [None] * 1500
        assert descriptors() == before
        written = [path for path in (ground / "target").rglob("*") if path.is_file()]
        assert len(written) == 1500
        assert all(path.read_text() == path.name for path in written)

    def test_nothing_is_inherited(self, ground: Path) -> None:
        """The target has a default ACL, passes on its group and a flag; what is restored below it has none of that."""
        require(ground)
        os.setxattr(ground / "target", "system.posix_acl_default", ACL)
        (ground / "target").chmod(0o2775)
        set_flags(ground / "target", NO_ATIME)
        with Target(bytes(ground / "target")) as target:
            with target.directory(b"/") as top, target.directory(b"/folder/below") as below:
                assert (top.inherits, below.inherits) == (True, False)
            write_file(target, b"/file")
            write_file(target, b"/folder/below/file")
        expected = ground / "expected"
        (expected / "folder/below").mkdir(parents=True)
        for name in ("file", "folder/below/file"):
            (expected / name).write_bytes(b"restored")
        ours = [line for line in difference(ground / "target", expected, but=["time"]) if not line.startswith("b''")]
        assert all(": mode " in line for line in ours), ours

    def test_a_directory_shut_by_its_owner_is_opened_below_a_root_only(self) -> None:
        with folder_of_nobody() as folder, unprivileged():
            for name in ("root/shut", "above/root"):
                (folder / name).mkdir(parents=True)
            for name in ("root/shut", "above"):
                (folder / name).chmod(0)
            with Target(bytes(folder), roots=[b"/root", b"/above/root"]) as target:
                write_file(target, b"/root/shut/file")
                with pytest.raises(PermissionError, match="above"):
                    write_file(target, b"/above/root/file")
            assert stat.S_IMODE((folder / "above").stat().st_mode) == 0
            (folder / "above").chmod(0o700)
            assert (folder / "root/shut/file").read_bytes() == b"restored"
