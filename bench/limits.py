"""What each step of a backup and of a restore costs alone on this machine, on one core.

Rule: the product's own classes do the work where there are any (Cutter, Compressor, AesSealer, DirectoryBackend,
FrameOpener, read_files, write_files), on buffers that live, as in the product; every case checks what it did. Medians
of the rounds. The process is bound to one core for the time. The sums below the table are of steps one after the other,
which is what a core can do at best; that two cores do twice as much is hoped, not measured here.
"""

import argparse
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median

import lz4.block
import zstandard
from blake3 import blake3
from msgspec import Struct

from bench import files_bench
from bench.content import MIB, text_segment
from bench.machine import describe
from bench.table import markdown, origin, write_place
from siltstone.engine.cut import Cutter
from siltstone.store import FRAME_SIZE, NewFrame, chunk_id
from siltstone.store.directory import DirectoryBackend
from siltstone.store.frame import Compressor, FrameOpener, frame_aad, spread
from siltstone.store.keyring import GEAR_SIZE
from siltstone.store.packer import PACK_SIZE
from siltstone.store.seal import OVERHEAD, AesSealer, Buffer

SETTINGS = ("zstd", "lz4", "zstd:1", "zstd:3", "none")  # the default first
KEY = bytes(range(32))
SEED = 20_250_101
READ = 4 * MIB  # bytes that the engine reads at once


class Costs(Struct):
    """Bytes of plain content a second for each step, and the share of the content that is stored; by setting."""

    rates: dict[str, float]
    ratios: dict[str, float]

    def per_byte(self, *steps: str) -> float:
        """Seconds for one byte of plain content through these steps, one after the other."""
        return sum(1 / self.rates[step] for step in steps)


