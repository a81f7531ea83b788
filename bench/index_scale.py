"""A synthetic index of many million chunks: what it keeps in memory, and what a lookup takes.

Rule: segments come from the store's own encoder, with random ids, as many entries each as the store ever merges into
one. A fresh process then opens them through the store's own Index over a directory, and looks up known and new chunks.
It fails when that process keeps LIMIT or more resident.

What counts is RssAnon of /proc/self/status: pages that are the process's own, and that the kernel cannot drop. The rest
of RSS are pages of the segments in the page cache (RssFile): shared with every other process that maps them, and
dropped when memory is wanted elsewhere; they are told, not counted. The ids of the lookups are in the figure, too.
"""

import argparse
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy
from blake3 import blake3

from bench.machine import describe
from bench.table import markdown, origin, write_place
from siltstone.store import Backend, ChunkId, PackName
from siltstone.store.directory import DirectoryBackend
from siltstone.store.index import INDEX, MERGE_LIMIT, Index
from siltstone.store.segment import ENTRY_SIZE, KEY_SIZE, blocks_of, encode_segment, join_segment

MIB = 1 << 20
LIMIT = 256 * MIB
INDEX_KEY = bytes(range(32))
PACK_CHUNKS = 250  # 32 MiB of chunks of 128 KiB
SAMPLES = 20_000  # lookups of each kind
_ROW = numpy.dtype([("key", ">u8", 3), ("pack", ">u4"), ("frame", ">u2"), ("slot", ">u2")])
assert _ROW.itemsize == ENTRY_SIZE


