"""Stores for tests: made, filled and read back in a few words.

Rule: a key file opens them, because a passphrase costs a tenth of a second and these tests open hundreds. Packs and
frames are as large as the program makes them unless a test asks for `small_packs`.
"""

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

from siltstone.store import Backend, ChunkId, KeyFile, Store, Writer
from siltstone.store import frame as frame_module
from siltstone.store import packer as packer_module
from siltstone.store.making import init_store
from siltstone.store.opening import OpenStore

KEY = KeyFile(bytes(range(32)))
ROOT = "backups/host/0/0"
SMALL_PACK, SMALL_FRAME = 16 << 10, 2 << 10


def make(backend: Backend, *, encrypted: bool = True, compression: str = "zstd") -> Store:
    """A new store, open."""
    return Store.init(backend, [(KEY, "test")] if encrypted else [], compression=compression)


def make_open(backend: Backend, *, encrypted: bool = True) -> OpenStore:
    """A new store, for what works below Store."""
    return init_store(backend, [(KEY, "test")] if encrypted else [])


def reopen(backend: Backend, *, encrypted: bool = True) -> Store:
    """The store that is there, as another process would open it."""
    return Store.open(backend, KEY if encrypted else None)


def grains(seed: int, count: int, size: int = 1000) -> list[bytes]:
    """Contents of chunks that differ from each other and do not compress."""
    rng = random.Random(seed)
    return [rng.randbytes(size) for _ in range(count)]


def run_of(contents: Iterable[bytes]) -> tuple[memoryview, list[int]]:
    """A buffer with these chunks one after the other, and where each ends."""
    buffer, ends = bytearray(), []
    for content in contents:
        buffer += content
        ends.append(len(buffer))
    return memoryview(buffer), ends


def put(writer: Writer, contents: Iterable[bytes]) -> list[ChunkId]:
    """Store chunks as one run; their ids."""
    return writer.store_run(*run_of(contents))


def back_up(store: Store, contents: Iterable[bytes], name: str = ROOT, *, compression: str = "none") -> list[ChunkId]:
    """A session that stores chunks and commits them as a root, whose content lists their ids."""
    with store.writer(compression) as writer:
        ids = put(writer, contents)
        writer.commit(name, {"chunks": list(ids)})
    return ids


def read_back(store: Store, name: str = ROOT) -> list[bytes]:
    """The chunks of a root that `back_up` wrote."""
    return [store.read_chunk(ChunkId(chunk)) for chunk in store.read_root(name)["chunks"]]


def names(backend: Backend, prefix: str) -> list[str]:
    """Names of the objects there."""
    return [info.name for info in backend.list(prefix)]


@contextmanager
def small_packs(pack: int = SMALL_PACK, frame: int = SMALL_FRAME) -> Iterator[None]:
    """Packs and frames so small that a few kilobytes make several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packer_module, "PACK_SIZE", pack)
        patch.setattr(frame_module, "FRAME_SIZE", frame)
        yield
