"""What an incremental has to store at the least: the pages of a cluster that changed, compressed.

Rule: pages are compared as they lie in the data directory, of every file below base and global, between two moments at
which the server has just made a checkpoint; what is compressed is each changed page and nothing else, in frames of
2 MiB with zstd's level 1, as `silt` has them. Nothing of `silt` is asked. WAL that a backup brings along, and all that
is no relation's file, is not counted: it is what a level adds beside.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import zstandard
from blake3 import blake3
from msgspec import Struct

PAGE = 8192
FRAME = 2 << 20
PIECE = 4 << 20

Pages = Mapping[Path, list[bytes]]


class Changed(Struct, frozen=True):
    """How many pages changed or are new, and their bytes, compressed."""

    pages: int
    compressed: int

    def line(self, step: str, added: int) -> str:
        """What a tool that added so many bytes stored beyond them, in a sentence."""
        plain, least = self.pages * PAGE / (1 << 20), self.compressed / (1 << 20)
        return (
            f"{step}: {self.pages:,} pages changed, {plain:.1f} MiB, compressed {least:.1f} MiB; "
            f"silt added {added / (1 << 20):.1f} MiB, {added / max(1, self.compressed):.2f} times as much"
        )


def pages_of(data: Path) -> Pages:
    """A short digest of each page, by file."""
    found: dict[Path, list[bytes]] = {}
    for top in ("base", "global"):
        for path in sorted((data / top).rglob("*")):
            if path.is_file() and path.name[0].isdigit():
                found[path] = [blake3(page).digest(8) for page in _pages(path)]
    return found


def changed_since(before: Pages, data: Path) -> Changed:
    """What differs now."""
    count = compressed = 0
    compressor, frame = zstandard.ZstdCompressor(level=1), bytearray()
    for path, digests in pages_of(data).items():
        old = before.get(path, [])
        if digests == old:
            continue
        for number, page in enumerate(_pages(path)):
            if number >= len(old) or number >= len(digests) or digests[number] != old[number]:
                count += 1
                frame += page
                if len(frame) >= FRAME:
                    compressed += len(compressor.compress(frame))
                    frame.clear()
    compressed += len(compressor.compress(frame)) if frame else 0
    return Changed(count, compressed)


def _pages(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield from (piece[at : at + PAGE] for at in range(0, len(piece), PAGE))
