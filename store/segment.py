"""Index segments: immutable sorted tables from chunk id to place. Format, writer and reader.

    segment := MAGIC | salt (32) | entries (u64) | packs (u32) | length of each part (u32; 0 = absent) ...
               | block ... | head | fences | pack table | filter         the last four are the parts
    block   := sealed part of BLOCK_ENTRIES entries (the last one fewer), in order of their bytes
    entry   := first 24 bytes of the chunk id | pack number (u32) | frame (u16) | slot (u16)      32 bytes, big-endian
    head    := sealed msgpack: {"replaces": [names of segments that this one stands for], "session": id}
    fences  := sealed first 8 bytes of the first entry of each block
    pack table := sealed 32-byte pack names, by pack number
    filter  := sealed Bloom filter (4 hashes from the id's own bytes)

A sealed part is ciphertext | tag (16), under a key derived from the store's index key and the salt, with the part's
number as nonce: blocks count from 0, the other parts from 2**63. The object is `index/<BLAKE3 of its bytes>`.

Chunk ids are uniform, so 24 bytes of one are as good as unique, and a lookup is: filter, fences, one block. Blocks are
opened from the memory map only when asked for and kept in a bounded cache (index.py): memory does not grow with the
store, but for 8 bytes of fence per 128 entries, 32 bytes a pack, and 10 bits of filter an entry.
"""

import os
import struct
from array import array
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence

import msgpack
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from .backend import Backend
from .errors import Corrupt, ObjectMissing
from .ids import ChunkId, PackName, Place
from .seal import TAG_SIZE, CheckSealer

try:
    from ._filter import mark, passing
except ImportError:
    from .filter_plain import mark, passing

MAGIC = b"SILTIX1\n"
ENTRY_SIZE = 32
KEY_SIZE = 24
BLOCK_ENTRIES = 128
BLOCK_SIZE = BLOCK_ENTRIES * ENTRY_SIZE

FILTER_BITS = 10  # an entry: about 1 lookup in 80 of a new chunk still opens a block

_HEAD = struct.Struct("<8s32sQIIIII")
_PLACE = struct.Struct(">IHH")
_PARTS = 1 << 63
_FILTER = 3  # number of the part


def entry(chunk: ChunkId, pack_number: int, frame: int, slot: int) -> bytes:
    """One 32-byte entry."""
    return chunk[:KEY_SIZE] + _PLACE.pack(pack_number, frame, slot)


class _PartSealer:
    """Seals the numbered parts of one segment; without encryption a checksum stands for the tag."""

    def __init__(self, index_key: bytes, salt: bytes) -> None:
        self._aead = AESGCM(blake3(b"silt segment 1" + salt, key=index_key).digest()) if index_key else None

    def seal(self, number: int, plain: bytes) -> bytes:
        if self._aead:
            return self._aead.encrypt(number.to_bytes(12, "little"), plain, None)
        return plain + CheckSealer.tag(plain, number.to_bytes(12, "little"))

    def open(self, number: int, sealed: memoryview) -> bytes:
        """Raises InvalidTag."""
        if self._aead:
            return self._aead.decrypt(number.to_bytes(12, "little"), sealed, None)
        plain = bytes(sealed[:-TAG_SIZE])
        if CheckSealer.tag(plain, number.to_bytes(12, "little")) != sealed[-TAG_SIZE:]:
            raise InvalidTag
        return plain


