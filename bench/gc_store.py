"""A synthetic store for `./dev bench gc`: as many chunks as are asked for, in packs of full size that take no room.

    packs    sparse files of 32 MiB: holes where frames would lie; a footer where a collection looks at it
    index    the store's own encoder, with random ids, 250 chunks a pack, a frame each eight
    dead     every DEAD-th pack: nothing refers to it
    wasteful every WASTEFUL-th pack: references to its first frames alone, so that it is copied

Rule: nothing of the store is stood in for, but for what lies in frames: zeros. Names of wasteful packs are right, since
their bytes are compared with them before anything is copied; the others' are made up.
"""

import os
from pathlib import Path

import numpy
from blake3 import blake3
from numpy.typing import NDArray

from bench.index_scale import PACK_CHUNKS, made_up_pack, put_segment, random_rows
from siltstone.store import ChunkId, KeyFile, PackName, Store
from siltstone.store.directory import DirectoryBackend
from siltstone.store.ids import pack_object
from siltstone.store.index import MERGE_LIMIT
from siltstone.store.pack import FrameInfo, KeySlot, encode_end
from siltstone.store.packer import PACK_SIZE
from siltstone.store.seal import sealer_for
from siltstone.store.segment import BLOCK_SIZE, KEY_SIZE, encode_segment, join_segment

DEAD, WASTEFUL, KEPT_FRAMES = 20, 400, 4
KEY = KeyFile(b"grains laid down in layers......")
FRAME = 1_000_000
_ROW = numpy.dtype([("key", "V24"), ("pack", ">u4"), ("frame", ">u2"), ("slot", ">u2")])


def make_store(folder: Path, chunks: int) -> None:
    """A store in the folder, and beside it a file `live`: the keys of what is referred to. Memory: one segment."""
    store = Store.init(DirectoryBackend(folder / "store", create=True), [(KEY, "bench")])
    maker = _Maker(store, folder / "store")
    with open(folder / "live", "wb") as live:
        for number, first in enumerate(range(0, chunks, MERGE_LIMIT)):
            maker.segment(number, min(MERGE_LIMIT, chunks - first)).tofile(live)


class _Maker:
    def __init__(self, store: Store, folder: Path) -> None:
        self._store, self._folder = store, folder
        self._first: dict[int, memoryview] = {}
        key = store.ring.new_session()
        self._slot, self._sealer = KeySlot(key.session_id, key.sealed), sealer_for(key.data_key)

    def segment(self, number: int, count: int) -> NDArray[numpy.uint64]:
        """One segment and its packs; the keys of chunks that are live."""
        rows = self._rows(number, count)
        table = numpy.frombuffer(rows, dtype=_ROW)
        places = table["pack"].astype(numpy.uint64) << numpy.uint64(32)
        places |= table["frame"].astype(numpy.uint64) << numpy.uint64(16) | table["slot"]
        packs = self._packs(number, table[numpy.argsort(places)])
        blocks = (rows[at : at + BLOCK_SIZE].tobytes() for at in range(0, len(rows), BLOCK_SIZE))
        pieces = encode_segment(blocks, count, packs, [], "bench", self._store.ring.index_key)
        put_segment(self._store.backend, join_segment(pieces))
        kind, frame = table["pack"], table["frame"]
        live = (kind % DEAD != 1) & ((kind % WASTEFUL != 2) | (frame < KEPT_FRAMES))
        keys: NDArray[numpy.uint64] = numpy.frombuffer(rows, dtype=">u8")[::4][live].astype(numpy.uint64)
        return keys

    def _rows(self, number: int, count: int) -> memoryview:
        """Those of the first segment, with every key moved on by as much: sorting is what takes long."""
        if count not in self._first:
            self._first = {count: random_rows(count, count)}
        rows = numpy.frombuffer(self._first[count], dtype=_ROW)
        begin = numpy.frombuffer(self._first[count], dtype=">u8")[::4].astype(numpy.uint64)
        moved = begin + numpy.uint64(number * 0x9E3779B97F4A7C15 % (1 << 64))
        order = numpy.roll(numpy.arange(count), -int((moved >= moved[0]).sum()) if number else 0)
        table = numpy.frombuffer(rows[order].tobytes(), dtype=_ROW).copy()
        numpy.frombuffer(table.data, dtype=">u8")[::4] = moved[order]
        return memoryview(table.tobytes())

    def _packs(self, number: int, rows: NDArray[numpy.void]) -> list[PackName]:
        """Their names; `rows` are those of one after the other."""
        packs: list[PackName] = []
        for first in range(0, len(rows), PACK_CHUNKS):
            pack, name = len(packs), made_up_pack(number, len(packs))
            if pack % DEAD == 1 or pack % WASTEFUL == 2:
                name = self._pack(rows[first : first + PACK_CHUNKS], name, named=pack % DEAD != 1)
            else:
                self._write(name, b"")
            packs.append(name)
        return packs

    def _pack(self, rows: NDArray[numpy.void], name: PackName, *, named: bool) -> PackName:
        """A pack with a footer for these rows, under its right name where that is asked for."""
        ids: dict[int, list[ChunkId]] = {}
        for row in rows:
            ids.setdefault(int(row["frame"]), []).append(ChunkId(row["key"].tobytes() + bytes(32 - KEY_SIZE)))
        frames = [
            FrameInfo(number * FRAME, FRAME, FRAME, 0, 0, chunks, [FRAME // len(chunks)] * len(chunks))
            for number, chunks in sorted(ids.items())
        ]
        end = encode_end(frames, [self._slot], self._sealer)
        if named:
            hasher = blake3(bytes(PACK_SIZE - len(end)))
            hasher.update(end)
            name = PackName(hasher.hexdigest())
        self._write(name, end)
        return name

    def _write(self, name: PackName, end: bytes) -> None:
        path = self._folder / pack_object(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        os.ftruncate(file, PACK_SIZE)
        os.pwrite(file, end, PACK_SIZE - len(end))
        os.close(file)