class Steps:
    """The steps over one content."""

    def __init__(self, folder: Path, content: bytes, rounds: int) -> None:
        self._folder, self._rounds = folder, rounds
        self._content = memoryview(bytearray(content))
        self._size = len(content)
        self._frames: list[NewFrame] = []
        self.costs = Costs({}, {})

    def measure(self) -> Costs:
        """All of them."""
        self._reading()
        for setting in SETTINGS:
            self._codec(setting)
        self._sealing()
        self._opening()
        self._writing()
        return self.costs

    def _take(self, step: str, work: Callable[[], object], share: float = 1.0) -> None:
        """`share`: how many bytes the work handled for one byte of content."""
        spent = []
        for _ in range(self._rounds):
            begun = time.perf_counter()
            work()
            spent.append(time.perf_counter() - begun)
        self.costs.rates[step] = self._size * share / median(spent)

    def _reading(self) -> None:
        """Read, cut, hash; leaves the frames that the content makes."""
        target = memoryview(bytearray(self._size))
        self._take("copy memory", lambda: target.__setitem__(slice(None), self._content))
        path = self._folder / "content"
        path.write_bytes(self._content)
        self._take("read, from the page cache", lambda: _read(path))
        path.unlink()
        cutter = Cutter(random.Random(SEED).randbytes(GEAR_SIZE))
        self._take("cut", lambda: cutter.ends(self._content, last=True))
        spans = list(pairwise([0, *cutter.ends(self._content, last=True)]))
        assert spans[-1][1] == self._size
        self._take("hash chunks", lambda: [chunk_id(self._content[start:end], KEY) for start, end in spans])
        self._take("hash packs", lambda: blake3(self._content).digest())
        self._frames = spread(self._content, [(chunk_id(self._content[a:b], KEY), a, b) for a, b in spans])

    def _codec(self, setting: str) -> None:
        """Compress every frame, and undo it."""
        compressor = Compressor(setting)
        plains = [frame.plain() for frame in self._frames]
        kinds = [frame.noisy for frame in self._frames]

        def compress() -> list[tuple[int, Buffer]]:
            return [compressor.compress(plain, noisy=noisy) for plain, noisy in zip(plains, kinds, strict=True)]

        bodies = compress()
        self.costs.ratios[setting] = sum(len(body) for _, body in bodies) / self._size
        if setting != "none":
            self._take(f"compress, {setting}", compress)
        if setting not in ("zstd", "lz4") or not any(codec for codec, _ in bodies):
            return
        packed = [(body, len(plain)) for (codec, body), plain in zip(bodies, plains, strict=True) if codec]
        zstd = zstandard.ZstdDecompressor()

        def decompress() -> None:
            for body, size in packed:
                if setting == "lz4":
                    plain = lz4.block.decompress(body, uncompressed_size=size)
                else:
                    plain = zstd.decompress(body, max_output_size=size)
                assert len(plain) == size

        self._take(f"decompress, {setting}", decompress, sum(size for _, size in packed) / self._size)

    def _sealing(self) -> None:
        """Seal frames that are not compressed and open them again."""
        sealer, plain = AesSealer(KEY), memoryview(bytearray(2 * FRAME_SIZE))
        sealed = [(frame.plain(), memoryview(bytearray(frame.size + OVERHEAD))) for frame in self._frames]

        def seal() -> None:
            for content, body in sealed:
                sealer.seal_into(content, b"", body)

        def unseal() -> None:
            for content, body in sealed:
                sealer.open_into(body, b"", plain[: len(content)])

        self._take("seal", seal)
        self._take("unseal", unseal)
        assert plain[: self._frames[-1].size] == self._frames[-1].plain()

    def _opening(self) -> None:
        """All that reading a frame takes, as the default compression leaves it."""
        compressor, sealer, opener = Compressor(SETTINGS[0]), AesSealer(KEY), FrameOpener(KEY)
        stored = []
        for frame in self._frames:
            codec, body = compressor.compress(frame.plain())
            sealed = bytearray(len(body) + OVERHEAD)
            sealer.seal_into(body, frame_aad(codec, frame.ids), memoryview(sealed))
            stored.append((frame, codec, sealed))

        def open_frames() -> None:
            for frame, codec, sealed in stored:
                plain = opener.open(sealer, codec, sealed, frame.size, frame.ids, frame.lengths)
                assert len(plain) == frame.size

        self._take("open frames (unseal, decompress, compare ids)", open_frames)

    def _writing(self) -> None:
        """Whole packs, durable; and files as restore writes them."""
        pack = self._content[: min(PACK_SIZE, self._size)]
        packs = max(1, self._size // len(pack))
        backend = DirectoryBackend(self._folder / "store", create=True)
        rounds = iter(range(self._rounds))

        def put() -> None:
            number = next(rounds)
            for each in range(packs):
                backend.put(f"packs/{number}-{each}", [pack])

        self._take("write packs, durably", put, packs * len(pack) / self._size)
        shutil.rmtree(self._folder / "store")
        files = iter([self._folder / f"file-{number}" for number in range(self._rounds)])
        self._take("write a file, into the page cache", lambda: next(files).write_bytes(self._content))
        for number in range(self._rounds):
            (self._folder / f"file-{number}").unlink()


def _read(path: Path) -> None:
    buffer = bytearray(READ)
    with open(path, "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


@contextmanager
def one_core() -> Iterator[None]:
    """Binds the process to one of its cores."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def small_files(folder: Path, count: int, rounds: int) -> dict[str, float]:
    """Seconds a file of 8 KiB for listing, reading, creating and renaming, with the product's fastest code here."""
    files = list(files_bench.twins().values())[-1]
    paths = files_bench.make(folder / "files", count)
    spent: dict[str, list[float]] = {}
    for number in range(rounds):
        new = folder / f"new-{number}"
        new.mkdir()
        for case, nanoseconds in (
            ("list with stat", files_bench.spent(count, files_bench.scan, files, folder / "files", paths)),
            ("open, read, stat, close", files_bench.spent(count, files_bench.read, files, paths, 1)),
            ("create, write, utime", files_bench.spent(count, files_bench.write, files, new, count, 1)),
        ):
            spent.setdefault(case, []).append(nanoseconds / 1e9)
    return {case: median(each) for case, each in spent.items()}


def measure(folder: Path, mebibytes: int, files: int, rounds: int) -> list[str]:
    """The tables as Markdown lines. The folder is used and left empty."""
    text = b"".join(text_segment(number) for number in range(mebibytes))
    source = random.Random(1)
    noise = b"".join(source.randbytes(MIB) for _ in range(mebibytes))  # randbytes takes no 256 MiB at once
    with one_core(), tempfile.TemporaryDirectory(dir=folder) as made:
        costs = [Steps(Path(made), content, rounds).measure() for content in (text, noise)]
        small = small_files(Path(made), files, rounds)
    rows = [[step, *(_rate(each, step) for each in costs)] for step in costs[0].rates]
    sums = [[what, *(f"{1 / of(each) / MIB:.0f}" for each in costs)] for what, of in SUMS.items()]
    costs_of_files = [[case, f"{seconds * 1e6:.1f}"] for case, seconds in small.items()]
    return [
        *markdown(["MiB a second, one core", "text", "random"], [*rows, *sums]),
        "",
        *markdown(["microseconds a file of 8 KiB, one core", ""], costs_of_files),
    ]


def _rate(costs: Costs, step: str) -> str:
    if step not in costs.rates:
        return "-"
    setting = step.removeprefix("compress, ")
    ratio = f" (to {costs.ratios[setting]:.3f})" if setting in costs.ratios else ""
    return f"{costs.rates[step] / MIB:.0f}{ratio}"


def _backup(costs: Costs) -> float:
    """Seconds a byte: sealing, naming and writing concern only what is left after compression."""
    stored = costs.per_byte("seal", "hash packs", "write packs, durably") * costs.ratios["zstd"]
    return costs.per_byte("read, from the page cache", "cut", "hash chunks", "compress, zstd") + stored


def _restore(costs: Costs) -> float:
    steps = ("open frames (unseal, decompress, compare ids)", "write a file, into the page cache")
    return costs.per_byte(*steps) + costs.per_byte("read, from the page cache") * costs.ratios["zstd"]


SUMS: dict[str, Callable[[Costs], float]] = {
    "**backup: read, cut, hash, zstd, seal, write**": _backup,
    "**restore: read, open, write**": _restore,
}


def main(arguments: list[str]) -> int:
    """Measure, print, and write the place `limits` of the document."""
    parser = argparse.ArgumentParser(prog="./dev bench limits", description=__doc__)
    parser.add_argument("--size", type=int, default=256, metavar="MIB", help="of each content (default: %(default)s)")
    parser.add_argument("--files", type=int, default=20_000, metavar="N", help="small ones (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, metavar="DIR", help="where to write (default: the temporary folder)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this document")
    given = parser.parse_args(arguments)
    work = given.work or Path(tempfile.gettempdir())
    lines = measure(work, given.size, given.files, given.rounds)
    lines = [origin(describe(work), "./dev bench limits"), "", *lines]
    print("\n".join(lines))
    if given.write:
        write_place(given.write, "limits", lines)
    return 0
