"""Contents of one store, stored anew in another under its keys: chunk for chunk, manifest for manifest.

Rule: a chunk of the source becomes one chunk of the target with the same bytes, and a manifest chunk becomes one with
the same rows, in which the ids of chunks, and what else is under the id key (records of a database's cells), are the
target's. So what comes back from there is, chunk for chunk, what was here. All that is read was compared with its id.
Memory: KEPT ids, one item a manifest chunk, and a run of chunks.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import msgpack

from siltstone.store import ChunkId, Corrupt, DryWriter, ObjectMissing, Store, Writer, chunk_id

from .entry import EXTENT, HOLE, PATH_AT, Entry, extra, parse_row, rows, unpack_extents
from .extent_content import read_content
from .levels import LEVELS, PARTS
from .manifest import IndexItem, packed_extents, store_index
from .postgres.archive_names import WAL
from .postgres.cells import make_record, parse_records
from .postgres.grid import CELL, packed_by
from .postgres.pages import Digester
from .rekey_pairs import PairedManifest

# Old id -> new id: some 200 bytes each.
KEPT = 400_000
RUN = 4 << 20
_OF_LEVEL = ("kind", "started_ns", "finished_ns", "host")
_OF_WAL = ("start", "size", "used", "digest")


class Rekeyer:
    """From one store into another. One thread."""

    def __init__(self, source: Store, target: Store, sink: Writer | DryWriter) -> None:
        self._source, self._target, self._sink = source, target, sink
        self._ids: dict[bytes, bytes] = {}
        self._items: dict[bytes, bytes] = {}  # manifest chunk -> manifest chunk
        self._paired: dict[str, PairedManifest] = {}  # by the name of the file set
        self._digester = Digester(target.ring.id_key)
        self.read = 0  # bytes of chunks

    def level(self, root: dict[str, Any]) -> dict[str, Any]:
        """Store what the root of a level needs; the root for the target. Raises Corrupt, ObjectMissing."""
        sets = [{**each, "index": self._index(each["index"], self._paired.get(each["name"]))} for each in root["sets"]]
        return {**root, "sets": sets}

    def wal(self, root: dict[str, Any]) -> dict[str, Any]:
        """Likewise of a WAL file."""
        self._bound()
        index = root["index"]
        if index is not None:
            self._learn([index[0]])
            index = [self._ids[index[0]], index[1]]
        return {**root, "extents": self._extents(root["extents"]), "index": index}

    def pair(self, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
        """The target has this level already: what both have of its manifests is known without being read again."""
        for each, other in zip(theirs["sets"], ours["sets"], strict=False):
            old, new = self._listed(self._source, each["index"]), self._listed(self._target, other["index"])
            if [item[1:] for item in old] == [item[1:] for item in new]:
                paired = PairedManifest(self._source, self._target, old, new)
                self._items |= {before: after for before, after in paired.items() if self._sink.has(ChunkId(after))}
                self._paired[each["name"]] = paired

    def _index(self, index: Sequence[tuple[bytes, int]], paired: PairedManifest | None) -> list[list[bytes | int]]:
        listed = self._listed(self._source, index)
        self._manifest_chunks(listed, paired)
        made = [(self._items[chunk], length, count, first) for chunk, length, count, first in listed]
        return [list(pair) for pair in store_index(self._sink, made)]

    def _listed(self, store: Store, index: Sequence[tuple[bytes, int]]) -> list[IndexItem]:
        parts = (msgpack.unpackb(store.read_chunk(ChunkId(chunk))) for chunk, _ in index)
        return [(chunk, length, count, first) for part in parts for chunk, length, count, first in part]

    def _manifest_chunks(self, listed: list[IndexItem], paired: PairedManifest | None) -> None:
        """Store those manifest chunks that the target has not; several at once, so that they share frames."""
        waiting: list[bytes] = []
        made = bytearray()
        ends: list[int] = []
        for (chunk, *_, first), following in pairwise([*listed, None]):  # type: ignore[misc]  # only the last is None
            if chunk in self._items:
                continue
            if paired is not None:
                known = paired.chunks(first, following[3] if following else None)
                self._ids |= {old: new for old, new in known if self._sink.has(ChunkId(new))}
            made += self._rows(self._read(chunk))
            waiting.append(chunk)
            ends.append(len(made))
            if len(made) >= RUN:
                self._keep(waiting, made, ends)
                waiting, made, ends = [], bytearray(), []
        self._keep(waiting, made, ends)

    def _keep(self, chunks: Sequence[bytes], made: bytearray, ends: Sequence[int]) -> None:
        self._items |= dict(zip(chunks, self._sink.store_run(memoryview(made), ends), strict=True))

    def _rows(self, data: bytes) -> bytes:
        self._bound()
        found = list(rows(data))
        self._learn(chunk for row in found for chunk in _direct(row))
        return b"".join(map(self._row, found))

    def _row(self, row: bytes) -> bytes:
        path_size, count = int.from_bytes(row[60:62], "little"), int.from_bytes(row[62:66], "little")
        if not count:
            return row
        at = PATH_AT + path_size
        stop = at + count * EXTENT.size
        rest, packed = row[stop:], row[at:stop]
        entry = parse_row(row) if rest else None
        if entry is not None and (entry.indirect or entry.cells):
            rest = self._extra(entry)
        lists = entry is not None and entry.indirect
        return row[:at] + (self._lists(packed) if lists else self._extents(packed)) + rest

    def _extra(self, entry: Entry) -> bytes:
        cells = self._cells(entry) if entry.cells else b""
        more = {"target": entry.target, "xattrs": entry.xattrs, "flags": entry.flags, "link": entry.link}
        return extra(**more, changed=entry.changed, indirect=entry.indirect, cells=cells)  # type: ignore[arg-type]  # as they were parsed

    def _extents(self, packed: bytes) -> bytes:
        """Packed extents with the target's ids."""
        extents = list(EXTENT.iter_unpack(packed))
        self._learn(chunk for chunk, _, _ in extents if chunk != HOLE)
        return b"".join(EXTENT.pack(self._ids.get(chunk, HOLE), offset, length) for chunk, offset, length in extents)

    def _lists(self, packed: bytes) -> bytes:
        """Packed extents of an extent list, whose chunks hold extents themselves."""
        made = []
        for chunk, offset, length in EXTENT.iter_unpack(packed):
            data = self._extents(self._read(chunk))
            (new,) = self._sink.store_run(memoryview(data), [len(data)])
            made.append(EXTENT.pack(new, offset, length))
        return b"".join(made)

    def _cells(self, entry: Entry) -> bytes:
        """The records of a database's file, made anew: ids of cells and digests of pages are under the id key."""
        cells = packed_by(packed_extents(self._source, entry), CELL)
        packed = []
        for part in unpack_extents(entry.cells):
            assert part.id is not None  # records have no holes
            data = bytearray()
            for _ in parse_records(self._read(part.id)):
                content = b"".join(read_content(self._read, unpack_extents(next(cells))))
                data += make_record(chunk_id(content, self._target.ring.id_key), self._digester.digests(content))
            (new,) = self._sink.store_run(memoryview(data), [len(data)])
            packed.append(EXTENT.pack(new, part.offset, part.length))
        return b"".join(packed)

    def _learn(self, chunks: Iterable[bytes]) -> None:
        """Store chunks of the source that were not met before; in runs, so that small ones share frames."""
        waiting: list[bytes] = []
        run = bytearray()
        ends: list[int] = []
        for chunk in dict.fromkeys(chunks):
            if chunk in self._ids:
                continue
            run += self._read(chunk)
            waiting.append(chunk)
            ends.append(len(run))
            if len(run) >= RUN:
                self._store(waiting, run, ends)
                waiting, run, ends = [], bytearray(), []
        self._store(waiting, run, ends)

    def _store(self, chunks: Sequence[bytes], run: bytearray, ends: Sequence[int]) -> None:
        self._ids |= dict(zip(chunks, self._sink.store_run(memoryview(run), ends), strict=True))

    def _bound(self) -> None:
        while len(self._ids) > KEPT:
            del self._ids[next(iter(self._ids))]  # the oldest

    def _read(self, chunk: bytes) -> bytes:
        data = self._source.read_chunk(ChunkId(chunk))
        self.read += len(data)
        return data


