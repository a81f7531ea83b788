"""Metadata comes back in full where it may, what cannot come back is counted, and nothing is ever raised for it."""

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from siltstone.engine.flags import LOCKS, SETTABLE, flag_letters, read_flags, write_flags
from siltstone.engine.metadata import MetadataError, apply_open, capture, disinherit, inherits
from siltstone.engine.problems import Problems
from tests.entries import NUMBERS, entry_of, make, put_back, state
from tests.trees import ACL, APPEND_ONLY, CAPABILITY, IMMUTABLE, NO_ATIME, NO_DUMP, remove_tree, require, set_flags
from tests.unprivileged import folder_of_nobody, needs_root, unprivileged

MTIME = 1_234_567_890_123_456_789


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that is removed whatever locks it holds at the end."""
    folder = tmp_path / "folder"
    folder.mkdir()
    require(folder)
    yield folder
    remove_tree(folder)


class TestCapture:
    def test_path_descriptor_and_name_see_the_same(self, folder: Path) -> None:
        file = folder / "file"
        make(file, "file")
        os.setxattr(file, "user.a", b"\0value")
        set_flags(file, NO_DUMP)
        expected = ({b"user.a": b"\0value"}, NO_DUMP)
        mode = file.stat().st_mode
        with file.open("rb") as opened:
            assert capture(opened.fileno(), mode) == expected
        assert capture(bytes(file), mode) == expected
        inside = os.open(folder, os.O_RDONLY)
        assert capture(b"file", mode, dir_fd=inside) == expected
        os.close(inside)

    @needs_root
    @pytest.mark.parametrize("kind", ["symlink", "FIFO", "socket", "device"])
    def test_what_is_no_file_is_not_opened_and_not_followed(self, folder: Path, kind: str) -> None:
        make(folder / "nowhere", "file")
        os.setxattr(folder / "nowhere", "user.of_the_target", b"")
        make(folder / kind, kind)
        os.setxattr(folder / kind, "trusted.own", b"1", follow_symlinks=False)
        assert capture(bytes(folder / kind), (folder / kind).lstat().st_mode) == ({b"trusted.own": b"1"}, 0)

    def test_flags_that_a_file_system_sets_for_itself_are_none(self, folder: Path) -> None:
        fd = os.open(folder, os.O_RDONLY)
        raw = read_flags(fd) or 0
        os.close(fd)
        assert capture(bytes(folder), folder.stat().st_mode)[1] == raw & SETTABLE == 0

    def test_what_vanished_is_said_to_have_vanished(self, folder: Path) -> None:
        with pytest.raises(FileNotFoundError):
            capture(bytes(folder / "gone"), stat.S_IFREG)
        with pytest.raises(FileNotFoundError):
            capture(bytes(folder / "gone"), stat.S_IFLNK)

    def test_a_file_system_without_any_has_none(self) -> None:
        assert capture(b"/proc/self/status", stat.S_IFREG) == ({}, 0)

    def test_what_can_be_read_survives_what_cannot(self) -> None:
        with folder_of_nobody() as folder, unprivileged():
            require(folder)
            file = folder / "file"
            make(file, "file")
            os.setxattr(file, "user.secret", b"1")
            os.setxattr(file, "system.posix_acl_access", ACL)
            file.chmod(0o200)
            kept = os.getxattr(file, "system.posix_acl_access")  # chmod wrote the mask
            with pytest.raises(MetadataError, match=r"user\.secret: Permission denied") as caught:
                capture(bytes(file), stat.S_IFREG)
            assert caught.value.xattrs == {b"system.posix_acl_access": kept}


class TestApply:
    @needs_root
    @pytest.mark.parametrize("kind", ["file", "directory", "symlink", "FIFO", "socket", "device"])
    def test_everything_comes_back_on_every_kind(self, folder: Path, kind: str) -> None:
        first, second = folder / "first", folder / "second"
        for path in (first, second):
            make(path, kind)
        os.chown(first, 1234, 4321, follow_symlinks=False)
        os.setxattr(first, "trusted.t", b"\xff\0", follow_symlinks=False)
        if kind != "symlink":
            os.setxattr(first, "system.posix_acl_access", ACL)
            first.chmod(0o6751 if kind == "file" else 0o1751)
        if kind in ("file", "directory"):
            os.setxattr(first, "user.\udcff", b"")
        if kind == "directory":
            os.setxattr(first, "system.posix_acl_default", ACL)
        if kind == "file":
            os.setxattr(first, "security.capability", CAPABILITY)
        os.utime(first, ns=(0, -MTIME), follow_symlinks=False)
        if kind in ("file", "directory"):
            set_flags(first, IMMUTABLE | NO_DUMP | NO_ATIME)
        assert not put_back(second, entry_of(first))
        assert state(second) == state(first)
        assert second.lstat().st_mtime_ns == -MTIME
        assert not put_back(second, entry_of(first))  # immutable by now, and so to be unlocked first

    def test_what_the_entry_does_not_have_goes_away(self, folder: Path) -> None:
        first, second = folder / "first", folder / "second"
        make(first, "file")
        make(second, "file")
        os.setxattr(second, "user.extra", b"1")
        os.setxattr(second, "system.posix_acl_access", ACL)
        set_flags(second, NO_DUMP)
        assert not put_back(second, entry_of(first))
        assert state(second) == state(first)

    @needs_root
    def test_attributes_that_may_be_the_file_systems_stay(self, folder: Path) -> None:
        make(folder / "file", "file")
        entry = entry_of(folder / "file")
        os.setxattr(folder / "file", "trusted.layout", b"1")
        assert not put_back(folder / "file", entry)
        assert os.getxattr(folder / "file", "trusted.layout") == b"1"

    @pytest.mark.parametrize("flag", [IMMUTABLE, APPEND_ONLY])
    @needs_root
    def test_a_lock_that_the_entry_does_not_have_is_lifted(self, folder: Path, flag: int) -> None:
        make(folder / "file", "file")
        entry = entry_of(folder / "file", mtime_ns=MTIME)
        set_flags(folder / "file", flag)
        assert not put_back(folder / "file", entry)
        assert state(folder / "file")[3:] == (MTIME, {}, 0)

    def test_another_kind_under_the_name_is_left_alone(self, folder: Path) -> None:
        make(folder / "file", "file")
        (folder / "link").symlink_to("file")
        before = state(folder / "file"), state(folder / "link")
        entry = entry_of(folder / "file", mode=stat.S_IFREG | 0o777, mtime_ns=MTIME)
        problems = put_back(folder / "link", entry)
        assert (state(folder / "file"), state(folder / "link")) == before
        assert [problem.kind for problem in problems.listed()] == ["metadata"]

    def test_a_name_that_is_gone_is_a_problem(self, folder: Path) -> None:
        make(folder / "file", "file")
        entry = entry_of(folder / "file")
        assert put_back(folder / "gone", entry).listed()[0].reason == "No such file or directory"

    @pytest.mark.parametrize(
        ("changes", "kind"),
        [
            ({"xattrs": {b"nosuch.space": b""}}, "extended attribute nosuch.*"),
            ({"xattrs": {b"user.\0nul": b""}}, "extended attribute user.*"),
            ({"xattrs": {b"user.vast": bytes(100_000)}}, "extended attribute user.*"),
            ({"xattrs": {b"system.posix_acl_access": b"no ACL"}}, "ACL"),
            ({"flags": 0x100000}, "flags (0x100000)"),
            ({"uid": 2**32 - 1}, "owner"),
        ],
    )
    def test_what_cannot_be_is_one_problem_and_the_rest_comes_back(
        self, folder: Path, changes: dict[str, object], kind: str
    ) -> None:
        make(folder / "file", "file")
        entry = entry_of(folder / "file", mtime_ns=MTIME, **changes)
        assert [problem.kind for problem in put_back(folder / "file", entry).listed()] == [kind]
        assert (folder / "file").stat().st_mtime_ns == MTIME

    @pytest.mark.parametrize("moment", [2**63 - 1, -(2**63), 2**34 * 10**9])
    def test_a_time_is_there_or_said_to_be_missing(self, folder: Path, moment: int) -> None:
        make(folder / "file", "file")
        problems = put_back(folder / "file", entry_of(folder / "file", mtime_ns=moment))
        kept = (folder / "file").stat().st_mtime_ns == moment
        assert [problem.kind for problem in problems.listed()] == ([] if kept else ["time"])

    def test_flags_that_a_file_system_lacks_are_named_and_the_others_set(self) -> None:
        memory = Path("/dev/shm")
        if not os.access(memory, os.W_OK):
            pytest.skip("no tmpfs, which has few flags")
        file = memory / f"siltstone-test-{os.getpid()}"
        make(file, "file")
        try:
            problems = put_back(file, entry_of(file, flags=NO_DUMP | 0x8)).listed()
            kept = state(file)[-1]
        finally:
            file.unlink()
        if kept is None or not kept:
            pytest.skip("this kernel's tmpfs has no flags at all")
        assert kept == NO_DUMP
        assert [problem.kind for problem in problems] == ["flags (S)"]


class TestInheritance:
    @pytest.mark.parametrize("what", ["ACL", "group", "flags"])
    def test_what_a_directory_passes_on_is_noticed_and_taken_away(self, folder: Path, what: str) -> None:
        parent = folder / "parent"
        parent.mkdir()
        fd = os.open(parent, os.O_RDONLY)
        assert not inherits(fd)
        match what:
            case "ACL":
                os.setxattr(parent, "system.posix_acl_default", ACL)
            case "group":
                parent.chmod(0o2775)
            case "flags":
                set_flags(parent, NO_DUMP)
        assert inherits(fd)
        os.close(fd)
        (parent / "child").mkdir()
        fd = os.open(parent / "child", os.O_RDONLY)
        assert inherits(fd)
        disinherit(fd)
        assert not inherits(fd)
        assert state(parent / "child")[0] == stat.S_IFDIR | 0o700
        os.close(fd)

    def test_apply_takes_away_what_a_file_inherited(self, folder: Path) -> None:
        plain = folder / "plain"
        make(plain, "file")
        os.setxattr(folder, "system.posix_acl_default", ACL)
        set_flags(folder, NO_ATIME)
        make(folder / "file", "file")
        assert state(folder / "file") != state(plain)
        with (folder / "file").open("r+b") as file:
            problems = Problems()
            apply_open(file.fileno(), entry_of(plain), NUMBERS, problems)
        assert not problems
        assert state(folder / "file") == state(plain)


class TestFlags:
    def test_locks_and_letters(self) -> None:
        assert flag_letters(LOCKS) == "ia"
        assert flag_letters(NO_DUMP | 0x80000) == "d0x80000"

    def test_one_flag_that_is_refused_does_not_keep_the_others(self, folder: Path) -> None:
        fd = os.open(folder, os.O_RDONLY)
        now = read_flags(fd)
        if now is None:
            pytest.skip("a file system without flags")
        why = write_flags(fd, now, NO_DUMP | NO_ATIME | 0x02000000 | 0x40000000 | 0x00800000)
        kept = read_flags(fd) or 0
        os.close(fd)
        assert why
        assert kept & (NO_DUMP | NO_ATIME) == NO_DUMP | NO_ATIME

    @pytest.mark.skipif(shutil.which("lsattr") is None, reason="no lsattr to compare with")
    def test_lsattr_sees_the_same(self, folder: Path) -> None:
        make(folder / "file", "file")
        assert not put_back(folder / "file", entry_of(folder / "file", flags=NO_DUMP | NO_ATIME))
        listed = subprocess.run(["lsattr", folder / "file"], capture_output=True, text=True, check=True).stdout
        assert set("dA") <= set(listed.split()[0])
