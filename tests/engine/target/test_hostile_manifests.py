"""A restore writes below its target and nowhere else, whatever the manifest says."""

import re
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from siltstone.engine.create import BigFile, create_hardlink, create_special
from siltstone.engine.entry import Entry
from siltstone.engine.errors import TargetError
from siltstone.engine.problems import Problems
from siltstone.engine.target import Target
from tests.entries import NUMBERS
from tests.writing import descriptors, entry, listing, write_file

HOSTILE = [
    *(b"/..", b"/../outside/x", b"/a/../../outside/x", b"../outside/x", b"/a/..", b"/./a", b"/a/.", b"a", b"", b"/"),
    *(b"//a", b"//", b"/a//b", b"/a/", b"/a\0b", b"/a/b\0", b"/" + b"n" * 256, b"/" + b"n" * 256 + b"/a"),
]


class TestHostileManifests:
    @pytest.mark.parametrize("path", HOSTILE)
    @pytest.mark.parametrize("replace", [False, True])
    def test_a_path_that_is_none_is_refused(self, ground: Path, path: bytes, replace: bool) -> None:
        with Target(bytes(ground / "target"), replace=replace) as target:
            with pytest.raises(TargetError):
                write_file(target, path)
            with pytest.raises(TargetError):
                create_special(target, path, entry(stat.S_IFIFO), NUMBERS, Problems())
            with pytest.raises(TargetError):
                create_special(target, path, entry(stat.S_IFLNK, target=b"x"), NUMBERS, Problems())
            write_file(target, b"/good")
            with pytest.raises(TargetError):
                create_hardlink(target, b"/good", path, Problems())
            with pytest.raises(TargetError):
                create_hardlink(target, path, b"/link", Problems())
        assert all(name in {"good", "a"} for name in listing(ground / "target"))

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
    @given(
        st.lists(
            st.tuples(
                st.lists(st.sampled_from([b"..", b".", b"", b"a", b"b", b"link", b"outside", b"\0"]), max_size=5),
                st.sampled_from([stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, 0]),
                st.sampled_from([b"..", b"../outside", b"/", b".", b"a", b""]),
            ),
            max_size=25,
        ),
        st.booleans(),
    )
    @example([([b"a"], stat.S_IFLNK, b"../outside"), ([b"a", b"file"], stat.S_IFREG, b"")], False)
    @example([([b"a"], stat.S_IFLNK, b"../outside"), ([b"a", b"file"], stat.S_IFREG, b"")], True)
    @example([([b"a", b"b"], stat.S_IFREG, b""), ([b"a"], stat.S_IFLNK, b"../outside"), ([b"a", b"b"], 0, b"")], True)
    def test_no_list_of_entries_reaches_outside(
        self, ground: Path, entries: list[tuple[list[bytes], int, bytes]], replace: bool
    ) -> None:
        with Target(bytes(ground / "target"), replace=replace) as target:
            for parts, kind, link in entries:
                path = b"/" + b"/".join(parts)
                try:
                    if kind == stat.S_IFREG:
                        write_file(target, path)
                    elif kind == stat.S_IFDIR:
                        target.directory(path).release()
                    else:
                        create_special(target, path, entry(kind, target=link), NUMBERS, Problems())
                except (TargetError, OSError):
                    pass
        assert (ground / "outside/file").read_bytes() == b"was here before"
        assert listing(ground / "outside") == ["file", "folder"]
        assert not re.search(r"\.silt-", "\n".join(listing(ground / "target")))

    @pytest.mark.parametrize(
        "wrong",
        [
            entry(0),
            entry(0o150000),
            entry(stat.S_IFDIR),
            entry(stat.S_IFREG),
            entry(stat.S_IFLNK, target=b"with\0nul"),
            entry(stat.S_IFCHR, rdev=2**64),
        ],
    )
    def test_an_entry_that_cannot_be_made_is_refused(self, ground: Path, wrong: Entry) -> None:
        with Target(bytes(ground / "target")) as target, pytest.raises(TargetError):
            create_special(target, b"/x", wrong, NUMBERS, Problems())
        assert listing(ground / "target") == []

    @pytest.mark.parametrize("link", [b"", b"l" * 5000])
    def test_a_link_target_that_the_system_refuses(self, ground: Path, link: bytes) -> None:
        with Target(bytes(ground / "target")) as target, pytest.raises(OSError, match="target/x"):
            create_special(target, b"/x", entry(stat.S_IFLNK, target=link), NUMBERS, Problems())
        assert listing(ground / "target") == []

    @pytest.mark.parametrize("size", [2**63, 2**64 - 1])
    def test_a_size_that_cannot_be_is_an_error_and_leaves_nothing(self, ground: Path, size: int) -> None:
        before = descriptors()
        with Target(bytes(ground / "target")) as target, pytest.raises((TargetError, OSError), match="/x"):
            BigFile(target, b"/x", entry(size=size))
        assert (listing(ground / "target"), descriptors()) == ([], before)

    def test_bytes_beyond_the_size_are_refused(self, ground: Path) -> None:
        with Target(bytes(ground / "target")) as target, BigFile(target, b"/x", entry(size=10)) as file:
            for offset, data in ((8, b"123"), (11, b""), (-1, b"1"), (2**70, b"1")):
                with pytest.raises(TargetError):
                    file.write(offset, data)

    def test_what_no_root_covers_is_refused(self, ground: Path) -> None:
        with Target(bytes(ground / "target"), roots=[b"/data/in", b"/single"], replace=True) as target:
            for path in (b"/data/in/x", b"/data/in/y/z", b"/single"):
                write_file(target, path)
            for path in (b"/x", b"/data/x", b"/data/inn", b"/single2", b"/datain"):
                with pytest.raises(TargetError, match="outside of what is restored"):
                    write_file(target, path)
        assert listing(ground / "target") == ["data", "data/in", "data/in/x", "data/in/y", "data/in/y/z", "single"]
