"""Packs: immutable objects of many frames with a sealed footer. Format, writer's half and reader's half.

    pack   := MAGIC | frame ... | key slot ... | footer | tail
    frame  := sealed(body of the codec)                             associated data: frame.frame_aad
    key slot := session id (16) | length (u16) | sealed data key    one for each session whose frames are here
    footer := sealed(frame count (u32) | frame row ... | chunk row ... | zeros)   under the data key of key slot 0
    frame row := offset (u32) | stored length (u32) | plain length (u32) | chunks (u32) | key slot (u16) | codec (u8)
               | 0 (u8)
    chunk row := chunk id (32) | length (u32)                       in the order of frames, then of places in the frame
    tail   := length of key slots (u32) | length of footer (u32) | number of key slots (u16) | format (u16) | TAIL_MAGIC

Zeros follow the rows in a padded store: see padding.py.

All integers are little-endian. The pack's name is the BLAKE3 of all its bytes. Rule: a footer holds all that an index
knows of its pack, so any index can be rebuilt from footers. The sealed data key travels with the pack, so a pack and a
reader key are enough to recover its chunks.
"""

import struct
from collections.abc import Callable, Sequence

from msgspec import Struct

from .errors import Corrupt, NewerFormat
from .ids import CHUNK_ID_SIZE, ChunkId, PackName, pack_object
from .seal import OVERHEAD, Sealer, Tampered, seal, unseal

MAGIC = b"SILTPK1\n"
TAIL_MAGIC = b"\nTLISKP1"
FORMAT = 1

# One read of this many bytes from the end of a pack brings key slots and footer of nearly every pack.
TAIL_READ = 96 << 10

_TAIL = struct.Struct("<IIHH8s")
_SLOT = struct.Struct("<16sH")
_COUNT = struct.Struct("<I")
_FRAME = struct.Struct("<IIIIHBx")
_CHUNK = struct.Struct(f"<{CHUNK_ID_SIZE}sI")
_FOOTER_AAD = b"silt footer 1"


class KeySlot(Struct, frozen=True):
    """The data key of a session as it lies in a pack: sealed to the store's reader keys, or empty where nothing is."""

    session_id: bytes
    sealed: bytes


class FrameInfo(Struct, frozen=True):
    """Where a frame lies in its pack and which chunks it holds. `offset` and `stored` count sealed bytes."""

    offset: int
    stored: int
    plain: int
    key_slot: int
    codec: int
    ids: Sequence[ChunkId]
    lengths: Sequence[int]

    @property
    def starts(self) -> list[int]:
        """Offset of each chunk in the frame's plaintext."""
        starts, at = [], 0
        for length in self.lengths:
            starts.append(at)
            at += length
        return starts


class Footer(Struct, frozen=True):
    """All that a pack says of itself."""

    pack: PackName
    size: int
    keys: Sequence[KeySlot]
    frames: Sequence[FrameInfo]


def encode_end(
    frames: Sequence[FrameInfo],
    keys: Sequence[KeySlot],
    sealer: Sealer,
    rounded: Callable[[int], int] = lambda size: size,
) -> bytes:
    """Everything behind the last frame; `sealer` is that of key slot 0, `rounded` how long the footer becomes, with
    zeros behind its rows.
    """
    slots = b"".join(_SLOT.pack(key.session_id, len(key.sealed)) + key.sealed for key in keys)
    rows = [_FRAME.pack(f.offset, f.stored, f.plain, len(f.ids), f.key_slot, f.codec) for f in frames]
    chunks = [_CHUNK.pack(*pair) for f in frames for pair in zip(f.ids, f.lengths, strict=True)]
    plain = b"".join((_COUNT.pack(len(frames)), *rows, *chunks))
    footer = seal(sealer, plain.ljust(rounded(len(plain)), b"\0"), _FOOTER_AAD)
    return slots + footer + _TAIL.pack(len(slots), len(footer), len(keys), FORMAT, TAIL_MAGIC)


def end_size(frames: int, chunks: int, key_bytes: int) -> int:
    """Bytes of `encode_end` for so many frames and chunks and one key slot of `key_bytes` sealed bytes."""
    plain = _COUNT.size + frames * _FRAME.size + chunks * _CHUNK.size
    return _SLOT.size + key_bytes + plain + OVERHEAD + _TAIL.size


class PackEnd(Struct, frozen=True):
    """The unsealed parts of a pack's end: what is needed to find the key that opens the footer."""

    keys: Sequence[KeySlot]
    footer: bytes


def end_length(pack: PackName, tail: bytes) -> int:
    """How many bytes from the end hold key slots, footer and tail. `tail` is what the pack ends with."""
    slots, footer, _, _ = _parse_tail(pack, tail)
    return slots + footer + _TAIL.size


def decode_end(pack: PackName, end: bytes) -> PackEnd:
    """Split the last `end_length` bytes of a pack (or more) into key slots and the still sealed footer."""
    slots_size, footer_size, count, _ = _parse_tail(pack, end)
    start = len(end) - _TAIL.size - footer_size - slots_size
    if start < 0:
        raise _corrupt(pack, "it is truncated")
    keys, at = [], start
    for _ in range(count):
        if at + _SLOT.size > start + slots_size:
            raise _corrupt(pack, "its key slots are damaged")
        session_id, length = _SLOT.unpack_from(end, at)
        at += _SLOT.size
        keys.append(KeySlot(session_id, bytes(end[at : at + length])))
        at += length
    if at != start + slots_size or not keys:
        raise _corrupt(pack, "its key slots are damaged")
    return PackEnd(keys, bytes(end[at : at + footer_size]))


def decode_footer(pack: PackName, size: int, end: PackEnd, sealer: Sealer) -> Footer:
    """Open the footer. `size` is that of the whole pack. Raises Corrupt."""
    try:
        plain = unseal(sealer, end.footer, _FOOTER_AAD)
        (count,) = _COUNT.unpack_from(plain)
        rows_end = _COUNT.size + count * _FRAME.size
        rows = list(_FRAME.iter_unpack(plain[_COUNT.size : rows_end]))
        chunks_end = rows_end + sum(row[3] for row in rows) * _CHUNK.size
        chunks = list(_CHUNK.iter_unpack(plain[rows_end:chunks_end]))
    except (Tampered, struct.error):
        raise _corrupt(pack, "its footer is damaged, or not of this store") from None
    frames, first = [], 0
    for offset, stored, plain_size, number, key_slot, codec in rows:
        part = chunks[first : first + number]
        first += number
        if offset + stored > size or len(part) != number or key_slot >= len(end.keys):
            raise _corrupt(pack, "its footer does not fit the pack")
        ids = [ChunkId(row[0]) for row in part]
        frames.append(FrameInfo(offset, stored, plain_size, key_slot, codec, ids, [row[1] for row in part]))
    return Footer(pack, size, end.keys, frames)


def _parse_tail(pack: PackName, data: bytes) -> tuple[int, int, int, int]:
    if len(data) < _TAIL.size:
        raise _corrupt(pack, "it is truncated")
    slots, footer, count, version, magic = _TAIL.unpack_from(data, len(data) - _TAIL.size)
    if magic != TAIL_MAGIC:
        raise _corrupt(pack, "it is truncated or its end is damaged")
    if version > FORMAT:
        raise NewerFormat(f"{pack_object(pack)}: a pack of format {version}", hint="upgrade silt on this host")
    return slots, footer, count, version


def _corrupt(pack: PackName, what: str) -> Corrupt:
    return Corrupt(pack_object(pack), what)
