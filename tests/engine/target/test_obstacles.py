"""What stands in the way of a restore, from before or planted meanwhile: not followed, removed only where it may be."""

import os
import re
import stat
import threading
from pathlib import Path

import pytest

from siltstone.engine.create import BigFile, create_special
from siltstone.engine.errors import TargetError
from siltstone.engine.problems import Problems
from siltstone.engine.target import Target
from tests.entries import NUMBERS
from tests.trees import IMMUTABLE, set_flags
from tests.unprivileged import needs_root
from tests.writing import entry, listing, write_file


class TestObstacles:
    def test_a_planted_symlink_is_refused(self, ground: Path) -> None:
        (ground / "target/a").symlink_to(ground / "outside")
        with Target(bytes(ground / "target")) as target:
            for path in (b"/a/file", b"/a/folder/x", b"/a/new"):
                with pytest.raises(TargetError, match="/a: a symlink stands where a directory must be"):
                    write_file(target, path)
            write_file(target, b"/a")  # in place of the link itself
        assert (ground / "target/a").read_bytes() == b"restored"
        assert not (ground / "target/a").is_symlink()

    def test_in_place_the_manifest_wins_over_symlinks_and_files_below_a_root(self, ground: Path) -> None:
        (ground / "target/root").mkdir()
        (ground / "target/root/a").symlink_to(ground / "outside")
        (ground / "target/root/b").write_text("a file")
        (ground / "target/whole").symlink_to(ground / "outside")
        with Target(bytes(ground / "target"), roots=[b"/root", b"/whole"], replace=True) as target:
            for path in (b"/root/a/file", b"/root/b/c/file", b"/whole/file"):
                write_file(target, path)
                assert (ground / "target" / os.fsdecode(path[1:])).read_bytes() == b"restored"

    @pytest.mark.parametrize("replace", [False, True])
    def test_above_a_root_nothing_is_followed_or_removed(self, ground: Path, replace: bool) -> None:
        (ground / "target/above").symlink_to(ground / "outside")
        (ground / "target/file").write_text("a file")
        with Target(bytes(ground / "target"), roots=[b"/above/root", b"/file/root"], replace=replace) as target:
            with pytest.raises(TargetError, match="/above: a symlink stands") as caught:
                write_file(target, b"/above/root/x")
            assert "--to" in caught.value.hint
            with pytest.raises(TargetError, match="/file: a file stands"):
                write_file(target, b"/file/root/x")
        assert (ground / "target/above").is_symlink()
        assert (ground / "target/file").read_text() == "a file"

    def test_a_directory_gives_way_only_in_place_and_only_when_empty(self, ground: Path) -> None:
        (ground / "target/empty").mkdir()
        (ground / "target/full/kept").mkdir(parents=True)
        with Target(bytes(ground / "target")) as target, pytest.raises(TargetError, match="a directory stands"):
            write_file(target, b"/empty")
        with Target(bytes(ground / "target"), replace=True) as target:
            write_file(target, b"/empty")
            with pytest.raises(TargetError, match="/full: a directory stands where a file must be"):
                write_file(target, b"/full")
            with pytest.raises(TargetError, match="/full: a directory stands"):
                create_special(target, b"/full", entry(stat.S_IFIFO), NUMBERS, Problems())
        assert listing(ground / "target") == ["empty", "full", "full/kept"]

    @needs_root
    def test_locks_below_a_root_are_lifted_and_those_above_are_not(self, ground: Path) -> None:
        folder = ground / "target/above/root"
        folder.mkdir(parents=True)
        for name in ("file", "link's", "dir's"):
            (folder / name).write_text("locked")
            set_flags(folder / name, IMMUTABLE)
        set_flags(folder, IMMUTABLE)
        set_flags(folder.parent, IMMUTABLE)
        with Target(bytes(ground / "target"), roots=[b"/above/root", b"/above/second"], replace=True) as target:
            write_file(target, b"/above/root/file")
            create_special(target, b"/above/root/link's", entry(stat.S_IFLNK, target=b"x"), NUMBERS, Problems())
            write_file(target, b"/above/root/dir's/inside")
            with pytest.raises(PermissionError, match="target/above/second"):
                write_file(target, b"/above/second")
        set_flags(folder.parent, 0)
        assert listing(folder) == ["dir's", "dir's/inside", "file", "link's"]

    def test_swapped_after_it_was_opened(self, ground: Path) -> None:
        with Target(bytes(ground / "target")) as target, target.directory(b"/a") as directory:
            (ground / "target/a").rename(ground / "target/moved")
            (ground / "target/a").symlink_to(ground / "outside")
            with BigFile(target, b"/a/file", entry(size=1)) as file:
                file.write(0, b"x")
                file.finish(NUMBERS, Problems())
            assert os.listdir(directory.fd) == ["file"]
        assert listing(ground / "target") == ["a", "moved", "moved/file"]

    @pytest.mark.parametrize("replace", [False, True])
    def test_swapped_all_the_time(self, ground: Path, replace: bool) -> None:
        """Somebody turns a directory into a symlink and back while a restore goes through it again and again."""
        place, link = ground / "target/a", ground / "target/a link"
        link.symlink_to(ground / "outside")
        stop = threading.Event()

        def swap() -> None:
            while not stop.is_set():
                for old, new in (
                    (place, ground / "target/away"),
                    (link, place),
                    (place, link),
                    (ground / "target/away", place),
                ):
                    try:
                        old.rename(new)
                    except OSError:
                        pass

        swapper = threading.Thread(target=swap)
        swapper.start()
        done = 0
        try:
            for _ in range(400):
                with Target(bytes(ground / "target"), replace=replace) as target:
                    try:
                        write_file(target, b"/a/file")
                        done += 1
                    except (TargetError, OSError):
                        pass
        finally:
            stop.set()
            swapper.join()
        assert done


