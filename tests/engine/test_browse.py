"""Listing folders of levels, and what differs between levels, held against plain walks over all entries.

Rule: levels are real backups of real trees that change; what must come out is computed entry by entry.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from siltstone.engine import (
    Change,
    Deployment,
    Entry,
    FileSet,
    Level,
    NothingSelected,
    back_up,
    diff,
    entries,
    list_entries,
    list_levels,
)
from siltstone.engine.browse_diff import changes
from siltstone.engine.entry import order_key
from siltstone.store import Store
from tests.backed_up import ignore, new_store
from tests.history import all_of, level_of, manifest_chunks, reading, store, tree

__all__ = ["store", "tree"]  # fixtures


def paths(found: Iterator[Entry]) -> list[bytes]:
    return [entry.path for entry in found]


class TestList:
    @pytest.mark.parametrize("recursive", [False, True])
    def test_every_folder(self, store: Store, recursive: bool) -> None:
        for level in list_levels(store):
            every = all_of(store, level)
            for folder, entry in every.items():
                if entry.mode & 0o170000 != 0o040000:
                    continue
                below = [path for path in every if path.startswith(folder + b"/")]
                wanted = below if recursive else [path for path in below if b"/" not in path[len(folder) + 1 :]]
                assert paths(list_entries(store, level, folder, recursive=recursive)) == sorted(wanted, key=order_key)

    def test_a_file_is_itself(self, store: Store, tree: Path) -> None:
        level = list_levels(store)[0]
        for name in ("x.txt", "link", "many/0700.txt"):
            path = os.fsencode(tree / name)
            for recursive in (False, True):
                (entry,) = list_entries(store, level, path, recursive=recursive)
                assert entry == all_of(store, level)[path]

    def test_without_a_path_and_above_the_roots(self, store: Store, tree: Path) -> None:
        level = list_levels(store)[0]
        root = os.fsencode(tree)
        for above in (None, b"/", os.fsencode(tree.parent), os.fsencode(tree.parent) + b"//"):
            assert paths(list_entries(store, level, above)) == [root]
            assert paths(list_entries(store, level, above, recursive=True)) == sorted(
                all_of(store, level), key=order_key
            )

    def test_an_empty_folder_is_no_error(self, store: Store, tree: Path) -> None:
        assert paths(list_entries(store, list_levels(store)[0], os.fsencode(tree / "empty"))) == []

    @pytest.mark.parametrize("name", ["nothing", "x.txt/below", "many/0700", "a-b"])
    def test_what_is_not_there(self, store: Store, tree: Path, name: str) -> None:
        with pytest.raises(NothingSelected, match=name):
            list(list_entries(store, list_levels(store)[0], os.fsencode(tree / name)))

    def test_a_folder_before_many_entries_reads_few_chunks(self, tmp_path: Path) -> None:
        (tmp_path / "tree" / "big").mkdir(parents=True)
        (tmp_path / "tree" / "behind").write_bytes(b"")
        (tmp_path / "tree" / "zz").write_bytes(b"")
        for number in range(9000):
            (tmp_path / "tree" / "big" / f"{number:05}").touch()
        store = new_store()
        level = level_of(store, tmp_path / "tree")
        with reading(store) as read:
            found = paths(list_entries(store, level, os.fsencode(tmp_path / "tree")))
        assert [path.rpartition(b"/")[2] for path in found] == [b"behind", b"big", b"zz"]
        assert len(manifest_chunks(store, level)) > 8
        assert len(set(read)) <= 6

    def test_the_root_of_all(self, tmp_path: Path) -> None:
        """A backup of '/' has an entry '/', whose path ends in a slash as no other does."""
        store = new_store()
        keep = os.fsencode(tmp_path)
        names = [b"/" + name for name in os.listdir(b"/") if not keep.startswith(b"/" + name + b"/")]
        parts = keep.split(b"/")
        beside = [b"/".join(parts[:at]) + b"/*" for at in range(2, len(parts))]
        ways = [b"!" + b"/".join(parts[: at + 1]) for at in range(2, len(parts))]
        rules = tuple(map(os.fsdecode, (*names, *(rule for pair in zip(beside, ways, strict=True) for rule in pair))))
        (tmp_path / "file").write_bytes(b"of the root")
        made = Deployment("root", (FileSet("root", (b"/",), rules),))
        level = back_up(store, made, report=ignore).level
        assert level is not None
        assert paths(list_entries(store, level)) == [b"/"]
        assert paths(list_entries(store, level, b"/")) == [b"/".join(parts[:2])]
        assert paths(list_entries(store, level, keep)) == [keep + b"/file"]
        assert set(paths(list_entries(store, level, b"/", recursive=True))) == all_of(store, level).keys() - {b"/"}


class TestDiff:
    def expected(self, store: Store, a: Level, b: Level) -> list[tuple[bytes, str, frozenset[str]]]:
        found = []
        for name in [files.name for files in b.sets]:
            old, new = ({e.path: e for e in entries(store, level, set_name=name)} for level in (a, b))
            for path in sorted(old.keys() | new.keys(), key=order_key):
                if path not in old:
                    found.append((path, "added", frozenset[str]()))
                elif path not in new:
                    found.append((path, "removed", frozenset[str]()))
                elif what := changes(old[path], new[path]):
                    found.append((path, "changed", what))
        return found

    def test_every_pair(self, store: Store) -> None:
        levels = list_levels(store)
        for a in levels:
            for b in levels:
                got = [(change.path, change.kind, change.what) for change in diff(store, a, b)]
                assert got == self.expected(store, a, b)
                assert (got == []) == (
                    a is b or ({a.deployment, b.deployment} == {"t", "zz"} and a.level + b.level == 5)
                )

    def test_what_changed(self, store: Store, tree: Path) -> None:
        levels = list_levels(store)
        root = os.fsencode(tree)

        def between(a: int, b: int) -> dict[bytes, Change]:
            return {change.path[len(root) + 1 :]: change for change in diff(store, levels[a], levels[b])}

        second = between(1, 2)
        assert second[b"a/file"].kind == second[b"a"].kind == "removed"
        assert second[b"x.txt"].what == {"content", "mtime"}
        assert second[b"link"].what == {"target", "mtime"}
        assert second[b"many/0400.txt"].what == {"content", "mtime"}
        third = between(2, 3)
        assert third[b"a"].kind == "added"
        assert [third[path].what for path in (b"x.txt", b"empty")] == [{"mode"}, {"mtime"}]
        assert third[b""].what == {"mtime"}
        both = between(1, 3)
        assert both[b"a"].what >= {"type"}
        before, after = both[b"a"].before, both[b"a"].after
        assert before is not None
        assert after is not None
        assert (before.mode & 0o170000, after.mode & 0o170000) == (0o040000, 0o100000)

    def test_equal_stretches_are_not_read(self, store: Store) -> None:
        before, after = list_levels(store)[4:6]
        shared = set(manifest_chunks(store, before)) & set(manifest_chunks(store, after))
        assert shared
        with reading(store) as read:
            assert list(diff(store, before, after))
        assert not shared & set(read)
