"""The rows of a segment that is written: of entries that are in none yet, and of segments that it stands for.

Rule: rows come sorted, and with packs numbered as in the new segment; equal ones are written once. Nothing here reads
or writes an object.
"""

from collections.abc import Iterable, Iterator, Sequence

from .ids import PackName
from .index_recent import Entry
from .segment import BLOCK_SIZE, KEY_SIZE, Segment, entry

# Blocks of 4 KiB that are looked at together: enough for numpy's calls to cost nothing beside their work.
BLOCKS_AT_ONCE = 256


def sorted_entries(recent: Iterable[Entry], numbers: dict[PackName, int]) -> list[bytes]:
    return sorted(entry(chunk, numbers[pack], frame, slot) for chunk, pack, frame, slot in recent)


def renumbered(segment: Segment, numbers: dict[PackName, int], without: frozenset[PackName]) -> Iterator[bytes]:
    """The rows of a segment but for those of packs that are left out, with packs numbered as where they are written."""
    mapping = [b"" if pack in without else numbers[pack].to_bytes(4, "big") for pack in segment.packs()]
    for row in segment.rows():
        number = mapping[int.from_bytes(row[KEY_SIZE : KEY_SIZE + 4], "big")]
        if number:
            yield row[:KEY_SIZE] + number + row[KEY_SIZE + 4 :]


def blocks_without(segment: Segment, numbers: dict[PackName, int], without: frozenset[PackName]) -> Iterator[bytes]:
    """The blocks of a segment, cut anew, but for the entries of packs that are left out. For when `numbers` keep the
    order that the other packs have in the segment: then entries keep theirs. A tenth of what entry by entry takes.
    """
    import numpy

    row = numpy.dtype([("key", "V24"), ("pack", ">u4"), ("at", "V4")])
    kept = numpy.array([pack not in without for pack in segment.packs()], dtype=bool)
    mapping = numpy.array([numbers.get(pack, 0) for pack in segment.packs()], dtype=numpy.uint32)
    rest = b""
    for first in range(0, segment.block_count, BLOCKS_AT_ONCE):
        data = b"".join(map(segment.block, range(first, min(first + BLOCKS_AT_ONCE, segment.block_count))))
        table = numpy.frombuffer(data, dtype=row)
        table = table[kept[table["pack"]]]
        table["pack"] = mapping[table["pack"]]
        rest += table.tobytes()
        whole = len(rest) - len(rest) % BLOCK_SIZE
        yield from (rest[at : at + BLOCK_SIZE] for at in range(0, whole, BLOCK_SIZE))
        rest = rest[whole:]
    if rest:
        yield rest


def to_merge(sound: Sequence[Segment], recent: int, when: int, limit: int) -> list[Segment]:
    """The segments of the size classes that hold `when`, smallest first, to be merged with so many recent entries into
    no more than `limit`.
    """
    merged: list[Segment] = []
    total = recent
    for segment in sorted(sound, key=lambda s: s.entries):
        alike = [s for s in sound if s not in merged and size_class(s.entries) <= size_class(total)]
        if segment in merged or len(alike) < when:
            continue
        for candidate in sorted(alike, key=lambda s: s.entries):
            if total + candidate.entries <= limit:
                merged.append(candidate)
                total += candidate.entries
    return merged


def size_class(entries: int) -> int:
    """Segments of one class are about of one size: classes are powers of 8, from 512 entries on."""
    size: int = max(entries, 512).bit_length() // 3
    return size
