"""Folders of a restore that are hidden until they are whole: what others can see of it at any moment."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from siltstone.engine import restore_plan, restore_small, restore_walk, restore_window
from siltstone.engine.files import write_files
from siltstone.store import Store
from tests.backed_up import back_up, new_store
from tests.restoring import below, leftovers, put_back
from tests.trees import difference


@pytest.fixture
def store() -> Store:
    return new_store()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Folders in folders, each with small files; and one in one with a file that is large."""
    tree = tmp_path / "tree"
    for folder in ("", "a", "a/b", "a/b/c", "d", "d/e", "f", "large", "large/below"):
        (tree / folder).mkdir(parents=True)
        for number in range(20):
            (tree / folder / f"{number}").write_bytes(os.urandom(200 + number))
    (tree / "large/below/file").write_bytes(os.urandom(6_000_000))
    return tree


class Watch:
    """In the place of `write_files`: looks, before and after each call, at what can be seen below `out`."""

    def __init__(self, tree: Path, out: Path) -> None:
        self.tree, self.out = tree, out
        self.renamed = self.direct = 0
        self.seen: set[str] = set()
        self.left = 10**9  # calls until somebody interrupts

    def __call__(self, where: Any, names: Sequence[bytes], temps: Sequence[bytes], *more: Any, **options: Any) -> Any:
        self.look()
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt
        direct = sum(map(bytes.__eq__, names, temps))
        self.direct += direct
        self.renamed += len(names) - direct
        result = write_files(where, names, temps, *more, **options)
        self.look()
        return result

    def look(self) -> None:
        """Whatever is found by its path is whole."""
        for path in self.visible(self.out):
            self.seen.add(str(path.relative_to(self.out)))
            if path.is_file():
                assert path.read_bytes() == (self.tree / path.relative_to(self.out)).read_bytes()

    def visible(self, folder: Path) -> Iterator[Path]:
        """What lies below a folder and in nothing with a temporary name."""
        for path in folder.iterdir() if folder.exists() else ():
            if not path.name.startswith(".silt-"):
                yield path
                if path.is_dir():
                    yield from self.visible(path)


def watched(monkeypatch: pytest.MonkeyPatch, tree: Path, out: Path, *, window: int) -> Watch:
    """A watch over restores with windows of so many files."""
    watch = Watch(tree, out)
    monkeypatch.setattr(restore_small, "write_files", watch)
    monkeypatch.setattr(restore_plan, "WINDOW_FILES", window)
    monkeypatch.setattr(restore_walk, "WINDOW_FILES", window)
    return watch


def test_most_files_are_written_under_their_names_and_none_is_seen_before_it_is_whole(
    tmp_path: Path, store: Store, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    level = back_up(store, tree)
    for window in (1000, 30, 7):
        out = tmp_path / f"out {window}"
        watch = watched(monkeypatch, tree, out, window=window)
        assert not put_back(store, level, out, base=tree, verify=True).failures
        assert not difference(tree, out)
        assert watch.direct + watch.renamed == 180
        assert watch.direct >= {1000: 120, 30: 20, 7: 0}[window]
        assert watch.renamed >= 60  # of the folder that was there, and of those above a large file


def test_an_interrupted_one_leaves_what_is_whole_under_its_name(
    tmp_path: Path, store: Store, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    level, out = back_up(store, tree), tmp_path / "out"
    watch = watched(monkeypatch, tree, out, window=1000)
    watch.left = 2
    monkeypatch.setattr(restore_window, "BATCH_FILES", 40)
    with pytest.raises(KeyboardInterrupt):
        put_back(store, level, out, base=tree)
    assert not leftovers(out)
    watch.look()
    assert any((tree / path).is_file() for path in watch.seen)  # which come first is up to the order of the frames
    assert not put_back(store, level, out, base=tree).failures
    assert not difference(tree, out)


def test_folders_that_only_lead_to_what_is_selected_hide_nothing(
    tmp_path: Path, store: Store, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two restores of folders that lie beside each other may be at work at once: each tidies what it comes through."""
    level, out = back_up(store, tree), tmp_path / "out"
    watch = watched(monkeypatch, tree, below(out, tree), window=1000)
    put_back(store, level, out, tree / "a")
    assert "a" in watch.seen
    assert "a/b" not in watch.seen
    assert (watch.renamed, watch.direct) == (20, 40)
    assert not difference(tree / "a", below(out, tree / "a"))


def test_a_name_that_a_file_took_meanwhile_is_a_failure_of_that_folder(
    tmp_path: Path, store: Store, tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    level, out = back_up(store, tree), tmp_path / "out"
    watch = watched(monkeypatch, tree, out, window=1000)
    monkeypatch.setattr(watch, "look", (out / "f").touch)
    result = put_back(store, level, out, base=tree)
    ((path, reason),) = result.failures
    assert (os.fsencode(path), "ot a directory" in reason) == (bytes(tree / "f"), True)
    (out / "f").unlink()
    monkeypatch.undo()
    assert not put_back(store, level, out, base=tree).failures
    assert not difference(tree, out)
