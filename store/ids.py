"""The tiny values at the bottom: how a chunk and a pack are named.

Rule: a chunk id is 32 bytes of keyed BLAKE3 over the chunk's plaintext; a pack's name is the plain BLAKE3 of its stored
bytes in hex, so that `b3sum` alone checks a pack. Both are NewTypes: distinct to the type checker, free at run time
(a wrapper object for each chunk costs more than hashing 4 KiB).
"""

import re
from collections.abc import Iterable
from typing import NamedTuple, NewType

from blake3 import blake3

ChunkId = NewType("ChunkId", bytes)
PackName = NewType("PackName", str)

CHUNK_ID_SIZE = 32
PACK_NAME_SIZE = 64

_CONTENT_NAMED = re.compile(r"(?:.*/)?[0-9a-f]{64}")


class Place(NamedTuple):
    """Where a chunk lies: pack, number of the frame in the pack, number of the chunk in the frame."""

    pack: PackName
    frame: int
    slot: int


def chunk_id(plaintext: bytes | bytearray | memoryview, id_key: bytes) -> ChunkId:
    """The id of a chunk under a store's id key (32 bytes)."""
    return ChunkId(blake3(plaintext, key=id_key).digest())


def chunk_ids(buffer: memoryview, spans: Iterable[tuple[int, int]], id_key: bytes) -> list[ChunkId]:
    """The ids of many chunks of a buffer, each from where it starts to behind its end; a fifth quicker than one by one
    for chunks of 8 KiB.
    """
    hasher, ids = blake3(key=id_key), []
    for start, end in spans:
        hasher.update(buffer[start:end])
        ids.append(ChunkId(hasher.digest()))
        hasher.reset()
    return ids


def pack_object(pack: PackName) -> str:
    """The object name of a pack: packs/ and the first two hex digits, so that no folder grows too long."""
    return f"packs/{pack[:2]}/{pack}"


def is_content_named(name: str) -> bool:
    """Whether an object's name is the BLAKE3 of its bytes."""
    return _CONTENT_NAMED.fullmatch(name) is not None
