"""The manifests of all levels, each chunk of them visited once however many levels share it.

Rule: what cannot be read is noted, and the walk goes on. Extents are handled as packed bytes and arrays, never as
objects: a store of a million files has millions. Memory: the ids of manifest chunks (one for some 500 entries), one
batch of extents, and what is unreadable.
"""

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgpack
from msgspec import Struct

from siltstone.store import BackendError, ChunkId, Corrupt, ObjectMissing, Place, Store, raise_if_away

from .entry import DIFFERENCE, EXTENT, HEAD, PATH_AT, parse_row
from .levels import Level
from .verify_damage import DamageLog, Key, frame_opens

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

BATCH = 1 << 20
_ROW = struct.Struct(f"<I{HEAD.size}xHI")
# What a row's extra part must hold for its extents to be of an extent list (key 6, true), or for records of cells (key
# 7, bytes of up to 255, or more). Most rows fail this at once.
_LEADS_ON = re.compile(rb"\x06\xc3|\x07[\xc4-\xc6]")
_EXTENTS = [("key", ">u8"), ("id", "V24"), ("offset", "<u4"), ("length", "<u4")]


class Item(Struct, frozen=True):
    """One manifest chunk, as the index chunk of its manifest lists it."""

    chunk: ChunkId
    length: int
    rows: int
    first: bytes


def key_of(chunk: bytes) -> Key:
    """The key of a chunk's id."""
    return int.from_bytes(chunk[:8], "big")


def extent_columns(packed: bytes) -> tuple["NDArray[numpy.uint64]", "NDArray[numpy.uint64]"]:
    """Keys and ends (offset + length) of packed extents, without holes."""
    import numpy

    table = numpy.frombuffer(packed, dtype=_EXTENTS)
    keys = table["key"].astype(numpy.uint64)
    ends = (table["offset"] & ~numpy.uint32(DIFFERENCE)).astype(numpy.uint64) + table["length"]
    solid = keys != 0
    return keys[solid], ends[solid]


def row_extents(data: bytes) -> tuple[list[bytes], list[bytes], int]:
    """Of the rows of a manifest chunk: packed extents; those of them that lead to extent lists; how many rows.

    Raises ValueError when the rows do not fill the chunk.
    """
    every: list[bytes] = []
    lists: list[bytes] = []
    at = rows = 0
    end = len(data)
    try:
        while at < end:
            size, path_size, count = _ROW.unpack_from(data, at)
            stop = at + 4 + size
            if count:
                start = at + PATH_AT + path_size
                rest = start + count * EXTENT.size
                if rest > stop:
                    raise ValueError("a row is shorter than its extents")
                packed = data[start:rest]
                every.append(packed)
                if rest < stop and _LEADS_ON.search(data, rest, stop):
                    entry = parse_row(data[at:stop])
                    lists += [packed] if entry.indirect else []
                    every.append(entry.cells)
            at = stop
            rows += 1
    except struct.error:
        raise ValueError("a row is cut off") from None
    if at != end:
        raise ValueError("a row is cut off")
    return every, lists, rows


class Manifests:
    """The manifests of these levels. One thread."""

    def __init__(self, store: Store, levels: Sequence[Level], log: DamageLog) -> None:
        self._store, self._log = store, log
        self.levels = levels
        self.places: dict[Key, Place] = {}  # where to read chunks that the store itself does not find intact
        self.unreadable: dict[Key, str] = {}
        self.senseless: set[Key] = set()  # those that were read and do not parse
        self.entries = 0

    def references(
        self, tell: Callable[[int], None]
    ) -> Iterator[tuple["NDArray[numpy.uint64]", "NDArray[numpy.uint64]"]]:
        """Every reference to a chunk, as arrays of keys and ends; those that manifests share come once.

        `tell` hears how many entries were looked at.
        """
        seen: set[bytes] = set()
        batch = bytearray()
        self.entries = 0
        for packed in self.packed_references(seen, tell):
            batch += packed
            if len(batch) >= BATCH:
                yield extent_columns(bytes(batch))
                batch.clear()
        yield extent_columns(bytes(batch))

    def packed_references(self, seen: set[bytes], tell: Callable[[int], None]) -> Iterator[bytes]:
        """As `references`, but packed extents, holes among them; what is in `seen` was looked through before."""
        for level in self.levels:
            for files in level.all_sets:
                for index, length in files.index:
                    if index in seen:
                        continue
                    seen.add(index)
                    yield EXTENT.pack(index, 0, length)
                    for item in self.items(index) or ():
                        if item.chunk not in seen:
                            seen.add(item.chunk)
                            yield EXTENT.pack(item.chunk, 0, item.length)
                            yield from self._of_rows(item, seen)
                            tell(self.entries)

    def _of_rows(self, item: Item, seen: set[bytes]) -> Iterator[bytes]:
        data = self.read(item.chunk)
        if data is None:
            return
        try:
            every, lists, rows = row_extents(data)
            if rows != item.rows:
                raise ValueError("another number of rows than its index says")
        except ValueError:
            self.senseless.add(key_of(item.chunk))
            return
        self.entries += rows
        yield b"".join(every)
        for part in list_chunks(lists):
            if part not in seen:
                seen.add(part)
                packed = self.read(part) or b""
                if len(packed) % EXTENT.size:
                    self.senseless.add(key_of(part))
                else:
                    yield packed

    def items(self, index: ChunkId) -> list[Item] | None:
        """The manifest chunks that an index chunk lists; None when it cannot be read or does not parse."""
        data = self.read(index)
        if data is None:
            return None
        try:
            listed = [Item(ChunkId(chunk), length, rows, first) for chunk, length, rows, first in msgpack.unpackb(data)]
        except (ValueError, TypeError):
            self.senseless.add(key_of(index))
            return None
        return listed

    def read(self, chunk: ChunkId) -> bytes | None:
        """A chunk, from wherever it can be had; None where it cannot, which is then noted."""
        place = self.places.get(key_of(chunk))
        try:
            return self._store.read_chunk(chunk) if place is None else self._read_at(place)
        except (Corrupt, ObjectMissing, BackendError) as error:
            self._note(chunk, error)
        except LookupError:
            self.unreadable[key_of(chunk)] = "the index names a place where it is not"
        return None

    def _read_at(self, place: Place) -> bytes:
        info = self._store.footer(place.pack).frames[place.frame]
        ((_, plain),) = self._store.read_frames(place.pack, [place.frame])
        start = info.starts[place.slot]
        return bytes(plain[start : start + info.lengths[place.slot]])

    def _note(self, chunk: ChunkId, error: Corrupt | ObjectMissing | BackendError) -> None:
        self.unreadable[key_of(chunk)] = str(error)
        if isinstance(error, BackendError):
            raise_if_away(self._store.backend)
        if isinstance(error, ObjectMissing) or (isinstance(error, Corrupt) and error.frame is None):
            return  # missing packs and chunks, and damaged footers, are seen from the index
        place = self._store.find(chunk)
        if place is not None:
            frame_opens(self._store, self._log, place.pack, place.frame)


def list_chunks(lists: Sequence[bytes]) -> Iterator[ChunkId]:
    """The chunks of extent lists, of the packed extents that lead to them."""
    for packed in lists:
        for chunk, _, _ in EXTENT.iter_unpack(packed):
            yield ChunkId(chunk)
