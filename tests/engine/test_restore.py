"""Restores to a new folder: everything comes back, whatever is selected, and only what is selected."""

import os
import stat
from pathlib import Path

import pytest

from siltstone.engine import NothingSelected, Progress, Warned
from siltstone.store import Store
from tests.backed_up import back_up, new_store, reopened
from tests.restoring import Events, below, leftovers, mounted, put_back
from tests.trees import difference, make_tree, remove_tree, set_flags
from tests.unprivileged import folder_of_nobody, needs_root, unprivileged


@pytest.fixture
def store() -> Store:
    return new_store()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("encrypted", [True, False])
def test_all_comes_back(tmp_path: Path, seed: int, encrypted: bool) -> None:
    made = make_tree(tmp_path / "tree", seed, locks=True)
    store = new_store(encrypted=encrypted)
    level = back_up(store, tmp_path / "tree")
    try:
        result = put_back(store, level, tmp_path / "out", base=tmp_path / "tree", verify=True)
        assert not result.failures
        assert not result.problems
        assert result.warnings == 0
        different = difference(tmp_path / "tree", tmp_path / "out")
        assert different == (["b'/special/socket': only in " + str(tmp_path / "tree")] if "sockets" in made else [])
        assert (result.files, result.bytes) == (level.sets[0].files, level.sets[0].bytes)
        assert not leftovers(tmp_path / "out")
    finally:
        remove_tree(tmp_path / "tree")
        if (tmp_path / "out").exists():
            remove_tree(tmp_path / "out")


def test_without_a_base_it_lies_under_its_original_path(tmp_path: Path, store: Store) -> None:
    make_tree(tmp_path / "tree", 4)
    level = back_up(store, tmp_path / "tree")
    put_back(store, level, tmp_path / "out")
    assert not [
        line
        for line in difference(tmp_path / "tree", below(tmp_path / "out", tmp_path / "tree"))
        if "socket" not in line
    ]


def test_large_files_of_many_frames_and_their_repeats(tmp_path: Path, store: Store) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(4):
        (tree / f"{number}").write_bytes(os.urandom(3_000_000 + number))
    (tree / "again").write_bytes((tree / "1").read_bytes() * 2 + (tree / "3").read_bytes())
    level = back_up(store, tree)
    result = put_back(store, level, tmp_path / "out", base=tree, verify=True)
    assert not difference(tree, tmp_path / "out")
    assert result.written_bytes == result.bytes == level.sets[0].bytes


def test_holes_stay_holes(tmp_path: Path, store: Store) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    with (tree / "sparse").open("wb") as file:
        file.seek(100 << 20)
        file.write(b"data")
        file.truncate(300 << 20)
    level = back_up(store, tree)
    assert put_back(store, level, tmp_path / "out", base=tree).written_bytes < 1 << 20
    found = (tmp_path / "out" / "sparse").stat()
    assert found.st_size == 300 << 20
    assert found.st_blocks * 512 < 1 << 20
    assert not difference(tree, tmp_path / "out")


class TestHardLinks:
    """Names of one file stay names of one file, as far as they are selected."""

    @pytest.fixture
    def tree(self, tmp_path: Path) -> Path:
        tree = tmp_path / "tree"
        for folder in ("a", "b", "c"):
            (tree / folder).mkdir(parents=True)
        (tree / "a" / "large").write_bytes(os.urandom(2_500_000))
        (tree / "a" / "small").write_bytes(b"small")
        (tree / "a" / "empty").touch()
        for name in ("large", "small", "empty"):
            os.link(tree / "a" / name, tree / "b" / name)
            os.link(tree / "a" / name, tree / "c" / f"{name} too")
        return tree

    @pytest.mark.parametrize(
        "folders", [("a",), ("b",), ("c",), ("a", "b"), ("b", "c"), ("a", "c"), ("a", "b", "c")], ids="-".join
    )
    def test_every_selection(self, tmp_path: Path, store: Store, tree: Path, folders: tuple[str, ...]) -> None:
        level = back_up(store, tree)
        result = put_back(
            store, level, tmp_path / "out", *(tree / folder for folder in folders), base=tree, verify=True
        )
        assert not result.failures
        found = {path.name: path for path in (tmp_path / "out").iterdir()}
        assert set(found) == set(folders)
        for name in ("large", "small", "empty"):
            files = sorted((tmp_path / "out").rglob(f"{name}*"))
            assert len(files) == len(folders)
            assert len({path.stat().st_ino for path in files}) == 1
            assert files[0].stat().st_nlink == len(folders)
            assert files[0].read_bytes() == (tree / "a" / name).read_bytes()

    def test_across_file_sets(self, tmp_path: Path, store: Store, tree: Path) -> None:
        level = back_up(store, tree / "a", tree / "b")
        put_back(store, level, tmp_path / "out", base=tree)
        assert (tmp_path / "out" / "a" / "large").samefile(tmp_path / "out" / "b" / "large")

    @needs_root
    def test_where_another_file_system_is_mounted_each_has_its_content(
        self, tmp_path: Path, store: Store, tree: Path
    ) -> None:
        level = back_up(store, tree)
        with mounted(tmp_path / "out" / "b", "20m"):
            result = put_back(store, level, tmp_path / "out", base=tree, verify=True)
            assert not result.failures
            assert [problem.kind for problem in result.problems] == ["hard link"]
            assert not difference(tree, tmp_path / "out", but=["links"])
            assert (tmp_path / "out" / "a" / "large").samefile(tmp_path / "out" / "c" / "large too")


