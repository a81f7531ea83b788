"""Listing a directory: the C module and its plain twin do the same, and what the operating system says is the judge.

Rule: each test runs on both, or compares them. It makes real trees on a real disk; what only root or some file systems
can make (devices, other users) is made where it can be. It does not measure.
"""

import errno
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.files_bench import measure
from siltstone.engine import files as front
from tests.files_twins import (
    KINDS,
    compiled,
    each_twin,
    expected_listing,
    make,
    needs_both,
    packed,
    plain,
    somebody_else,
)

names = st.binary(min_size=1, max_size=24).map(lambda b: b.replace(b"\0", b"0").replace(b"/", b"~") + b"_")
trees = st.dictionaries(names, st.sampled_from(KINDS), max_size=12)


class TestListing:
    @each_twin
    def test_every_kind_is_listed_as_the_system_stats_it(self, files: Any, tmp_path: Path) -> None:
        folder = os.fsencode(tmp_path)
        for kind in KINDS:
            make(folder, b"\xff\xfe " + kind.encode(), kind)
        make(folder, b"linked", "linked")
        make(folder, b"n" * 255, "file")
        os.utime(folder + b"/linked", ns=(0, -1_500_000_001))
        listing = files.scan_directory(folder)
        assert list(listing) == expected_listing(folder)
        assert len(listing) == len(KINDS) + 3
        assert listing[0] == next(iter(listing))
        with pytest.raises(IndexError):
            listing[len(listing)]

    @needs_both
    @given(tree=trees)
    @settings(max_examples=60)
    def test_random_directories(self, tree: dict[bytes, str]) -> None:
        assert compiled is not None
        with tempfile.TemporaryDirectory() as folder:
            for name, kind in tree.items():
                make(os.fsencode(folder), name, kind)
            listing = list(plain.scan_directory(os.fsencode(folder)))
            assert listing == expected_listing(os.fsencode(folder))
            assert list(compiled.scan_directory(os.fsencode(folder))) == listing

    @each_twin
    def test_names_that_begin_alike_are_sorted_by_their_bytes(self, files: Any, tmp_path: Path) -> None:
        words = ["a" * n for n in range(1, 20)] + [f"{'a' * 12}{chr(c)}{i}" for c in (0x7F, 0x41) for i in range(40)]
        for name in [word.encode() + tail for word in words for tail in (b"", b"\x01", b"\xff")]:
            make(os.fsencode(tmp_path), name, "file")
        assert [name for name, _ in files.scan_directory(os.fsencode(tmp_path))] == sorted(os.listdir(bytes(tmp_path)))

    @each_twin
    def test_many_entries(self, files: Any, tmp_path: Path) -> None:
        for i in range(4_000):
            os.mkdir(tmp_path / f"{i * 7919 % 4_000}")
        assert list(files.scan_directory(os.fsencode(tmp_path))) == expected_listing(os.fsencode(tmp_path))

    @each_twin
    def test_a_descriptor_does_as_well_and_keeps_its_place(self, files: Any, tmp_path: Path) -> None:
        make(os.fsencode(tmp_path), b"one", "file")
        fd = os.open(tmp_path, os.O_RDONLY)
        try:
            assert (
                list(files.scan_directory(fd))
                == list(files.scan_directory(fd))
                == expected_listing(os.fsencode(tmp_path))
            )
        finally:
            os.close(fd)

    @each_twin
    def test_what_is_no_directory_is_refused_by_its_name(self, files: Any, tmp_path: Path) -> None:
        os.symlink(tmp_path, tmp_path / "link")
        (tmp_path / "file").touch()
        for name, code in [("link", errno.ENOTDIR), ("file", errno.ENOTDIR), ("none", errno.ENOENT)]:
            with pytest.raises(OSError) as caught:
                files.scan_directory(os.fsencode(tmp_path / name))
            assert (caught.value.errno, caught.value.filename) == (code, os.fsencode(tmp_path / name))
        with pytest.raises(OSError) as caught:
            files.scan_directory(-1)
        assert (caught.value.errno, caught.value.filename) == (errno.EBADF, -1)
        with pytest.raises(ValueError, match="null"):
            files.scan_directory(b"a\0b")
        with pytest.raises(TypeError):
            files.scan_directory("text")

    @each_twin
    def test_entries_come_and_go_meanwhile(self, files: Any, tmp_path: Path) -> None:
        for i in range(300):
            (tmp_path / f"stays-{i:03}").touch()
        stop = threading.Event()

        def disturb() -> None:
            while not stop.is_set():
                for i in range(0, 300, 7):
                    (tmp_path / f"comes-{i}").touch()
                    os.rename(tmp_path / f"comes-{i}", tmp_path / f"goes-{i}")
                    os.unlink(tmp_path / f"goes-{i}")

        thread = threading.Thread(target=disturb)
        thread.start()
        try:
            for _ in range(50):
                found = [name for name, _ in files.scan_directory(os.fsencode(tmp_path))]
                assert found == sorted(set(found))
                assert sum(name.startswith(b"stays-") for name in found) == 300
        finally:
            stop.set()
            thread.join()

    @each_twin
    def test_an_entry_that_cannot_be_examined_is_there_with_its_reason(
        self, files: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "shut").mkdir()
        (tmp_path / "shut/file").touch()
        monkeypatch.chdir(tmp_path)
        fd = os.open("shut", os.O_RDONLY)
        os.chmod("shut", 0o444)
        os.chmod(tmp_path, 0o755)
        try:
            with somebody_else():
                listing = list(files.scan_directory(b"shut"))
            assert [(name, front.unexamined(stat)) for name, stat in listing] == [(b"file", errno.EACCES)]
        finally:
            os.fchmod(fd, 0o755)
            os.close(fd)
        [(_, good)] = files.scan_directory(b"shut")
        assert front.unexamined(good) == 0