def encode_segment(
    blocks: Iterable[bytes],
    count: int,
    packs: Collection[PackName],
    replaces: Sequence[str],
    session: str,
    index_key: bytes,
) -> Iterator[bytes]:
    """The pieces of a segment of these plain blocks (see blocks_of), with at most `count` entries; the last block alone
    may be shorter than BLOCK_SIZE.

    The fixed head, which comes first, is known last: it is yielded last, and `join_segment` puts it in front.
    """
    salt = os.urandom(32)
    sealer = _PartSealer(index_key, salt)
    bits = bytearray(count * FILTER_BITS // 8)
    fences, written = [], 0
    for number, block in enumerate(blocks):
        fences.append(block[:8])
        written += len(block) // ENTRY_SIZE
        if bits:
            mark(bits, block)
        yield sealer.seal(number, block)
    head = msgpack.packb({"replaces": list(replaces), "session": session})
    plain = (head, b"".join(fences), b"".join(bytes.fromhex(p) for p in packs), bytes(bits))
    parts = [sealer.seal(_PARTS + i, part) if part else b"" for i, part in enumerate(plain)]
    yield from parts
    yield _HEAD.pack(MAGIC, salt, written, len(packs), *map(len, parts))


def join_segment(pieces: Iterable[bytes]) -> list[bytes]:
    """The pieces in the order in which they are stored."""
    ordered = list(pieces)
    return [ordered[-1], *ordered[:-1]]


def blocks_of(entries: Iterable[bytes]) -> Iterator[bytes]:
    """Sorted entries as plain blocks. Equal ones come once; a chunk that lies in several packs has one for each."""
    block: list[bytes] = []
    last = b""
    for row in entries:
        if row == last:
            continue  # of two segments that name one pack
        last = row
        block.append(row)
        if len(block) == BLOCK_ENTRIES:
            yield b"".join(block)
            block.clear()
    if block:
        yield b"".join(block)


class SegmentHead(Struct, frozen=True):
    """What a segment says of itself beside its entries."""

    replaces: frozenset[str]
    session: str


class Segment:
    """A segment opened over its bytes (a memory map). Safe to share between threads."""

    entries: int
    pack_count: int

    def __init__(self, name: str, data: memoryview, index_key: bytes, filtered: bool = True) -> None:
        """Raises Corrupt when the parts around the blocks are damaged. The filter is not read unless `filtered`."""
        self.name = name
        self._data = data
        try:
            magic, salt, self.entries, self.pack_count, *lengths = _HEAD.unpack_from(data)
            if magic != MAGIC:
                raise Corrupt(name, "it is no index segment")
            self._sealer = _PartSealer(index_key, salt)
            self.block_count = -(-self.entries // BLOCK_ENTRIES)
            at = _HEAD.size + self.entries * ENTRY_SIZE + self.block_count * TAG_SIZE
            if at + sum(lengths) != len(data):
                raise Corrupt(name, "it is truncated or overlong")
            parts = []
            for i, length in enumerate(lengths):
                wanted = length and (filtered or i < _FILTER)
                parts.append(self._sealer.open(_PARTS + i, data[at : at + length]) if wanted else b"")
                at += length
        except (struct.error, InvalidTag):
            raise Corrupt(name, "its head is damaged, or not of this store") from None
        # Nothing seals the number of packs; it decides how they are numbered when segments are merged.
        if len(parts[1]) != self.block_count * 8 or len(parts[2]) != self.pack_count * 32:
            raise Corrupt(name, "its tables do not fit its head")
        head = msgpack.unpackb(parts[0])
        self.head = SegmentHead(frozenset(head["replaces"]), head["session"])
        self._fences = array("Q", parts[1])
        self._fences.byteswap()  # stored big-endian so that bytes and numbers sort alike
        self._packs, self._filter = parts[2], parts[3]

    def passing(self, chunks: list[ChunkId]) -> list[ChunkId]:
        """Those of these chunks that may be here: the others surely are not."""
        return passing(self._filter, chunks) if self._filter else chunks

    def drop_filter(self) -> None:
        """Give its memory back, where entries are read one by one: every chunk may be here then."""
        self._filter = b""

    def block_of(self, chunk: ChunkId) -> int:
        """The only block that can hold the chunk, or -1."""
        return bisect_right(self._fences, int.from_bytes(chunk[:8], "big")) - 1

    def block(self, number: int) -> bytes:
        """The plain entries of a block. Raises Corrupt."""
        start = _HEAD.size + number * (BLOCK_SIZE + TAG_SIZE)
        size = min(BLOCK_ENTRIES, self.entries - number * BLOCK_ENTRIES) * ENTRY_SIZE
        try:
            return self._sealer.open(number, self._data[start : start + size + TAG_SIZE])
        except InvalidTag:
            raise Corrupt(self.name, f"block {number} is damaged") from None

    def place(self, row: bytes) -> Place:
        """The place that a 32-byte entry of this segment names."""
        number, frame, slot = _PLACE.unpack_from(row, KEY_SIZE)
        return Place(self.pack(number), frame, slot)

    @property
    def pack_table(self) -> bytes:
        """The names of its packs by number, 32 bytes each."""
        return self._packs

    def pack(self, number: int) -> PackName:
        """The name of a pack by its number here."""
        return PackName(self._packs[number * 32 : number * 32 + 32].hex())

    def packs(self) -> Iterator[PackName]:
        """Every pack that this segment names."""
        return (self.pack(number) for number in range(self.pack_count))

    def names(self, pack: PackName) -> bool:
        """Whether this segment names a pack."""
        name, at = bytes.fromhex(pack), -1
        while (at := self._packs.find(name, at + 1)) >= 0:
            if at % len(name) == 0:
                return True
        return False

    def rows(self) -> Iterator[bytes]:
        """Every 32-byte entry, sorted."""
        for number in range(self.block_count):
            block = self.block(number)
            for at in range(0, len(block), ENTRY_SIZE):
                yield block[at : at + ENTRY_SIZE]


def open_segment(backend: Backend, name: str, key: bytes, *, filtered: bool) -> Segment | Corrupt | None:
    """The segment of that name, or what is wrong with it; None where it was merged away. Raises BackendError."""
    try:
        return Segment(name, backend.view(name), key, filtered)
    except Corrupt as error:
        return error
    except ObjectMissing:
        return None


def rows_in_block(block: bytes, chunk: ChunkId) -> list[bytes]:
    """The entries of a chunk in a block's plain entries."""
    key = chunk[:KEY_SIZE]
    at = block.find(key)
    while at >= 0 and at % ENTRY_SIZE:
        at = block.find(key, at + 1)
    rows = []
    while at >= 0 and block.startswith(key, at):
        rows.append(block[at : at + ENTRY_SIZE])
        at += ENTRY_SIZE
    return rows
