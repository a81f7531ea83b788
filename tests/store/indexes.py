"""Indexes for tests: filled with packs of one frame each, and a plain dict of where every chunk is.

Rule: nothing here has a pack behind it; an index does not look.
"""

import random

from siltstone.store import Backend, ChunkId, PackName, Place
from siltstone.store.index import Index

from .backends import MemoryBackend

KEY = b"x" * 32
Model = dict[ChunkId, Place]


def pack(number: int) -> PackName:
    return PackName(f"{number:064x}")


def frame_ids(number: int, count: int = 20) -> list[ChunkId]:
    """The ids in frame 0 of pack `number`."""
    rng = random.Random(number)
    return [ChunkId(rng.randbytes(32)) for _ in range(count)]


def add(index: Index, number: int, count: int = 20) -> Model:
    """Add pack `number`, of one frame; where its chunks are then."""
    ids = frame_ids(number, count)
    index.add_pack(pack(number), [ids])
    return {chunk: Place(pack(number), 0, slot) for slot, chunk in enumerate(ids)}


def fill(backend: Backend, numbers: range, count: int = 20) -> Model:
    """A segment for each of these packs, by one session; where everything is."""
    index, model = opened(backend), Model()
    for number in numbers:
        model |= add(index, number, count)
        index.flush("session")
    return model


def opened(backend: Backend, key: bytes = KEY) -> Index:
    index = Index(backend, key)
    index.load()
    return index


def found(index: Index, model: Model) -> Model:
    """What of the model is found, and where."""
    return {chunk: place for chunk in model if (place := index.find(chunk)) is not None}


def damage(backend: MemoryBackend, name: str, at: int) -> None:
    content = bytearray(backend.objects[name])
    content[at] ^= 1
    backend.objects[name] = bytes(content)
