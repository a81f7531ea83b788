"""Frames: one or more chunks compressed and sealed together, the unit of reading.

Rule: a frame's associated data is what it holds (codec and chunk ids), never where it lies, so that repacking copies
ciphertext. Whoever opens a frame gets plaintext of which every chunk id was compared, or those of the chunks it wants.

Small chunks share a frame with their like: they compress together and are read together. Larger frames compress better
and cost more to read one chunk of; see docs/performance.md for the measurement.
"""

import threading
from collections.abc import Collection, Sequence

import zstandard
from blake3 import blake3

from .errors import SiltError
from .ids import ChunkId
from .page_memory import page_buffer
from .seal import OVERHEAD, Buffer, Sealer, Tampered

try:
    from ._noise import noise
except ImportError:
    from .noise_plain import noise

# Of plaintext. The new chunks of a buffer are spread evenly over as many frames as bring each nearest to it: of 4 MiB
# none has more than 3. (What full frames left over was a fifth of all frames, and compressed alone.)
FRAME_SIZE = 2 << 20
FRAME_CHUNKS = 4096  # at most, so that a slot fits 16 bits and a frame of empty files stays short

CODEC_NONE, CODEC_ZSTD, CODEC_LZ4, CODEC_PADDING = 0, 1, 2, 3  # of padding nothing is left, see padding.py

# The default is zstd's fastest strategy over a window of a frame, in one of these tunings: how large a table it looks
# for matches in, of how many bytes, and whether it passes over positions. Rows and records are like their neighbours:
# a table of the size of the nearest cache of a core (32 KiB) is the quickest, and of logs in JSON the result even the
# smallest, since what it finds is near. Of a database's pages half of it is enough. Where little compresses, matches
# far away are worth looking for (1 MiB), and every other position is enough. See docs/performance.md.
_WINDOW = {"strategy": 1, "window_log": 22, "chain_log": 14, "write_content_size": 1}
_TUNINGS = {
    "records": {**_WINDOW, "hash_log": 13, "min_match": 7},
    "text": {**_WINDOW, "hash_log": 16, "min_match": 6},
    "mixed": {**_WINDOW, "hash_log": 18, "min_match": 5, "target_length": 2},
    "pages": {**_WINDOW, "hash_log": 12, "min_match": 6},
}
# What samples of a frame shrink to, as records, says which it is: below this share records, from the other on mixed.
_RECORDS_BELOW, _MIXED_FROM = 0.3, 0.78
_PROBES, _PROBE = 3, 16 << 10
_WORTH_PROBING = 8 * _PROBES * _PROBE

# A frame that does not shrink below this share is kept as it is: opening it then costs no decompression.
_WORTHWHILE = 0.995

# Of a frame of what looks like noise, samples say whether to try it: a try in vain, which copies it, is an eighth of
# the time of a backup of such data.
_SAMPLES, _SAMPLE = 8, 8 << 10
_WORTH_SAMPLING = 16 * _SAMPLES * _SAMPLE

# Of a frame whose end nobody wants, no more is decompressed than is wanted, up to this share: zstd has a window of
# its own then, and is a quarter slower (2 MiB of mails: 2.6 ms in one go; 2.7 ms to nine tenths, 1.7 ms to half).
_PARTLY = 0.75


class _Tables(threading.local):
    """A thread's own compressors, which keep their tables between frames."""

    def __init__(self) -> None:
        self.made: dict[str, zstandard.ZstdCompressor] = {}


