"""Listing ahead of the scan: what it gives is what the directory has, in the order of the scan, and never more."""

import os
import random
import socket
from pathlib import Path
from typing import Any

import pytest

from siltstone.engine import ahead as module
from siltstone.engine.ahead import Ahead
from siltstone.engine.entry import order_key
from siltstone.engine.files import COMPILED, Lister, scan_directory
from tests.files_twins import footprint
from tests.trees import make_tree

pytestmark = pytest.mark.skipif(not COMPILED, reason="without a compiler the scan lists everything itself")

EVERYTHING = 1 << 40


def device_of(folder: Path) -> int:
    return folder.stat().st_dev


def directories(top: Path) -> list[bytes]:
    """All of them, `top` first, in path order."""
    return sorted((folder for folder, _, _ in os.walk(os.fsencode(top))), key=order_key)


def branches(top: Path, depth: int = 3, width: int = 4) -> None:
    """Folders in folders, with a few files in each, of names that sort apart from their paths."""
    for number in range(width if depth else 0):
        folder = top / ["b", "b-c", "b c", "b0"][number % 4]
        folder.mkdir()
        (folder / "file").touch()
        branches(folder, depth - 1, width)


class Clock:
    """Stands still."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


class TestLister:
    @pytest.mark.parametrize("entries", [1, 7, 100, EVERYTHING])
    def test_every_directory_in_path_order(self, tmp_path: Path, entries: int) -> None:
        branches(tmp_path)
        (tmp_path / "link").symlink_to(tmp_path / "b")
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(tmp_path / "socket"))
        lister, found = Lister(os.fsencode(tmp_path), device_of(tmp_path)), list[bytes]()
        while some := lister.more(entries):
            before_the_last = sum(len(listing) + 1 for _, listing in some[:-1])
            assert before_the_last < entries
            assert all(list(listing) == list(scan_directory(path)) for path, listing in some)
            found += [path for path, _ in some]
        assert found == directories(tmp_path)
        assert len(found) == 1 + 4 + 16 + 64
        assert lister.more(entries) == []

    def test_more_directories_than_are_listed_at_once(self, tmp_path: Path) -> None:
        for number in range(600):
            (tmp_path / str(number)).mkdir()
        lister, found = Lister(os.fsencode(tmp_path), device_of(tmp_path)), list[bytes]()
        while some := lister.more(EVERYTHING):
            assert len(some) < 300
            found += [path for path, _ in some]
        assert found == directories(tmp_path)

    def test_paths_longer_than_the_kernel_takes(self, tmp_path: Path) -> None:
        make_tree(tmp_path / "tree", 1)
        some = Lister(os.fsencode(tmp_path), device_of(tmp_path)).more(EVERYTHING)
        assert max(len(path) for path, _ in some) > 4096
        assert all(list(listing) == list(scan_directory(path)) for path, listing in some)

    def test_what_is_left_to_the_scan(self, tmp_path: Path) -> None:
        """What cannot be listed, is large, or lies on another device."""
        for name in ("gone", "kept", "large"):
            (tmp_path / name / "inside").mkdir(parents=True)
        large = tmp_path / "large"
        for number in range(3000):
            (large / f"{number:0200}").touch()
        counted = large.stat().st_size > 256 << 10  # some file systems do not count names
        lister = Lister(os.fsencode(tmp_path), device_of(tmp_path))
        assert [path for path, _ in lister.more(1)] == [os.fsencode(tmp_path)]
        (tmp_path / "gone").rename(tmp_path / "was")
        found = [path for path, _ in lister.more(EVERYTHING)]
        expected = ["kept", "kept/inside"] + ([] if counted else ["large", "large/inside"])
        assert found == [os.fsencode(tmp_path / each) for each in expected]
        elsewhere = Lister(os.fsencode(tmp_path), device_of(tmp_path) + 1)
        assert [path for path, _ in elsewhere.more(EVERYTHING)] == [os.fsencode(tmp_path)]

    def test_what_is_skipped(self, tmp_path: Path) -> None:
        for name in ("a/a/a", "a/b", "ab", "b"):
            (tmp_path / name).mkdir(parents=True)
        top = os.fsencode(tmp_path)

        def rest(skipped: bytes, after: int = 1) -> list[bytes]:
            lister = Lister(top, device_of(tmp_path))
            for _ in range(after):
                lister.more(1)
            lister.skip(top + skipped)
            return [path[len(top) :] for path, _ in lister.more(EVERYTHING)]

        assert rest(b"/a") == [b"/ab", b"/b"]
        assert rest(b"/a", after=2) == [b"/ab", b"/b"]  # it is in there already
        assert rest(b"/a/a", after=3) == [b"/a/b", b"/ab", b"/b"]
        assert rest(b"/b") == [b"/a", b"/a/a", b"/a/a/a", b"/a/b", b"/ab", b"/b"]  # that is not next
        assert rest(b"") == rest(b"/") == []

    def test_the_root_of_all(self) -> None:
        device = os.stat("/").st_dev
        lister = Lister(b"/", device)
        names = [path for _ in range(3) for path, _ in lister.more(1)]
        assert names[0] == b"/"
        assert all(path.startswith(b"/") and b"//" not in path for path in names)
        lister.skip(b"/")
        assert lister.more(1) == []

    def test_wrong_arguments(self) -> None:
        unchecked: Any = Lister
        for wrong in ((), ("text", 1), (b"a\0b", 1), (b"a",), (b"a", "b")):
            with pytest.raises((TypeError, ValueError)):
                unchecked(*wrong)
        with pytest.raises(TypeError):
            unchecked(b"/", device=1)
        with pytest.raises(TypeError):
            unchecked(b"/", 1).more("text")

    def test_nothing_is_left_behind(self, tmp_path: Path) -> None:
        branches(tmp_path, 2)

        def run() -> None:
            lister = Lister(os.fsencode(tmp_path), device_of(tmp_path))
            lister.more(3)
            lister.skip(os.fsencode(tmp_path / "b"))
            lister.more(5)  # and the rest stays
            Lister(b"/nowhere", 0).more(1)

        before, after = footprint(run, 500), footprint(run, 500)
        assert after.descriptors == before.descriptors
        assert abs(after.blocks - before.blocks) < 100
        assert after.allocated - before.allocated < 100_000


class TestAhead:
    def test_any_directories_in_order(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of those that are asked for each is there; what is not entered is not in the way."""
        monkeypatch.setattr(module, "AT_ONCE", 5)
        monkeypatch.setattr(module, "FIRST", 2)
        branches(tmp_path)
        for seed in range(30):
            chance = random.Random(seed)
            left_out = b"nothing"
            with Ahead(os.fsencode(tmp_path), device_of(tmp_path)) as ahead:
                for path in directories(tmp_path):
                    if path.startswith(left_out + b"/"):
                        continue
                    if chance.random() < 0.2:
                        left_out = path
                        ahead.skip(path)
                        continue
                    listing = ahead.take(path)
                    assert listing is not None
                    assert list(listing) == list(scan_directory(path))
                assert ahead.take(b"\xff") is None

    def test_what_it_does_not_have(self, tmp_path: Path) -> None:
        branches(tmp_path, 1)
        top = os.fsencode(tmp_path)
        with Ahead(top, device_of(tmp_path)) as ahead:
            assert ahead.take(top) is not None
            assert ahead.take(top + b"/a") is None
            assert ahead.take(top + b"/b") is not None
            assert ahead.take(top + b"/b/x") is None
            assert ahead.take(top + b"/b0") is not None
            assert ahead.take(top + b"/z") is None

    def test_what_was_listed_long_ago(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        branches(tmp_path)
        clock = Clock()
        monkeypatch.setattr(module, "time", clock)
        monkeypatch.setattr(module, "AT_ONCE", 20)
        paths = directories(tmp_path)
        with Ahead(os.fsencode(tmp_path), device_of(tmp_path)) as ahead:
            assert ahead.take(paths[0]) is not None
            clock.now += module.FRESH - 1
            assert ahead.take(paths[1]) is not None
            clock.now += 1
            assert ahead.take(paths[2]) is None
            later = [ahead.take(path) is not None for path in paths[3:]]
            assert any(later), "what is listed from now on is new"
            assert later == sorted(later)

    def test_a_scan_that_is_left(self, tmp_path: Path) -> None:
        branches(tmp_path)
        with pytest.raises(ZeroDivisionError), Ahead(os.fsencode(tmp_path), device_of(tmp_path)):
            raise ZeroDivisionError
