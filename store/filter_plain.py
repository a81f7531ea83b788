"""Bloom filters of index segments, in plain Python: what `_filter.c` does, where there is no compiler.

Rule: this is the definition. Chunk ids are uniform, so that four pieces of one are its hashes (bytes 8 to 23, which an
entry keeps, too): each is the number of a bit, modulo the number of bits.
"""

import struct
from collections.abc import Iterable

from .ids import ChunkId

_ENTRY = 32
_HASHES = struct.Struct("<8x4I8x")  # the same bytes of a chunk id and of an entry


def mark(bits: bytearray, entries: bytes, /) -> None:
    """Have the filter let the chunks of these entries (32 bytes each) pass. ValueError: it has no bits, or the last
    entry is cut off.
    """
    size = _size(bits)
    if len(entries) % _ENTRY:
        raise ValueError("no whole entries")
    for words in _HASHES.iter_unpack(entries):
        for word in words:
            bits[word % size >> 3] |= 1 << (word % size & 7)


def passing(bits: bytes | bytearray, chunks: Iterable[ChunkId], /) -> list[ChunkId]:
    """Of these chunks those that the filter lets pass: all that are marked, and a few others. ValueError: it has no
    bits, or something is no chunk id.
    """
    size, found = _size(bits), []
    for chunk in chunks:
        if len(chunk) != _ENTRY:
            raise ValueError("no chunk id")
        if all(bits[word % size >> 3] >> (word % size & 7) & 1 for word in _HASHES.unpack(chunk)):
            found.append(chunk)
    return found


def _size(bits: bytes | bytearray) -> int:
    if not bits:
        raise ValueError("a filter without bits")
    return len(bits) * 8