def make_index(folder: Path, chunks: int) -> None:
    """Segments with so many chunks together, and a file `known` with some of their keys. Memory: one segment."""
    backend = DirectoryBackend(folder / "store", create=True)
    with open(folder / "known", "wb") as known:
        for number, first in enumerate(range(0, chunks, MERGE_LIMIT)):
            count = min(MERGE_LIMIT, chunks - first)
            rows = random_rows(number, count)
            packs = [made_up_pack(number, each) for each in range(-(-count // PACK_CHUNKS))]
            pieces = join_segment(encode_segment(blocks_of(each_entry(rows)), count, packs, [], "bench", INDEX_KEY))
            put_segment(backend, pieces)
            places = random.Random(number).choices(range(count), k=max(1, SAMPLES * count // chunks))
            known.writelines(rows[at * ENTRY_SIZE : at * ENTRY_SIZE + KEY_SIZE] for at in places)


def put_segment(backend: Backend, pieces: Sequence[bytes]) -> None:
    """Under its name."""
    name = blake3()
    for piece in pieces:
        name.update(piece)
    backend.put(INDEX + name.hexdigest(), pieces)


def made_up_pack(segment: int, number: int) -> PackName:
    return PackName(blake3(struct.pack("<QQ", segment, number)).hexdigest())


def random_rows(number: int, count: int) -> memoryview:
    """Sorted entries with random keys; the chunks of a pack, a frame each eight, are anywhere in it."""
    chance = numpy.random.Generator(numpy.random.PCG64(number))
    table = numpy.empty(count, _ROW)
    table["key"] = chance.integers(0, 2**64, (count, 3), dtype=numpy.uint64)
    at = numpy.arange(count)
    table["pack"], table["frame"], table["slot"] = at // PACK_CHUNKS, at % PACK_CHUNKS // 8, at % 8
    # Two million keys differ in their first 8 bytes; if ever two do not, encode_segment must not get them in disorder.
    order = numpy.lexsort(tuple(table["key"][:, column] for column in (2, 1, 0)))
    return memoryview(table[order].tobytes())


def each_entry(rows: memoryview) -> Iterator[bytes]:
    for at in range(0, len(rows), ENTRY_SIZE):
        yield bytes(rows[at : at + ENTRY_SIZE])


def look_up(folder: Path) -> dict[str, float]:
    """In a fresh process: memory (bytes) and lookup times (seconds) of the index in the folder."""
    known = [ChunkId(key + bytes(8)) for key in _keys(folder / "known")]
    chance = random.Random("new")
    new = [ChunkId(chance.randbytes(32)) for _ in range(SAMPLES)]
    before = memory()
    index, begun = Index(DirectoryBackend(folder / "store"), INDEX_KEY), time.perf_counter()
    index.load()
    figures = {"chunks": float(index.chunk_count()), "load": time.perf_counter() - begun}
    opened = memory()
    figures |= {"segments": len(list(DirectoryBackend(folder / "store").list(INDEX)))}
    figures["known"] = _timed(known, lambda chunk: index.find(chunk) is not None)
    figures["new"] = _timed(new, lambda chunk: index.find(chunk) is None)
    after = memory()
    assert not index.damaged
    return figures | {
        "opened": opened["RssAnon"] - before["RssAnon"],
        "grown": after["RssAnon"] - before["RssAnon"],
        "private": after["RssAnon"],
        "mapped": after["RssFile"],
    }


def _keys(path: Path) -> list[bytes]:
    data = path.read_bytes()
    keys = [data[at : at + KEY_SIZE] for at in range(0, len(data), KEY_SIZE)]
    random.Random("order").shuffle(keys)
    return keys


def _timed(chunks: list[ChunkId], is_right: Callable[[ChunkId], bool]) -> float:
    """Seconds a lookup; each is checked."""
    begun = time.perf_counter()
    right = sum(map(is_right, chunks))
    spent = time.perf_counter() - begun
    assert right == len(chunks), f"{len(chunks) - right} of {len(chunks)} lookups gave the wrong answer"
    return spent / len(chunks)


def memory() -> dict[str, int]:
    """The Rss fields of this process, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return {line.partition(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.startswith("Rss")}


def measure(folder: Path, chunks: int) -> dict[str, float]:
    """Make an index in the folder, which must be empty, and look chunks up in a process of its own."""
    begun = time.perf_counter()
    make_index(folder, chunks)
    made = time.perf_counter() - begun
    command = [sys.executable, "-m", "bench.index_scale", str(folder)]
    root = Path(__file__).parent.parent
    said = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, text=True, check=True).stdout
    figures: dict[str, float] = json.loads(said)
    return {**figures, "made": made}


def table(figures: dict[str, float]) -> list[str]:
    """The figures as Markdown lines."""
    rows = [
        ["chunks, in segments", f"{figures['chunks']:,.0f}, {figures['segments']:.0f}"],
        ["written by the store's encoder", f"{figures['made'] / figures['chunks'] * 1e6:.2f} us a chunk"],
        ["opened", f"{figures['load']:.2f} s"],
        ["memory after opening", f"{figures['opened'] / MIB:.0f} MiB"],
        ["memory after the lookups, which fill the cache of blocks", f"{figures['grown'] / MIB:.0f} MiB"],
        ["the whole process", f"{figures['private'] / MIB:.0f} MiB (at most {LIMIT // MIB})"],
        ["pages of segments in the page cache, shared", f"{figures['mapped'] / MIB:.0f} MiB"],
        ["lookup of a chunk that is known", f"{figures['known'] * 1e6:.1f} us"],
        ["lookup of a new chunk", f"{figures['new'] * 1e6:.1f} us"],
    ]
    return markdown(["the index", ""], rows)


def main(arguments: list[str]) -> int:
    """Measure, print, write the place `index` of the document. 1 when more than LIMIT is resident."""
    parser = argparse.ArgumentParser(prog="./dev bench index", description=__doc__)
    parser.add_argument("--chunks", type=int, default=20_000_000, help="(default: %(default)s; 36 bytes of disk each)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="where to write (default: the temporary folder)")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the table into this document")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=given.work) as folder:
        figures = measure(Path(folder), given.chunks)
        machine = describe(Path(folder))
    lines = [origin(machine, f"./dev bench index --chunks {given.chunks}"), "", *table(figures)]
    print("\n".join(lines))
    if given.write:
        write_place(given.write, "index", lines)
    if figures["private"] >= LIMIT:
        print(
            f"the index keeps {figures['private'] / MIB:.0f} MiB resident, {LIMIT // MIB} are allowed", file=sys.stderr
        )
        return 1
    return 0


if __name__ == "__main__":  # the fresh process of `measure`
    print(json.dumps(look_up(Path(os.fsdecode(sys.argv[1])))))
