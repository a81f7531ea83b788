"""What listing, reading and creating small files costs: the C module beside its plain twin, in nanoseconds a file.

Rule: every case makes its own seeded files in a new folder, checks what it did, and takes their number, so that the
suite runs it tiny. Figures are the best of the rounds, with a warm page cache; creating is measured once a round, in
new folders, for it depends on the disk's mood. It compares the twins with each other, not with other programs.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from siltstone.engine import files_plain, files_plain_write

FILE_BYTES = 8192
FOLDER_FILES = 50
BATCH = 500  # files read or written by one call: 4 MiB


def twins() -> dict[str, Any]:
    """Each twin by its name; the C modules only where they were built."""
    made = {"plain": SimpleNamespace(**vars(files_plain) | vars(files_plain_write))}
    with suppress(ImportError):
        from siltstone.engine import _files, _listing

        made["C"] = SimpleNamespace(**vars(_files) | vars(_listing))
    return made


def make(top: Path, count: int) -> list[bytes]:
    """`count` files of 8 KiB, fifty a folder: their paths."""
    paths = []
    for i in range(count):
        folder = top / f"{i // FOLDER_FILES:05d}"
        if i % FOLDER_FILES == 0:
            folder.mkdir(parents=True)
        path = folder / f"{i:08d}.dat"
        path.write_bytes(i.to_bytes(8, "little") * (FILE_BYTES // 8))
        paths.append(os.fsencode(path))
    return paths


def scan(files: Any, top: Path, paths: list[bytes]) -> None:
    """List every folder."""
    seen = 0
    for folder, _ in files.scan_directory(os.fsencode(top)):
        for _name, _stat in files.scan_directory(os.path.join(os.fsencode(top), folder)):
            seen += 1
    assert seen == len(paths)


def read(files: Any, paths: list[bytes], threads: int) -> None:
    """Read every file, in batches into buffers that live."""
    batches = [paths[i : i + BATCH] for i in range(0, len(paths), BATCH)]

    def share(of: list[list[bytes]]) -> int:
        buffer = bytearray(BATCH * FILE_BYTES)
        results = [files.read_files(batch, [FILE_BYTES] * len(batch), buffer) for batch in of]
        return sum(length for result in results for _, _, length, *_ in result)

    with ThreadPoolExecutor(threads) as pool:
        total = sum(pool.map(share, [batches[i::threads] for i in range(threads)]))
    assert total == FILE_BYTES * len(paths)


def write(files: Any, top: Path, count: int, threads: int) -> None:
    """Create files like those of `make`, with mode and mtime, under their names at once."""
    head = files_plain.stat_path(os.fsencode(__file__))
    buffer = bytes(FILE_BYTES * FOLDER_FILES)

    def fill(number: int) -> int:
        folder = top / f"{number:05d}"
        folder.mkdir()
        n = min(FOLDER_FILES, count - number * FOLDER_FILES)
        fd = os.open(folder, os.O_RDONLY)
        names = [b"%08d.dat" % i for i in range(n)]
        starts = [i * FILE_BYTES for i in range(n)]
        results = files.write_files(
            [fd] * n, names, names, starts, [FILE_BYTES] * n, [head] * n, buffer, owner=False
        )  # fmt: skip
        os.close(fd)
        return sum(not any(result) for result in results)

    with ThreadPoolExecutor(threads) as pool:
        assert sum(pool.map(fill, range(-(-count // FOLDER_FILES)))) == count


def spent(count: int, work: Callable[..., None], *arguments: Any) -> float:
    """Nanoseconds a file."""
    start = time.perf_counter()
    work(*arguments)
    return (time.perf_counter() - start) / count * 1e9


def measure(top: Path, count: int, rounds: int) -> dict[str, float]:
    """Nanoseconds a file of every case, by 'case, threads, twin'. The files stay below `top`."""
    paths = make(top / "files", count)
    figures: dict[str, list[float]] = {}
    for turn in range(rounds):
        for name, files in twins().items():
            figures.setdefault(f"scan, {name}", []).append(spent(count, scan, files, top / "files", paths))
            for threads in (1, 2):
                figures.setdefault(f"read, threads: {threads}, {name}", []).append(
                    spent(count, read, files, paths, threads)
                )
                new = top / f"new-{turn}-{name}-{threads}"
                new.mkdir()
                figures.setdefault(f"write, threads: {threads}, {name}", []).append(
                    spent(count, write, files, new, count, threads)
                )
    return {case: min(found) for case, found in figures.items()}


def main() -> None:
    """Measure and print, one line a case."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000, help="files (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="where to make them (default: the temporary folder)")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as top:
        for case, figure in measure(Path(top), chosen.count, chosen.rounds).items():
            print(f"{case:32} {figure:8.0f} ns a file")


if __name__ == "__main__":
    main()