class TestSelection:
    """Paths and globs, and the folders above what they select."""

    @pytest.fixture
    def tree(self, tmp_path: Path) -> Path:
        tree = tmp_path / "tree"
        for folder in ("etc/ssl/certs", "etc/ssl-not", "opt", "var"):
            (tree / folder).mkdir(parents=True)
            for name in ("one.pem", "two.txt"):
                (tree / folder / name).write_text(f"{folder}/{name}")
        (tree / "etc" / "ssl").chmod(0o711)
        os.utime(tree / "etc", ns=(0, 5_000_000_007))
        return tree

    @pytest.mark.parametrize(
        ("pattern", "wanted"),
        [
            ("{}/etc/ssl", {"etc/ssl/certs/one.pem", "etc/ssl/certs/two.txt"}),
            ("{}/opt/one.pem", {"opt/one.pem"}),
            ("*.pem", {"etc/ssl/certs/one.pem", "etc/ssl-not/one.pem", "opt/one.pem", "var/one.pem"}),
            ("{}/*/one.pem", {"opt/one.pem", "var/one.pem"}),
            ("{}/**/certs/*", {"etc/ssl/certs/one.pem", "etc/ssl/certs/two.txt"}),
            ("ssl/certs", {"etc/ssl/certs/one.pem", "etc/ssl/certs/two.txt"}),
            ("{}/etc/ssl*/t*", {"etc/ssl-not/two.txt"}),
        ],
    )
    def test_what_matches_comes_and_nothing_else(
        self, tmp_path: Path, store: Store, tree: Path, pattern: str, wanted: set[str]
    ) -> None:
        level = back_up(store, tree)
        result = put_back(store, level, tmp_path / "out", pattern.format(tree), base=tree)
        found = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
        assert found == wanted
        assert result.files == len(wanted)
        for path in (tmp_path / "out").rglob("*"):
            original = tree / path.relative_to(tmp_path / "out")
            assert path.stat().st_mode == original.stat().st_mode
            assert path.stat().st_mtime_ns == original.stat().st_mtime_ns

    def test_several_patterns_and_one_that_matches_nothing(self, tmp_path: Path, store: Store, tree: Path) -> None:
        level = back_up(store, tree)
        events = Events()
        result = put_back(store, level, tmp_path / "out", tree / "opt", "*.nothing", base=tree, report=events)
        assert result.files == 2
        assert result.warnings == 1
        assert [event.path for event in events if isinstance(event, Warned)] == ["*.nothing"]

    @pytest.mark.parametrize("pattern", ["/nowhere", "*.nothing"])
    def test_nothing_selected_makes_nothing(self, tmp_path: Path, store: Store, tree: Path, pattern: str) -> None:
        level = back_up(store, tree)
        with pytest.raises(NothingSelected, match=r"nothing of .*no"):
            put_back(store, level, tmp_path / "out", pattern)
        with pytest.raises(NothingSelected, match="no file set"):
            put_back(store, level, tmp_path / "out", set_name="other")
        assert not (tmp_path / "out").exists()

    def test_what_lies_outside_of_the_base_is_counted(self, tmp_path: Path, store: Store, tree: Path) -> None:
        level = back_up(store, tree)
        result = put_back(store, level, tmp_path / "out", base=tree / "opt")
        assert {path.name for path in (tmp_path / "out").iterdir()} == {"one.pem", "two.txt"}
        assert result.skipped == level.sets[0].entries - 3
        assert (tmp_path / "out").stat().st_mtime_ns == (tree / "opt").stat().st_mtime_ns