def store_again(source: Store, target: Store) -> None:
    """Store in the target what it lacks of the levels and WAL files that are in both: what was damaged or lost there.

    A root that is not the same in both, or cannot be read, is passed over. Raises StoreError.
    """
    with target.writer() as writer:
        rekeyer = Rekeyer(source, target, writer)
        for folder in (LEVELS, PARTS, WAL):
            for name in set(target.root_names(folder)) & set(source.root_names(folder)):
                try:
                    root = source.read_root(name)
                    if same_root(name, root, target.read_root(name)):
                        rekeyer.wal(root) if folder == WAL else rekeyer.level(root)
                except (Corrupt, ObjectMissing):
                    continue


def same_root(name: str, one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether roots of stores with different keys are of one level, or file: by what they say of it."""
    return all(one[key] == other[key] for key in (_OF_WAL if name.startswith(WAL) else _OF_LEVEL))


def _direct(row: bytes) -> Iterator[bytes]:
    """The chunks that a row itself leads to; those of an extent list are its contents', and come later."""
    path_size, count = int.from_bytes(row[60:62], "little"), int.from_bytes(row[62:66], "little")
    at = PATH_AT + path_size
    if count and len(row) > at + count * EXTENT.size and parse_row(row).indirect:
        return
    for place in range(at, at + count * EXTENT.size, EXTENT.size):
        if (chunk := row[place : place + 32]) != HOLE:
            yield chunk