class TestStat:
    @each_twin
    def test_a_path_itself(self, files: Any, tmp_path: Path) -> None:
        make(os.fsencode(tmp_path), b"link", "symlink")
        assert files.stat_path(os.fsencode(tmp_path / "link")) == packed(os.lstat(tmp_path / "link"))
        assert files.stat_path(b"/dev/null") == packed(os.lstat("/dev/null"))
        with pytest.raises(FileNotFoundError) as caught:
            files.stat_path(b"/none/such")
        assert caught.value.filename == b"/none/such"

    @pytest.mark.parametrize("seconds", [-9_223_372_037, -9_223_372_036, -1, 0, 9_223_372_036, 9_223_372_037, 2**34])
    @pytest.mark.parametrize("rest", [0, 1, 145_224_192, 854_775_807, 854_775_808, 999_999_999])
    @each_twin
    def test_times_at_the_end_of_what_64_bits_hold(self, files: Any, seconds: int, rest: int) -> None:
        in_memory = "/dev/shm"  # disks do not hold such times, tmpfs does
        with tempfile.NamedTemporaryFile(dir=in_memory if os.access(in_memory, os.W_OK) else None) as file:
            os.utime(file.name, ns=(0, seconds * 10**9 + rest))
            assert files.stat_path(os.fsencode(file.name)) == packed(os.lstat(file.name))

    def test_of_an_open_file(self, tmp_path: Path) -> None:
        with open(tmp_path / "file", "wb") as file:
            assert front.stat_of(file.fileno()) == packed(os.lstat(tmp_path / "file"))


DEEP = 3 * 4096  # three times what the kernel takes as a path


def dig(top: Path, name: str) -> bytes:
    """Makes directories inside each other until their path is too long, and a file in the last: that file's path."""
    path, fd = os.fsencode(top), os.open(top, os.O_RDONLY)
    while len(path) < DEEP:
        os.mkdir(name, dir_fd=fd)
        deeper = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        path, fd = path + b"/" + name.encode(), deeper
    with open(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=fd), "wb") as file:
        file.write(b"content")
    os.close(fd)
    return path + b"/file"


class TestLongPaths:
    @each_twin
    @pytest.mark.parametrize("length", [50, 127, 204, 255])
    def test_longer_than_the_kernel_takes(self, files: Any, tmp_path: Path, length: int) -> None:
        path = dig(tmp_path, "d" * length)
        [(name, stat)] = files.scan_directory(os.path.dirname(path))
        assert name == b"file"
        assert files.stat_path(path) == stat
        buffer = bytearray(7)
        [result] = files.read_files([path], [7], buffer)
        assert result[:4] == (0, 0, 7, stat)
        assert buffer == b"content"
        for wrong, code in [(path + b"/x", errno.ENOTDIR), (path + b"x", errno.ENOENT), (b"/" + b"x" * DEEP, 36)]:
            with pytest.raises(OSError) as caught:
                files.stat_path(wrong)
            assert (caught.value.errno, caught.value.filename) == (code, wrong)

    @needs_both
    @pytest.mark.parametrize("beyond", range(-3, 4))
    def test_at_the_limit(self, tmp_path: Path, beyond: int) -> None:
        (tmp_path / "file").touch()
        top = os.fsencode(tmp_path)
        for tail in (b"/file", b"/.", b"///", b"/none"):
            path = top + b"/./" * ((4096 + beyond - len(top) - len(tail)) // 3)
            path += b"/" * (4096 + beyond - len(path) - len(tail)) + tail
            assert outcome(plain, path) == outcome(compiled, path)
            assert outcome(plain, path) == (errno.ENOENT if tail == b"/none" else packed(os.lstat(top + tail)))


def outcome(files: Any, path: bytes) -> bytes | int:
    try:
        return bytes(files.stat_path(path))
    except OSError as error:
        return error.errno or -1


class TestFront:
    @pytest.mark.parametrize("missing", [True, False])
    def test_the_c_module_where_it_was_built(self, missing: bool) -> None:
        hide = "sys.modules['siltstone.engine._files'] = None; " if missing else ""
        say = "from siltstone.engine import files; print(files.COMPILED, files.read_files.__module__)"
        run = subprocess.run([sys.executable, "-c", f"import sys; {hide}{say}"], capture_output=True, text=True)
        built = compiled is not None and not missing
        assert run.stdout == f"{built} siltstone.engine.{'_files' if built else 'files_plain'}\n"


def test_the_benchmark_runs(tmp_path: Path) -> None:
    figures = measure(tmp_path, 60, 1)
    assert len(figures) == 5 * (1 if compiled is None else 2)
    assert all(figure > 0 for figure in figures.values())