def test_a_dry_run_writes_nothing_and_tells(tmp_path: Path, store: Store) -> None:
    make_tree(tmp_path / "tree", 6)
    level = back_up(store, tmp_path / "tree")
    result = put_back(store, level, tmp_path / "out", base=tmp_path / "tree", dry_run=True)
    assert not (tmp_path / "out").exists()
    assert (result.files, result.unchanged_files, result.dry_run) == (level.sets[0].files, 0, True)
    done = put_back(store, level, tmp_path / "out", base=tmp_path / "tree")
    assert result.written_bytes == done.written_bytes
    again = put_back(store, level, tmp_path / "out", base=tmp_path / "tree", dry_run=True)
    assert (again.unchanged_files, again.written_bytes) == (level.sets[0].files, 0)


def test_progress_has_totals_and_ends_complete(tmp_path: Path, store: Store) -> None:
    make_tree(tmp_path / "tree", 7)
    level = back_up(store, tmp_path / "tree")
    for patterns in ((), (tmp_path / "tree",)):
        events = Events()
        result = put_back(store, level, tmp_path / f"out{len(patterns)}", *patterns, report=events)
        last = [event for event in events if isinstance(event, Progress)][-1]
        assert (last.files, last.bytes) == (last.total_files, last.total_bytes) == (result.files, result.bytes)


def test_a_million_is_only_more_of_the_same(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows that hold next to nothing: every border between two of them is crossed."""
    from siltstone.engine import restore_plan, restore_walk

    make_tree(tmp_path / "tree", 8)
    for number in range(3):
        (tmp_path / "tree" / "files" / f"large {number}").write_bytes(os.urandom(2_000_000))
    level = back_up(store, tmp_path / "tree")
    for files, pieces in ((1, 1), (7, 3), (60, 100)):
        monkeypatch.setattr(restore_plan, "WINDOW_FILES", files)
        monkeypatch.setattr(restore_walk, "WINDOW_FILES", files)
        monkeypatch.setattr(restore_plan, "WINDOW_PIECES", pieces)
        out = tmp_path / f"out {files}"
        for _ in range(2):  # new, and once more where all is there
            result = put_back(store, level, out, base=tmp_path / "tree", verify=True)
            assert not result.failures
            assert not [line for line in difference(tmp_path / "tree", out) if "socket" not in line]


@needs_root
def test_without_root_what_cannot_be_put_back_is_told_once_a_kind(tmp_path: Path, store: Store) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(50):
        (tree / f"{number}").write_bytes(os.urandom(number))
        os.chown(tree / f"{number}", 1234, 1234)
    os.mknod(tree / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    (tree / "setuid").touch(0o755)
    os.chown(tree / "setuid", 1234, 1234)
    (tree / "setuid").chmod(0o4755)
    level = back_up(store, tree)
    with folder_of_nobody() as folder, unprivileged() as nobody:
        events = Events()
        result = put_back(reopened(store.backend), level, folder / "out", base=tree, report=events)
        assert not result.failures
        assert {problem.kind for problem in result.problems} == {"owner", "device"}
        (owner,) = [problem for problem in result.problems if problem.kind == "owner"]
        assert owner.count >= 51
        assert len([event for event in events if isinstance(event, Warned)]) == len(result.problems) == result.warnings
        assert (folder / "out" / "setuid").stat().st_mode & 0o7777 == 0o755
        assert (folder / "out" / "7").stat().st_uid == nobody
        assert len((folder / "out" / "7").read_bytes()) == 7


def test_flags_that_keep_even_root_out(tmp_path: Path, store: Store) -> None:
    tree = tmp_path / "tree"
    (tree / "folder").mkdir(parents=True)
    (tree / "folder" / "file").write_bytes(b"locked")
    try:
        set_flags(tree / "folder" / "file", 0x10)
        set_flags(tree / "folder", 0x10)
    except OSError as error:
        pytest.skip(f"no immutable files here: {error}")
    try:
        level = back_up(store, tree)
        for _ in range(2):
            assert not put_back(store, level, tmp_path / "out", base=tree, verify=True).problems
            assert not difference(tree, tmp_path / "out")
    finally:
        remove_tree(tree)
        remove_tree(tmp_path / "out")