class Compressor:
    """Compression as chosen for a backup: 'none', 'lz4', 'zstd' (tuned for frames) or 'zstd:LEVEL'. For any thread."""

    def __init__(self, setting: str) -> None:
        """Raises SiltError on a setting that is none of these."""
        name, _, level = setting.partition(":")
        if name not in ("none", "lz4", "zstd") or (level and (name != "zstd" or not level.isdecimal())):
            raise SiltError(f"compression '{setting}' is unknown", hint="use none, lz4, zstd or zstd:1 to zstd:19")
        if level and not 1 <= int(level) <= 19:
            raise SiltError(f"compression level {level} is out of range", hint="use zstd:1 to zstd:19")
        self.setting = setting
        self._name = name
        self._level = int(level or 0)
        self._tables = _Tables()

    def compress(self, plain: Buffer, *, pages: bool = False, noisy: bool = False) -> tuple[int, Buffer]:
        """(codec, body). The body is `plain` itself where compressing it is not worthwhile. `pages`: of a database;
        `noisy`: it looks like noise.
        """
        if self._name == "none" or not len(plain) or (noisy and self._is_dull(plain)):
            return CODEC_NONE, plain
        if self._name == "lz4":
            import lz4.block

            codec, body = CODEC_LZ4, lz4.block.compress(plain, store_size=False)
        else:
            codec, body = CODEC_ZSTD, self._zstd("pages" if pages else self._tuning(plain)).compress(plain)
        return (codec, body) if len(body) < len(plain) * _WORTHWHILE else (CODEC_NONE, plain)

    def _is_dull(self, plain: Buffer) -> bool:
        """Whether samples of a frame do not compress."""
        return len(plain) >= _WORTH_SAMPLING and self._shrinks(plain, _SAMPLES, _SAMPLE, "text") >= _WORTHWHILE

    def _tuning(self, plain: Buffer) -> str:
        if self._level or len(plain) < _WORTH_PROBING:
            return "text"
        share = self._shrinks(plain, _PROBES, _PROBE, "records")
        return "records" if share < _RECORDS_BELOW else "mixed" if share >= _MIXED_FROM else "text"

    def _shrinks(self, plain: Buffer, count: int, size: int, tuning: str) -> float:
        """The share of their size that samples of a frame, evenly spread, compress to."""
        step = len(plain) // count
        samples = b"".join([plain[at : at + size] for at in range((step - size) // 2, step * count, step)])
        return len(self._zstd(tuning).compress(samples)) / len(samples)

    def _zstd(self, tuning: str) -> zstandard.ZstdCompressor:
        made = self._tables.made
        if tuning not in made:
            if self._level:
                made[tuning] = zstandard.ZstdCompressor(level=self._level, write_content_size=True)
            else:
                parameters = zstandard.ZstdCompressionParameters(**_TUNINGS[tuning])
                made[tuning] = zstandard.ZstdCompressor(compression_params=parameters)
        return made[tuning]


class NewFrame:
    """Chunks of one buffer that will share a frame. It borrows the buffer until it is written."""

    __slots__ = ("_buffer", "_chunks", "ids", "lengths", "noisy", "size")

    def __init__(self, buffer: memoryview, chunks: Sequence[tuple[ChunkId, int, int]], *, noisy: bool = False) -> None:
        """`chunks`: (id, start, end) of each, at least one; it is buffer[start:end]."""
        self._buffer, self._chunks, self.noisy = buffer, chunks, noisy
        self.ids = [chunk for chunk, _, _ in chunks]
        self.lengths = [end - start for _, start, end in chunks]
        self.size = sum(self.lengths)

    def plain(self) -> Buffer:
        """The chunks one after the other; a copy only where they do not lie so in the buffer."""
        first, last = self._chunks[0][1], self._chunks[-1][2]
        if last - first == self.size:
            return self._buffer[first:last]
        return b"".join([self._buffer[start:end] for _, start, end in self._chunks])


def spread(buffer: memoryview, chunks: list[tuple[ChunkId, int, int]]) -> list[NewFrame]:
    """Frames of these chunks of a buffer (id, start, end): of what looks like noise, and of all else. In each part they
    keep their order, and its frames are of about the same size, near FRAME_SIZE.
    """
    noisy = noise(buffer, chunks)
    if 1 not in noisy:
        return _evenly(buffer, chunks, noisy=False)
    parts = [[chunk for chunk, kind in zip(chunks, noisy, strict=True) if kind == each] for each in (0, 1)]
    return _evenly(buffer, parts[0], noisy=False) + _evenly(buffer, parts[1], noisy=True)


def _evenly(buffer: memoryview, chunks: Sequence[tuple[ChunkId, int, int]], *, noisy: bool) -> list[NewFrame]:
    left = sum(end - start for _, start, end in chunks)
    count = max(1, round(left / FRAME_SIZE))
    frames, first, size = [], 0, 0
    for at, (_, start, end) in enumerate(chunks):
        reached = count > 1 and size + (end - start) / 2 > left / count
        if at > first and (reached or at - first == FRAME_CHUNKS):
            frames.append(NewFrame(buffer, chunks[first:at], noisy=noisy))
            left, count, first, size = left - size, count - 1, at, 0
        size += end - start
    if chunks:
        frames.append(NewFrame(buffer, chunks[first:], noisy=noisy))
    return frames


def frame_aad(codec: int, ids: Sequence[ChunkId]) -> bytes:
    """Associated data of a frame."""
    return b"silt frame 1" + bytes((codec,)) + b"".join(ids)


class FrameOpener:
    """Opens frames into buffers that live as long as it does: fresh pages for each frame cost more than AES does.

    One thread at a time. What `open` returns is valid until the next call.
    """

    def __init__(self, id_key: bytes) -> None:
        self._id_key = id_key
        self._body, self._plain = page_buffer(2 * FRAME_SIZE), page_buffer(2 * FRAME_SIZE)  # more than most have
        self._zstd = zstandard.ZstdDecompressor()

    def open(
        self,
        sealer: Sealer,
        codec: int,
        sealed: Buffer,
        plain_size: int,
        ids: Sequence[ChunkId],
        lengths: Sequence[int],
        wanted: Collection[int] | None = None,
    ) -> memoryview:
        """The plaintext of a frame; with `wanted` (numbers of chunks, at least one), the bytes of no others are in it.

        Raises Tampered when anything about it is not as it was stored.
        """
        size = len(sealed) - OVERHEAD
        if size < 0 or sum(lengths) != plain_size or (codec == CODEC_NONE and size != plain_size):
            raise Tampered
        if size > len(self._body):
            self._body = page_buffer(size)
        if plain_size > len(self._plain):
            self._plain = page_buffer(plain_size)
        room = self._plain[:plain_size]
        body = room if codec == CODEC_NONE else self._body[:size]
        sealer.open_into(sealed, frame_aad(codec, ids), body)
        plain = self._decompress(codec, body, room, plain_size if wanted is None else sum(lengths[: max(wanted) + 1]))
        self._compare(plain, ids, lengths, wanted)
        return plain

    def _decompress(self, codec: int, body: memoryview, room: memoryview, enough: int) -> memoryview:
        if codec in (CODEC_NONE, CODEC_PADDING):
            return room
        try:
            if codec == CODEC_LZ4:
                return _lz4(body, len(room))
            # All of it in one go: the library sees that there is room, and makes none of its own.
            asked = room[:enough] if enough < len(room) * _PARTLY else room
            if (
                codec == CODEC_ZSTD
                and zstandard.frame_content_size(body) == len(room)
                and self._zstd.stream_reader(body).readinto(asked) == len(asked)
            ):
                return room
        except zstandard.ZstdError:
            pass
        raise Tampered

    def _compare(
        self, plain: memoryview, ids: Sequence[ChunkId], lengths: Sequence[int], wanted: Collection[int] | None
    ) -> None:
        at, hasher = 0, blake3(key=self._id_key)
        for slot, (expected, length) in enumerate(zip(ids, lengths, strict=True)):
            if wanted is None or slot in wanted:
                hasher.update(plain[at : at + length])
                if hasher.digest() != expected:
                    raise Tampered
                hasher.reset()
            at += length


def _lz4(body: memoryview, plain_size: int) -> memoryview:
    import lz4.block

    try:
        return memoryview(lz4.block.decompress(body, uncompressed_size=plain_size))
    except (lz4.block.LZ4BlockError, ValueError):
        raise Tampered from None
