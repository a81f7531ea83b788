"""Putting metadata back without root: all that one may, and one problem for each kind of what one may not."""

import os
import stat

import pytest

from siltstone.engine.metadata import apply_metadata, capture
from siltstone.engine.problems import Problems
from tests.entries import NUMBERS, entry_of, make, put_back, state
from tests.trees import CAPABILITY, IMMUTABLE, NO_DUMP, require, set_flags
from tests.unprivileged import NOBODY, folder_of_nobody, needs_root, unprivileged

MTIME = 1_234_567_890_123_456_789


class TestWithoutRoot:
    """As nobody: what he may not do is said once a kind, and never keeps the rest back."""

    def test_owners_of_others_are_one_problem(self) -> None:
        problems = Problems()
        with folder_of_nobody() as folder, unprivileged() as me:
            inside = os.open(folder, os.O_RDONLY)
            for number in range(3):
                file = folder / str(number)
                make(file, "file")
                entry = entry_of(file, uid=0, gid=0, mode=stat.S_IFREG | 0o4755, mtime_ns=MTIME)
                apply_metadata(inside, bytes(str(number), "ascii"), entry, NUMBERS, problems)
                assert file.stat().st_mode == stat.S_IFREG | 0o755, "setuid of another owner must not become ours"
                assert (file.stat().st_mtime_ns, file.stat().st_uid) == (MTIME, me)
            os.close(inside)
        found = {problem.kind: problem for problem in problems.listed()}
        assert found.keys() == {"owner", "mode"}
        assert found["owner"].count == 3
        assert found["owner"].first.endswith(b"/0")
        assert "without root" in found["owner"].message

    @needs_root
    def test_a_group_that_one_belongs_to_is_given_and_another_takes_setgid_away(self) -> None:
        with folder_of_nobody() as folder, unprivileged(4321) as me:
            for gid, kept in ((4321, (4321, 0o2755)), (1234, (me, 0o755))):
                make(folder / str(gid), "file")
                entry = entry_of(folder / str(gid), uid=1234, gid=gid, mode=stat.S_IFREG | 0o2755)
                problems = put_back(folder / str(gid), entry)
                found = (folder / str(gid)).stat()
                assert (found.st_gid, stat.S_IMODE(found.st_mode)) == kept
                assert "owner" in [problem.kind for problem in problems.listed()]

    def test_ones_own_setuid_stays(self) -> None:
        with folder_of_nobody() as folder, unprivileged():
            make(folder / "file", "file")
            (folder / "file").chmod(0o6755)
            entry = entry_of(folder / "file")
            (folder / "file").chmod(0o600)
            assert not put_back(folder / "file", entry)
            assert (folder / "file").stat().st_mode == stat.S_IFREG | 0o6755

    @pytest.mark.parametrize("mode", [0o000, 0o200, 0o400])
    @pytest.mark.parametrize("kind", ["file", "directory"])
    def test_rights_taken_from_oneself_are_no_obstacle(self, kind: str, mode: int) -> None:
        with folder_of_nobody() as folder, unprivileged():
            require(folder)
            path = folder / "locked"
            make(path, kind)
            os.setxattr(path, "user.a", b"1")
            set_flags(path, NO_DUMP)
            entry = entry_of(path, mode=stat.S_IFMT(path.stat().st_mode) | mode, mtime_ns=MTIME)
            os.removexattr(path, "user.a")
            set_flags(path, 0)
            path.chmod(mode)
            assert not put_back(path, entry)
            assert path.stat().st_mode == entry.mode
            assert path.stat().st_mtime_ns == MTIME
            path.chmod(0o700)
            assert capture(bytes(path), entry.mode) == ({b"user.a": b"1"}, NO_DUMP)

    @needs_root
    def test_what_only_root_may_set(self) -> None:
        with folder_of_nobody() as folder, unprivileged():
            require(folder)
            make(folder / "file", "file")
            xattrs = {b"trusted.t": b"1", b"security.capability": CAPABILITY, b"user.mine": b"1"}
            problems = put_back(folder / "file", entry_of(folder / "file", xattrs=xattrs, flags=IMMUTABLE | NO_DUMP))
            kinds = [problem.kind for problem in problems.listed()]
            assert kinds == ["extended attribute security.*", "extended attribute trusted.*", "flags (i)"]
            assert capture(bytes(folder / "file"), stat.S_IFREG) == ({b"user.mine": b"1"}, NO_DUMP)

    @needs_root
    def test_a_file_of_somebody_else_is_a_problem_and_not_an_error(self) -> None:
        with folder_of_nobody() as folder:
            make(folder / "file", "file")
            (folder / "file").chmod(0o600)
            before = state(folder / "file")
            entry = entry_of(folder / "file", uid=NOBODY, mode=stat.S_IFREG | 0o644, mtime_ns=MTIME, flags=NO_DUMP)
            with unprivileged():
                problems = put_back(folder / "file", entry)
            assert {problem.kind for problem in problems.listed()} >= {"owner", "mode", "time"}
            assert state(folder / "file") == before


class TestProblems:
    def test_a_million_become_one_line_with_the_first_path(self) -> None:
        problems = Problems()
        assert not problems
        for number in range(1_234):
            problems.add("owner", b"/%d" % number, "Operation not permitted without root")
        problems.add("ACL", b"/x", "Operation not supported")
        assert problems
        messages = [(problem.message, problem.first) for problem in problems.listed()]
        assert messages == [
            ("ACL of 1 entry not put back: Operation not supported", b"/x"),
            ("owner of 1,234 entries not put back: Operation not permitted without root", b"/0"),
        ]
