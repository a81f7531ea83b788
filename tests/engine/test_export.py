"""Levels as tar files: whole, incremental, and imported again. GNU tar is the judge of what an archive does to a tree.

Rule: an archive is compared as bytes where bytes are promised, and as trees where trees are.
"""

import io
import os
import random
import shutil
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from siltstone.engine import (
    ConfigError,
    Event,
    Level,
    LevelNotFound,
    SourceError,
    TargetError,
    Warned,
    entries,
    export_level,
    import_archive,
    restore_level,
    sources_of,
    verify_store,
)
from siltstone.engine.selection import Selection
from siltstone.store import Store
from tests.backed_up import back_up, ignore, new_store, warnings_into
from tests.backing_up import content_of
from tests.trees import difference, make_tree, remove_tree

ALL = ("--xattrs", "--xattrs-include=*", "--numeric-owner")
UNKEPT = ("flags", "holes", "ctime")


def tar(*arguments: str | Path, folder: Path | None = None) -> None:
    command = ["tar", *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
    assert done.returncode == 0, done.stderr.decode(errors="replace")


def export(store: Store, level: Level, folder: Path, *, incremental: bool = False) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / level.tar_name
    export_level(store, level, path, incremental=incremental, report=ignore)
    return path


def load(store: Store, *paths: Path, name: str | None = None, whole: bool = False) -> list[Level]:
    sources = sources_of(store, paths, deployment=name, whole=whole)
    return [import_archive(store, source, report=ignore) for source in sources]


def restored(store: Store, level: Level, folder: Path) -> Path:
    restore_level(store, level, target=os.fsencode(folder), selection=Selection(), report=ignore)
    return folder


def change(tree: Path, seed: int) -> None:
    """Some of everything that an incremental archive has to say."""
    rng = random.Random(seed)
    files = sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    for path in rng.sample(files, len(files) // 8):
        path.write_bytes(rng.randbytes(rng.randrange(3000)))
    for path in rng.sample(sorted(set(files)), len(files) // 8):
        path.unlink(missing_ok=True)
    folders = sorted(path for path in tree.iterdir() if path.is_dir() and not path.is_symlink())
    remove_tree(folders[seed % len(folders)])
    (tree / f"new {seed}" / "deep").mkdir(parents=True)
    (tree / f"new {seed}" / "deep" / "file").write_bytes(b"grain")
    os.link(tree / f"new {seed}" / "deep" / "file", tree / f"new {seed}" / "other name")
    kind = tree / "becomes"
    if kind.is_dir():
        remove_tree(kind)
        kind.write_text("a file now")
    else:
        kind.unlink(missing_ok=True)
        kind.mkdir()
        (kind / "inside").write_text("a folder now")


@pytest.fixture
def history(tmp_path: Path) -> tuple[Store, list[Level], list[Path]]:
    """Four levels of one tree, and the tree as it was at each."""
    tree = tmp_path / "tree"
    make_tree(tree, 5)
    for folder in (tree / "names").glob("00deep*"):
        remove_tree(folder)  # longer than GNU tar can unpack
    shutil.rmtree(tree / "special", ignore_errors=True)  # sockets are in no archive
    store, levels, trees = new_store(), [], []
    for seed in range(4):
        levels.append(back_up(store, tree))
        trees.append(tmp_path / f"was{seed}")
        subprocess.run(["cp", "-a", tree, trees[-1]], check=True)
        change(tree, seed)
    return store, levels, trees


class TestIncremental:
    def test_plain_tar_restores_each_level_in_order(
        self, history: tuple[Store, list[Level], list[Path]], tmp_path: Path
    ) -> None:
        store, levels, trees = history
        out = tmp_path / "out"
        out.mkdir()
        for level, tree in zip(levels, trees, strict=True):
            path = export(store, level, tmp_path / "tars", incremental=True)
            tar("--incremental", *ALL, "-xpf", path, "-C", out)
            assert difference(tree, out / str(tmp_path / "tree")[1:], but=UNKEPT) == []
        first, last = (tmp_path / "tars" / levels[at].tar_name for at in (0, 3))
        assert last.stat().st_size < first.stat().st_size

    def test_a_root_that_went_is_told(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "file").write_text(name)
        store = new_store()
        back_up(store, tmp_path / "a", tmp_path / "b")
        remove_tree(tmp_path / "b")
        level = back_up(store, tmp_path / "a", tmp_path / "b")
        events: list[Event] = []
        export_level(store, level, tmp_path / "x.tar", incremental=True, report=warnings_into(events))
        assert [(event.kind, event.path) for event in events if isinstance(event, Warned)] == [
            ("gone", str(tmp_path / "b"))
        ]


class TestExport:
    def test_the_same_bytes_each_time(self, history: tuple[Store, list[Level], list[Path]], tmp_path: Path) -> None:
        store, levels, _ = history
        for incremental in (False, True):
            once, again = (
                export(store, levels[2], tmp_path / f"{incremental}{n}", incremental=incremental) for n in (1, 2)
            )
            assert once.read_bytes() == again.read_bytes()

    def test_no_file_is_replaced_unless_that_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        store = new_store()
        level = back_up(store, tmp_path / "file")
        path = tmp_path / "there.tar"
        path.write_text("mine")
        with pytest.raises(TargetError, match="there already"):
            export_level(store, level, path, report=ignore)
        assert path.read_text() == "mine"
        export_level(store, level, path, replace=True, report=ignore)
        with tarfile.open(path) as archive:
            assert archive.getnames() == [str(tmp_path / "file")[1:]]
        assert sorted(os.listdir(tmp_path)) == ["file", "there.tar"]


class TestImport:
    def test_levels_come_back_as_bytes_and_as_trees(
        self, history: tuple[Store, list[Level], list[Path]], tmp_path: Path
    ) -> None:
        store, levels, trees = history
        paths = [export(store, level, tmp_path / "tars", incremental=True) for level in levels]
        other = new_store()
        for level, path, tree in zip(load(other, *reversed(paths)), paths, trees, strict=True):
            assert export(other, level, tmp_path / "again").read_bytes() == path.read_bytes()
            out = restored(other, level, tmp_path / f"out{level.level}")
            assert difference(tree, out / str(tmp_path / "tree")[1:], but=UNKEPT) == []
        assert verify_store(other, report=ignore).damaged == []

    def test_contents_find_their_chunks(self, history: tuple[Store, list[Level], list[Path]], tmp_path: Path) -> None:
        store, levels, _ = history
        path = export(store, levels[0], tmp_path / "tars")
        (level,) = load(store, path, name="imported")
        assert level.stats["new_bytes"] < path.stat().st_size / 4  # headers, manifests

    @pytest.mark.parametrize("form", ["gnu", "pax", "ustar", "v7", "oldgnu"])
    @pytest.mark.parametrize("blocks", [20, 64])
    def test_archives_of_gnu_tar(self, form: str, blocks: int, tmp_path: Path) -> None:
        tree = tmp_path / "tree"
        (tree / "d").mkdir(parents=True)
        rng = random.Random(form)
        for number, size in enumerate([0, 1, 511, 512, 513, 130_000, 200_000, 3_000_000, 9_000_000]):
            (tree / "d" / f"f{number}").write_bytes(rng.randbytes(size))
        os.link(tree / "d" / "f3", tree / "d" / "also f3")
        os.symlink("f3", tree / "d" / "symlink")
        options = ["--xattrs"] if form == "pax" else []
        if form in ("gnu", "pax"):
            with (tree / "sparse").open("wb") as file:
                file.seek(5_000_000)
                file.write(b"grain")
                file.truncate(8_000_000)
            (tree / ("long" * 50)).write_text("a long name")
            options.append("--sparse")
        path = tmp_path / "app_backup_group_3_level_0-11_20_2026-03h_00m_12s.tar"
        tar("-b", str(blocks), f"--format={form}", *options, "-cf", path, "tree", folder=tmp_path)
        store = new_store()
        (level,) = load(store, path)
        assert (level.deployment, str(level.ref), level.kind) == ("app", "3/0", "full")
        assert export(store, level, tmp_path / "again").read_bytes() == path.read_bytes()
        out = restored(store, level, tmp_path / "out")
        whole_seconds = () if form == "pax" else ("time",)
        assert difference(tree, out / "tree", but=(*UNKEPT, *whole_seconds)) == []

    @pytest.mark.parametrize("form", ["gnu", "pax"])
    def test_incremental_archives_of_gnu_tar(self, form: str, tmp_path: Path) -> None:
        """As the old tool wrote them: the names are right although times stand where others have a part of them."""
        tree = tmp_path / "tree"
        (tree / "d" / ("long" * 40)).mkdir(parents=True)
        for number in range(9):
            (tree / "d" / f"f{number}").write_text(f"grain {number}")
        (tree / "d" / ("long" * 40) / "below").write_text("grain")
        os.link(tree / "d" / "f3", tree / "d" / "also f3")
        os.symlink("f3", tree / "d" / "symlink")
        os.symlink("long" * 40, tree / "d" / "long symlink")
        store, levels = new_store(), []
        for number in range(2):
            path = tmp_path / f"app_backup_group_0_level_{number}.tar"
            snapshot = f"--listed-incremental={tmp_path / 'snapshot'}"
            tar(snapshot, f"--format={form}", "--sparse", "-cf", path, "tree", folder=tmp_path)
            levels += load(store, path)
            out = restored(store, levels[-1], tmp_path / f"out {number}")
            assert difference(tree, out / "tree", but=(*UNKEPT, "time")) == []
            assert export(store, levels[-1], tmp_path / "again").read_bytes() == path.read_bytes()
            (tree / "d" / f"f{5 + number}").unlink()
            (tree / "d" / "f2").write_text("changed")
            (tree / "d" / "new").write_text("new")
        assert levels[1].warnings == ()

    def test_an_archive_without_listings_is_laid_over_the_level_before(self, tmp_path: Path) -> None:
        for name, text in (("kept", "old"), ("changed", "old")):
            (tmp_path / name).write_text(text)
        first, second = (tmp_path / f"app_backup_group_0_level_{n}.tar" for n in (0, 1))
        tar("-cf", first, "kept", "changed", folder=tmp_path)
        (tmp_path / "changed").write_text("new")
        tar("-cf", second, "changed", folder=tmp_path)
        store = new_store()
        with pytest.raises(LevelNotFound, match="no earlier level"):
            load(store, second)
        levels = load(store, second, first)
        found = {entry.path: content_of(store, entry) for entry in entries(store, levels[1])}
        assert found == {b"/kept": b"old", b"/changed": b"new"}
        (alone,) = load(store, second, name="alone", whole=True)
        assert [entry.path for entry in entries(store, alone)] == [b"/changed"]

    def test_mistakes_are_named_before_anything_is_read(self, tmp_path: Path) -> None:
        store = new_store()
        for name in ("backup.tar", "x_backup_group_0_level_a.tar", "x_backup_group_0_level_0-soon.tar"):
            with pytest.raises(ConfigError, match=name):
                load(store, tmp_path / name)
        path = tmp_path / "x_backup_group_0_level_0.tar"
        for content, said in ((b"\x1f\x8b" + bytes(600), "compressed"), (b"no tar" * 200, "no tar archive")):
            path.write_bytes(content)
            with pytest.raises(SourceError, match=said):
                load(store, path)
        with pytest.raises(SourceError, match="No such file"):
            load(store, tmp_path / "x_backup_group_0_level_1.tar")
        tar("-cf", path, path.name, folder=tmp_path)
        load(store, path)
        with pytest.raises(ConfigError, match="already"):
            load(store, path)

    def test_an_archive_that_is_cut_off_commits_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(bytes(100_000))
        path = tmp_path / "x_backup_group_0_level_0.tar"
        tar("-cf", path, "file", folder=tmp_path)
        path.write_bytes(path.read_bytes()[:50_000])
        store = new_store()
        with pytest.raises(SourceError, match="cut off"):
            load(store, path)
        assert list(store.root_names()) == []

    def test_paths_that_lead_upwards_stay_in_the_archive(self, tmp_path: Path) -> None:
        path = tmp_path / "x_backup_group_0_level_0.tar"
        with tarfile.open(path, "w") as archive:
            for name in ("good", "../evil", "a/../../evil"):
                info = tarfile.TarInfo(name)
                info.size = 4
                archive.addfile(info, io.BytesIO(b"evil"))
        store = new_store()
        (level,) = load(store, path)
        assert [entry.path for entry in entries(store, level)] == [b"/good"]
        assert level.stats["warnings"] == 2
        assert export(store, level, tmp_path / "again").read_bytes() == path.read_bytes()

    def test_rows_spill(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("siltstone.engine.row_sorter.RUN", 7)
        for number in range(100):
            (tmp_path / f"{(number * 37) % 100}").write_text(str(number))
        path = tmp_path / "x_backup_group_0_level_0.tar"
        names = [str((number * 59) % 100) for number in range(100)]
        tar("-cf", path, *names, "5", folder=tmp_path)
        store = new_store()
        (level,) = load(store, path)
        found = [entry.path for entry in entries(store, level)]
        assert found == sorted(b"/%d" % number for number in range(100))
        assert all(stat.S_ISREG(entry.mode) for entry in entries(store, level))