class TestTemporaries:
    def test_leftovers_go_and_nothing_else_does(self, ground: Path) -> None:
        folder = ground / "target"
        stale = [".silt-0123456789abcdef-0", ".silt-0123456789abcdef-123456", ".silt-ffffffffffffffff-7"]
        near = [".silt-0123456789abcde-1", ".silt-0123456789ABCDEF-1", "x.silt-0123456789abcdef-1"]
        others = [*near, *(".silt-0123456789abcdef-" + end for end in ("", "1 ", "1\n", "a")), "caf\udce9"]
        for name in stale + others:
            (folder / name).touch()
        (folder / stale[0]).unlink()
        (folder / stale[0]).symlink_to(ground / "outside/file")
        (folder / ".silt-0123456789abcdef-9/one/.two/three").mkdir(parents=True)
        (folder / ".silt-0123456789abcdef-9/one/outside").symlink_to(ground / "outside")
        (folder / ".silt-0123456789abcdef-9/one/.two/file").touch()
        with Target(bytes(folder)) as target, target.directory(b"/") as top:
            (folder / os.fsdecode(target.temporary())).touch()
            assert top.remove_leftovers() == 4
            assert top.remove_leftovers() == 0
        assert not set(stale) & set(os.listdir(folder))
        assert set(os.listdir(folder)) >= set(others)
        assert len(os.listdir(folder)) == len(others) + 1

    def test_directories_above_the_roots_are_the_hosts(self, ground: Path) -> None:
        """In them no directory is hidden by a restore, and one of such a name may be at work in another restore."""
        for above in ("", "above/root/"):
            (ground / "target" / above / ".silt-0123456789abcdef-0/inside").mkdir(parents=True)
        with Target(bytes(ground / "target"), roots=[b"/above/root"]) as target:
            for path, count in ((b"/", 0), (b"/above/root", 1)):
                with target.directory(path) as directory:
                    assert directory.remove_leftovers() == count
        assert listing(ground / "target/above/root") == []
        assert (ground / "target/.silt-0123456789abcdef-0/inside").is_dir()

    def test_leftovers_may_be_as_deep_as_they_like(self, ground: Path) -> None:
        with Target(bytes(ground / "target")) as target:
            target.directory(b"/.silt-0123456789abcdef-0" + b"/d" * 3000).release()
        with Target(bytes(ground / "target")) as target, target.directory(b"/") as top:
            assert top.remove_leftovers() == 1
        assert listing(ground / "target") == []

    @needs_root
    def test_a_temporary_that_is_locked_already_keeps_its_lock(self, ground: Path) -> None:
        folder = ground / "target"
        with Target(bytes(folder), replace=True) as target, target.directory(b"/") as top:
            for content in ("first", "second"):
                temporary = target.temporary()
                (folder / os.fsdecode(temporary)).write_text(content)
                set_flags(folder / os.fsdecode(temporary), IMMUTABLE)
                top.rename(temporary, b"file")
                with pytest.raises(PermissionError):
                    (folder / "file").unlink()
                assert (folder / "file").read_text() == content
            for end in ("dropped", "left"):
                temporary = target.temporary() if end == "dropped" else b".silt-0123456789abcdef-1"
                (folder / os.fsdecode(temporary)).touch()
                set_flags(folder / os.fsdecode(temporary), IMMUTABLE)
                if end == "dropped":
                    top.drop(temporary)
                else:
                    assert top.remove_leftovers() == 1
        assert listing(folder) == ["file"]

    @pytest.mark.parametrize("name", [b"..", b".", b"", b"../outside/file", b"uncovered", b"a\0"])
    def test_a_directory_renames_to_its_own_names_only(self, ground: Path, name: bytes) -> None:
        with Target(bytes(ground / "target"), roots=[b"/covered"]) as target, target.directory(b"/") as top:
            for wanted in (name, b"covered"):
                temporary = target.temporary()
                (ground / "target" / os.fsdecode(temporary)).touch()
                if wanted == name:
                    with pytest.raises(TargetError):
                        top.rename(temporary, wanted)
                else:
                    top.rename(temporary, wanted)
        assert listing(ground / "target") == ["covered"]

    def test_names_are_fresh_and_fit_the_pattern(self, ground: Path) -> None:
        with Target(bytes(ground / "target")) as one, Target(bytes(ground / "target")) as two:
            names = [target.temporary() for target in (one, two) for _ in range(1000)]
            for name in names:
                assert re.fullmatch(rb"\.silt-[0-9a-f]{16}-[0-9]+", name)
            assert len(set(names)) == 2000
