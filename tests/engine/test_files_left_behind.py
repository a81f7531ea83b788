"""Nothing is left behind by either twin, whether a call succeeds or fails: no descriptor, no reference, no memory.

Rule: every way out of every function is taken hundreds of times, twice; the second time may cost nothing more.
It does not look at the disk: that failures leave no temporary files is tested with the writing.
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.files_twins import each_twin, footprint, head, opened


@each_twin
def test_by_listing_and_reading(files: Any, tmp_path: Path) -> None:
    good, bad = os.fsencode(tmp_path / "good"), os.fsencode(tmp_path / "bad")
    (tmp_path / "good").write_bytes(b"x")
    long = good[:-4] + b"./" * 2048 + b"good"
    buffer = bytearray(8)
    fd = os.open(tmp_path, os.O_RDONLY)
    calls: list[Callable[[], object]] = [
        lambda: files.read_files([good, bad, os.fsencode(tmp_path), long], [1, 1, 1, 1], buffer),
        lambda: files.read_files([good] * 2000 + ["text"], [0] * 2001, buffer),
        lambda: files.read_files([good], [1, 2], buffer),
        lambda: files.read_files([good], [9], buffer),
        lambda: files.read_files(7, [9], buffer),
        lambda: files.scan_directory(bad),
        lambda: files.scan_directory(good),
        lambda: files.scan_directory(2**70),
        lambda: files.scan_directory(fd)[5],
        lambda: list(files.scan_directory(fd)),
        lambda: (files.stat_path(good), files.stat_path(long)),
        lambda: files.stat_path(bad),
        lambda: files.stat_path(None),
    ]

    def run() -> None:
        for call in calls:
            with contextlib.suppress(OSError, ValueError, TypeError, OverflowError, IndexError):
                call()

    before, after = footprint(run, 500), footprint(run, 500)
    os.close(fd)
    assert after.descriptors == before.descriptors
    assert abs(after.blocks - before.blocks) < 100
    assert after.allocated - before.allocated < 100_000
    buffer.append(0)  # nobody holds it


@each_twin
def test_by_writing(files: Any, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    buffer = bytearray(b"xyz")
    with opened(tmp_path) as fd:
        good: list[Any] = [[fd, fd], [b"a", b"folder"], [b"b", b"c"], [0, 0], [2, 2], [head(), head()], buffer]
        wrong = [(0, [fd, "x"]), (1, [b"a", b"/"]), (2, [b"a"]), (4, [2, 9]), (5, [head(), b""]), (6, 7), (3, 3)]
        calls = [[*good[:column], bad, *good[column + 1 :]] for column, bad in wrong]

        def run() -> None:
            files.write_files(*good, owner=True)
            for call in calls:
                with contextlib.suppress(ValueError, TypeError):
                    files.write_files(*call, owner=False)
            with contextlib.suppress(ValueError):
                files.write_files(*([item] * 2000 for item in [fd, b"/", b"b", 0, 0, head()]), buffer, owner=False)
            with contextlib.suppress(TypeError):
                files.write_files(*good)

        before, after = footprint(run, 300), footprint(run, 300)
    assert after.descriptors == before.descriptors
    assert abs(after.blocks - before.blocks) < 100
    assert after.allocated - before.allocated < 100_000
    buffer.append(0)  # nobody holds it
