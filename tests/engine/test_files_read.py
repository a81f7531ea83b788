"""Reading many files into one buffer: the C module and its plain twin do the same, and no failure stops the others.

Rule: each test runs on both, or compares them. It makes real files on a real disk; what only root or some file systems
can make (flags, xattrs, leases) is made where it can be. It does not measure.
"""

import errno
import fcntl
import mmap
import os
import signal
import struct
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.engine.flags import SETTABLE, read_flags, write_flags
from tests.files_twins import compiled, each_twin, make, needs_both, packed, plain, somebody_else

Result = tuple[int, int, int, bytes, int, int]
SIZE = struct.Struct("<16xQ")  # in a stat

contents = st.integers(0, 70_000).map(lambda n: (b"%d " % n * (n // 3 + 1))[:n])
kinds = st.sampled_from(["file"] * 8 + ["hole", "directory", "symlink", "fifo", "socket", "none"])
cases = st.lists(st.tuples(kinds, contents, st.integers(-9, 9)), max_size=12)


def read(files: Any, paths: list[bytes], sizes: list[int], room: int | None = None) -> tuple[list[Result], bytes]:
    buffer = bytearray(sum(sizes) if room is None else room)
    return files.read_files(paths, sizes, buffer), bytes(buffer)


class TestContents:
    @needs_both
    @given(files=cases)
    @settings(max_examples=100)
    def test_random_files_of_other_sizes_than_expected(self, files: list[tuple[str, bytes, int]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            paths, sizes = [], []
            for i, (kind, content, surplus) in enumerate(files):
                paths.append(os.fsencode(f"{folder}/{i}"))
                sizes.append(max(0, len(content) + surplus))
                if kind == "file":
                    Path(f"{folder}/{i}").write_bytes(content)
                elif kind != "none":
                    make(os.fsencode(folder), b"%d" % i, kind)
            results, buffer = read(plain, paths, sizes)
            assert read(compiled, paths, sizes) == (results, buffer)
            at = 0
            for path, size, (kind, *_), (code, start, length, stat, *extras) in zip(
                paths, sizes, files, results, strict=True
            ):
                assert start == at
                assert (code == 0) == (kind in {"file", "hole"})
                if code == 0:
                    is_there = Path(os.fsdecode(path)).read_bytes()
                    assert buffer[start : start + length] == is_there[:size]
                    assert stat == packed(os.lstat(path))
                    assert extras == [0, 0] or extras[0] > 0  # a security module may label every file
                at += length

    @each_twin
    def test_each_failure_is_its_own(self, files: Any, tmp_path: Path) -> None:
        top = os.fsencode(tmp_path) + b"/"
        for kind in ("file", "symlink", "directory", "fifo", "socket"):
            make(top, kind.encode(), kind)
        (tmp_path / "good").write_bytes(b"good")
        codes = {
            b"none": errno.ENOENT,
            b"symlink": errno.ELOOP,
            b"directory": errno.ENOTSUP,
            b"fifo": errno.ENOTSUP,
            b"socket": errno.ENXIO,
            b"file/below": errno.ENOTDIR,
            b"x" * 256: errno.ENAMETOOLONG,
        }
        paths = [part for name in codes for part in (top + name, top + b"good")]
        results, buffer = read(files, paths, [4] * len(paths))
        assert [code for code, *_ in results[::2]] == list(codes.values())
        assert [(code, length) for code, _, length, *_ in results[1::2]] == [(0, 4)] * len(codes)
        assert buffer.rstrip(b"\0") == b"good" * len(codes)
        for path, (code, _, length, stat, *extras) in zip(paths[::2], results[::2], strict=True):
            assert (length, extras) == (0, [0, 0])
            assert stat == (packed(os.lstat(path)) if code == errno.ENOTSUP else b"")

    @each_twin
    def test_an_error_while_reading(self, files: Any, tmp_path: Path) -> None:
        (tmp_path / "good").write_bytes(b"good")
        good = os.fsencode(tmp_path / "good")  # and /proc/self/mem, at 0, where no memory is:
        results, buffer = read(files, [good, b"/proc/self/mem", good], [4, 4, 4])
        assert [result[:3] for result in results] == [(0, 0, 4), (errno.EIO, 4, 0), (0, 4, 4)]
        assert buffer == b"goodgood\0\0\0\0"
        assert len(results[1][3]) == 72

    @each_twin
    def test_who_may_not_read_is_told_so_and_who_owns_nothing_can_read(
        self, files: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        tmp_path.chmod(0o755)
        for name, mode in [("shut", 0o000), ("open", 0o644)]:
            Path(name).write_text(name)
            Path(name).chmod(mode)
        with somebody_else():
            results, buffer = read(files, [b"shut", b"open"], [4, 4])
        assert [result[:3] for result in results] == [(errno.EACCES, 0, 0), (0, 0, 4)]
        assert buffer == b"open\0\0\0\0"

    @each_twin
    def test_growth_and_shrinking_show_in_the_stat(self, files: Any, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"123456789")
        [(code, _, length, stat, *_)], buffer = read(files, [os.fsencode(path)], [5])
        assert (code, length, SIZE.unpack_from(stat), buffer) == (0, 5, (9,), b"12345")
        [(code, _, length, stat, *_)], buffer = read(files, [os.fsencode(path)], [12])
        assert (code, length, SIZE.unpack_from(stat), buffer) == (0, 9, (9,), b"123456789\0\0\0")

    @each_twin
    def test_a_file_that_says_it_is_empty_and_is_not(self, files: Any) -> None:
        assert os.stat("/proc/version").st_size == 0
        [(code, _, length, stat, *_)], _ = read(files, [b"/proc/version"], [0])
        assert (code, length, SIZE.unpack_from(stat)) == (0, 0, (1,))

    @each_twin
    def test_a_file_that_grows_meanwhile_never_looks_whole(self, files: Any, tmp_path: Path) -> None:
        path, stop = os.fsencode(tmp_path / "log"), threading.Event()

        def grow() -> None:
            with open(path, "ab", buffering=0) as log:
                while not stop.is_set():
                    log.write(b"line\n" * 200)

        Path(os.fsdecode(path)).touch()
        thread = threading.Thread(target=grow)
        thread.start()
        try:
            ends, grown = time.monotonic() + 20, 0
            while grown < 20 and time.monotonic() < ends:
                before = os.path.getsize(path)
                [(code, _, length, stat, *_)], buffer = read(files, [path], [before])
                assert (code, length) == (0, before)
                assert buffer == (b"line\n" * (before // 5 + 1))[:before]
                after = SIZE.unpack_from(stat)[0]
                assert after >= before
                grown += after > before
                if before > 1 << 20:
                    os.truncate(path, 0)
        finally:
            stop.set()
            thread.join()
        assert grown

    @each_twin
    def test_the_stat_is_from_after_the_reading(self, files: Any, tmp_path: Path) -> None:
        """A thread counts in the last bytes of a large file, and after each count in the mtime."""
        path, counting = tmp_path / "file", threading.Event()
        path.write_bytes(bytes(16 << 20))

        def count() -> None:
            with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as content:
                number = 0
                while counting.is_set():
                    number += 1
                    content[-8:] = number.to_bytes(8, "little")  # which sets no mtime of its own, as write() would
                    os.utime(file.fileno(), ns=(0, number))

        counting.set()
        thread = threading.Thread(target=count)
        thread.start()
        try:
            for _ in range(15):
                [(code, _, _, stat, *_)], buffer = read(files, [os.fsencode(path)], [16 << 20])
                assert code == 0
                assert int.from_bytes(stat[24:32], "little") >= int.from_bytes(buffer[-8:], "little") - 1
        finally:
            counting.clear()
            thread.join()


class TestExtras:
    @each_twin
    def test_the_access_time_stays(self, files: Any, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"x")
        os.utime(path, ns=(1, 2))  # relatime would set it now
        read(files, [os.fsencode(path)], [1])
        files.scan_directory(os.fsencode(tmp_path))
        assert path.stat().st_atime_ns == 1

    @each_twin
    def test_xattrs_are_noticed(self, files: Any, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.touch()
        [(*_, before, _)], _ = read(files, [os.fsencode(path)], [0])
        try:
            os.setxattr(path, b"user.\xff", b"value")
        except OSError:
            pytest.skip("no xattrs here")
        [(*_, after, _)], _ = read(files, [os.fsencode(path)], [0])
        assert after - before == len(b"user.\xff\0")

    @each_twin
    def test_flags_are_those_that_can_be_set(self, files: Any, tmp_path: Path) -> None:
        path = tmp_path / "file"
        with open(path, "wb") as file:
            flags = read_flags(file.fileno())
            if flags is None or write_flags(file.fileno(), flags, nodump := 0x40):
                pytest.skip("no flags here")
            [(*_, seen)], _ = read(files, [os.fsencode(path)], [0])
            assert seen == nodump
            assert seen == (read_flags(file.fileno()) or 0) & SETTABLE

    @each_twin
    def test_a_leased_file_is_waited_for(self, files: Any, tmp_path: Path) -> None:
        path = tmp_path / "file"
        path.write_bytes(b"leased")
        fd = os.open(path, os.O_RDWR)
        before = signal.signal(signal.SIGIO, signal.SIG_IGN)
        timer = threading.Timer(0.2, fcntl.fcntl, (fd, fcntl.F_SETLEASE, fcntl.F_UNLCK))
        try:
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            timer.start()
            [(code, *_)], buffer = read(files, [os.fsencode(path)], [6])
            assert (code, buffer) == (0, b"leased")
            timer.join()
        finally:
            signal.signal(signal.SIGIO, before)
            os.close(fd)


class TestArguments:
    @each_twin
    def test_what_makes_no_sense_is_refused_before_anything_is_read(self, files: Any, tmp_path: Path) -> None:
        path = os.fsencode(tmp_path / "file")
        (tmp_path / "file").write_bytes(b"xx")
        buffer = bytearray(3)
        for paths, sizes in [
            ([path, path], [2, 2]),
            ([path], [4]),
            ([path, path], [2, 2**62]),
            ([path, path], [2**62, 2**62]),
            ([path], [2, 0]),
            ([path], []),
            ([path], [-1]),
            ([path, path + b"\0"], [1, 1]),
        ]:
            with pytest.raises(ValueError):
                files.read_files(paths, sizes, buffer)
        for wrong in [([os.fsdecode(path)], [1], buffer), ([path], ["1"], buffer), ([path], [1], b"read only")]:
            with pytest.raises((TypeError, BufferError)):
                files.read_files(*wrong)
        assert buffer == bytes(3)
        assert files.read_files([], [], buffer) == []

    @each_twin
    def test_the_buffer_may_be_a_part_of_another(self, files: Any, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"xx")
        buffer = bytearray(6)
        files.read_files([os.fsencode(tmp_path / "file")] * 2, [1, 2], memoryview(buffer)[1:4])
        assert buffer == b"\0xxx\0\0"

    @each_twin
    def test_two_threads_at_once(self, files: Any, tmp_path: Path) -> None:
        paths = [os.fsencode(tmp_path / f"{i}") for i in range(300)]
        for i, path in enumerate(paths):
            Path(os.fsdecode(path)).write_bytes(b"%03d" % i * i)
        sizes = [3 * i for i in range(300)]
        alone = read(files, paths, sizes)
        with ThreadPoolExecutor(4) as pool:
            for together in pool.map(lambda _: read(files, paths, sizes), range(40)):
                assert together == alone
