"""Manifests: every entry of one file set of a level, in path order, kept as chunks in the store.

    manifest chunk := row ...              cut at entry borders, where the path's checksum says so
    index chunk    := msgpack [[chunk id, length, rows, first path] ...]    one item a manifest chunk
    in the root    := {"name", "roots", "index": [[chunk id, length] ...], "entries", ...}

Rule: the cut depends on paths alone, so an unchanged stretch of the tree gives the same chunks and costs nothing. The
index lets a reader go straight to a path. A level's manifest is always the full tree.
"""

import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgpack

from siltstone.store import ChunkId, Corrupt, DryWriter, Store, Writer

from .entry import Entry, Extent, order_key, pack_extents, parse_row, row_path, rows, unpack_extents
from .levels import Level, SetInfo

# About 500 rows of 200 bytes: small enough that one changed file costs little, large enough to compress.
MIN_CHUNK = 16 << 10
MAX_CHUNK = 512 << 10
_CUT_MASK = 0x1FF

# Manifest chunks wait until this many bytes are there, so that they share frames.
RUN = 2 << 20

# What an index says of one manifest chunk: id, length, rows, first path.
IndexItem = tuple[bytes, int, int, bytes]


class ManifestWriter:
    """Takes rows in path order and stores them. Memory: RUN bytes of rows, and an index item a manifest chunk."""

    def __init__(self, writer: Writer | DryWriter, copy: Callable[[bytearray], None] | None = None) -> None:
        """`copy` gets the rows too, RUN bytes or so at a time."""
        self._writer, self._copy = writer, copy
        self._run = bytearray()
        self._ends: list[int] = []
        self._items: list[tuple[int, int, bytes]] = []  # length, rows, first path; of the run
        self._index: list[IndexItem] = []
        self._start = self._rows = 0
        self._first = b""

    def add(self, path: bytes, row: bytes) -> None:
        """The next row; paths ascend."""
        if not self._rows:
            self._first = path
        self._run += row
        self._rows += 1
        size = len(self._run) - self._start
        if size >= MIN_CHUNK and (size >= MAX_CHUNK or not zlib.crc32(path) & _CUT_MASK):
            self._cut()
            if len(self._run) >= RUN:
                self._store()

    def finish(self) -> list[tuple[ChunkId, int]]:
        """Store what is left, and the index; the index chunks as (id, length)."""
        if self._rows:
            self._cut()
        self._store()
        return store_index(self._writer, self._index)

    def _cut(self) -> None:
        self._ends.append(len(self._run))
        self._items.append((len(self._run) - self._start, self._rows, self._first))
        self._start, self._rows = len(self._run), 0

    def _store(self) -> None:
        if not self._ends:
            return
        ids = self._writer.store_run(memoryview(self._run), self._ends)
        if self._copy is not None:
            self._copy(self._run)
        self._index += [(chunk, *item) for chunk, item in zip(ids, self._items, strict=True)]
        self._run, self._ends, self._items, self._start = bytearray(), [], [], 0


def store_index(writer: Writer | DryWriter, items: Iterable[IndexItem]) -> list[tuple[ChunkId, int]]:
    """Store the index of a manifest; its chunks as (id, length)."""
    blob, ends, part = bytearray(), [], []
    for item in items:
        part.append(item)
        # Cut where a chunk id says so: an unchanged stretch of the index is then the same chunk again.
        if len(part) >= 256 and (item[0][-1] < 4 or len(part) >= 4096):
            blob += msgpack.packb(part)
            ends.append(len(blob))
            part = []
    if part:
        blob += msgpack.packb(part)
        ends.append(len(blob))
    ids = writer.store_run(memoryview(blob), ends)
    return [(chunk, end - start) for chunk, start, end in zip(ids, [0, *ends], ends, strict=False)]


class ManifestReader:
    """Reads one file set's manifest of a level. Raises Corrupt naming the level's root when it does not parse."""

    def __init__(self, store: Store, level: Level, files: SetInfo) -> None:
        self._store, self.level, self._set = store, level, files

    def chunks(self) -> Iterator[tuple[ChunkId, bytes]]:
        """(id, first path) of every manifest chunk, in order."""
        for index, _ in self._set.index:
            for chunk, _, _, first in self._unpack(self._store.read_chunk(index)):
                yield ChunkId(chunk), first

    def rows(self, under: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """(path, row) of every entry in path order; from `under` on, when it is given, until its subtree ends."""
        start = order_key(under) if under is not None else b""
        for chunk in self._from(start):
            try:
                for row in rows(self._store.read_chunk(chunk)):
                    path = row_path(row)
                    if under is not None and path != under and not path.startswith(_below(under)):
                        if order_key(path) > start:
                            return
                        continue
                    yield path, row
            except ValueError:
                raise self._corrupt() from None

    def _from(self, start: bytes) -> Iterator[ChunkId]:
        """Manifest chunks from the one that may hold `start` (an order key) on."""
        if not start:
            yield from (chunk for chunk, _ in self.chunks())
            return
        listed = list(self.chunks())
        first = bisect_right(listed, start, key=lambda item: order_key(item[1])) - 1
        yield from (chunk for chunk, _ in listed[max(0, first) :])

    def _unpack(self, data: bytes) -> list[Any]:
        try:
            items: list[Any] = msgpack.unpackb(data)
            return items
        except ValueError:
            raise self._corrupt() from None

    def _corrupt(self) -> Corrupt:
        return Corrupt(self.level.name, f"the manifest of file set '{self._set.name}' does not parse")


def entries(store: Store, level: Level, *, set_name: str | None = None, under: bytes | None = None) -> Iterator[Entry]:
    """The entries of a level, file set by file set, each in path order; of one set, or of one subtree, if named."""
    for files in level.sets:
        if set_name is None or files.name == set_name:
            for _, row in ManifestReader(store, level, files).rows(under):
                yield parse_row(row)


def extents_of(store: Store, entry: Entry) -> Iterator[Extent]:
    """The extents of an entry's content, in order; reads the extent list where it is kept as chunks."""
    if not entry.indirect:
        yield from entry.extents
        return
    for packed in packed_extents(store, entry):
        yield from unpack_extents(packed)


def packed_extents(store: Store, entry: Entry) -> Iterator[bytes]:
    """The same as they are packed, some at a time."""
    if not entry.indirect:
        yield pack_extents(entry.extents)
        return
    for part in entry.extents:
        assert part.id is not None  # an extent list has no holes
        yield store.read_chunk(part.id)


def manifest_chunks(store: Store, level: Level) -> Iterator[ChunkId]:
    """Every chunk that a level references: index and manifest chunks, lists and records, contents. With repeats."""
    for files in level.all_sets:
        yield from (chunk for chunk, _ in files.index)
        reader = ManifestReader(store, level, files)
        yield from (chunk for chunk, _ in reader.chunks())
        for _, row in reader.rows():
            entry = parse_row(row)
            if entry.indirect:
                yield from (part.id for part in entry.extents if part.id is not None)
            yield from (part.id for part in unpack_extents(entry.cells) if part.id is not None)
            yield from (part.id for part in extents_of(store, entry) if part.id is not None)


def _below(path: bytes) -> bytes:
    return path if path.endswith(b"/") else path + b"/"
