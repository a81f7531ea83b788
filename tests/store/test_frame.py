"""Frames: chunks go in and the same chunks come out, or nothing does."""

import random
from collections.abc import Callable
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.store import FRAME_SIZE, ChunkId, NewFrame, SiltError, chunk_id
from siltstone.store.frame import (
    CODEC_LZ4,
    CODEC_NONE,
    CODEC_ZSTD,
    FRAME_CHUNKS,
    Compressor,
    FrameOpener,
    frame_aad,
    spread,
)
from siltstone.store.seal import Tampered, seal, sealer_for

from .stores import run_of

ID_KEY, DATA_KEY = b"i" * 32, b"d" * 32
SETTINGS = ["none", "lz4", "zstd", "zstd:1", "zstd:19"]
CONTENTS = st.lists(st.binary(max_size=300), min_size=1, max_size=20)


class Sealed:
    """A frame as it lies in a pack, with what the footer says of it."""

    def __init__(self, contents: list[bytes], setting: str = "zstd", key: bytes = DATA_KEY) -> None:
        self.key = key
        self.ids = [chunk_id(content, ID_KEY) for content in contents]
        self.lengths = [len(content) for content in contents]
        self.codec, body = Compressor(setting).compress(b"".join(contents))
        self.sealed = seal(sealer_for(key), body, frame_aad(self.codec, self.ids))

    def open(self, opener: FrameOpener | None = None, wanted: set[int] | None = None) -> bytes:
        opener = opener or FrameOpener(ID_KEY)
        size = sum(self.lengths)
        return bytes(opener.open(sealer_for(self.key), self.codec, self.sealed, size, self.ids, self.lengths, wanted))


@given(CONTENTS, st.sampled_from(SETTINGS), st.sampled_from([b"", DATA_KEY]))
def test_what_went_in_comes_out(contents: list[bytes], setting: str, key: bytes) -> None:
    assert Sealed(contents, setting, key).open() == b"".join(contents)


@pytest.mark.parametrize(("setting", "codec"), [("none", CODEC_NONE), ("lz4", CODEC_LZ4), ("zstd", CODEC_ZSTD)])
def test_text_is_compressed_and_noise_is_not(setting: str, codec: int) -> None:
    compressor = Compressor(setting)
    text, noise = b"grains laid down in layers " * 500, random.Random(1).randbytes(10_000)
    assert compressor.compress(text)[0] == codec
    assert compressor.compress(noise) == (CODEC_NONE, noise)
    assert compressor.compress(b"") == (CODEC_NONE, b"")


@pytest.mark.parametrize("setting", ["", "zip", "zstd:", "zstd:0", "zstd:20", "zstd:-1", "zstd:x", "lz4:1", "none:1"])
def test_an_unknown_compression_is_refused(setting: str) -> None:
    if setting == "zstd:":
        Compressor(setting)  # no level is the default one
        return
    with pytest.raises(SiltError, match="compression"):
        Compressor(setting)


@pytest.mark.parametrize("key", [b"", DATA_KEY])
@given(data=st.data())
def test_a_changed_bit_never_gives_wrong_bytes(key: bytes, data: st.DataObject) -> None:
    frame = Sealed([b"one" * 50, b"", b"three" * 50], key=key)
    right, sealed = frame.open(), bytearray(frame.sealed)
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    frame.sealed = bytes(sealed)
    if not key and bit < 96:
        assert frame.open() == right
    else:
        with pytest.raises(Tampered):
            frame.open()


@pytest.mark.parametrize("cut", [0, 1, 27, 28, 29, 60])
def test_a_truncated_frame_does_not_open(cut: int) -> None:
    frame = Sealed([random.Random(1).randbytes(50)])
    frame.sealed = frame.sealed[:cut]
    with pytest.raises(Tampered):
        frame.open()


def test_a_footer_that_says_otherwise_does_not_open() -> None:
    def broken(**change: object) -> Sealed:
        frame = Sealed([b"ab", b"c"])
        for name, value in change.items():
            setattr(frame, name, value)
        return frame

    one, two = chunk_id(b"ab", ID_KEY), chunk_id(b"c", ID_KEY)
    for wrong in (
        broken(ids=[two, one]),
        broken(ids=[one]),
        broken(ids=[one, two, two], lengths=[2, 1, 0]),
        broken(lengths=[1, 2]),
        broken(lengths=[2, 2]),
        broken(lengths=[2, 0]),
        broken(codec=CODEC_ZSTD),
        broken(codec=77),
    ):
        with pytest.raises(Tampered):
            wrong.open()


@pytest.mark.parametrize("codec", [CODEC_ZSTD, CODEC_LZ4, 3])
def test_a_body_that_does_not_decompress_is_no_other_error(codec: int) -> None:
    """Only a writer with the key could make one; and it must not end in anything but the same error."""
    frame = Sealed([b"content"])
    for body in (b"", b"garbage", b"\x28\xb5\x2f\xfd" + bytes(20), b"\xff" * 40):
        frame.codec = codec
        frame.sealed = seal(sealer_for(DATA_KEY), body, frame_aad(codec, frame.ids))
        with pytest.raises(Tampered):
            frame.open()


def test_a_body_that_claims_to_be_huge_is_not_believed() -> None:
    frame = Sealed([b"content"])
    body = b"\x28\xb5\x2f\xfd\xe0" + (1 << 60).to_bytes(8, "little") + bytes(30)
    frame.codec = CODEC_ZSTD
    frame.sealed = seal(sealer_for(DATA_KEY), body, frame_aad(CODEC_ZSTD, frame.ids))
    with pytest.raises(Tampered):
        frame.open()


def test_contents_under_a_wrong_id_do_not_open() -> None:
    frame = Sealed([b"content"])
    frame.ids = [chunk_id(b"another", ID_KEY)]
    frame.sealed = seal(sealer_for(DATA_KEY), b"content", frame_aad(CODEC_NONE, frame.ids))
    frame.codec = CODEC_NONE
    with pytest.raises(Tampered):
        frame.open()


def test_one_opener_serves_frames_of_every_size() -> None:
    opener = FrameOpener(ID_KEY)
    for size in (10, FRAME_SIZE * 2, 0, 3000, FRAME_SIZE):
        for setting in ("none", "zstd", "lz4"):
            content = random.Random(size).randbytes(size // 2) + bytes(size - size // 2)
            assert Sealed([content], setting).open(opener) == content


@pytest.mark.parametrize("setting", ["none", "lz4", "zstd"])
def test_of_a_frame_the_chunks_that_are_wanted_come_out(setting: str) -> None:
    """Each alone, and some: from a frame of which the library decompresses a part, and from one that it does whole."""
    chance, opener = random.Random(3), FrameOpener(ID_KEY)
    contents = [chance.randbytes(500) * chance.randrange(40) for _ in range(30)]
    frame = Sealed(contents, setting)
    for wanted in ({0}, {29}, *({slot} for slot in range(1, 29)), {3, 4, 20}, set(range(30))):
        opener.open(sealer_for(DATA_KEY), *another_frame())  # what its buffers held before is not what is wanted
        plain, at = frame.open(opener, wanted), 0
        for slot, content in enumerate(contents):
            assert slot not in wanted or plain[at : at + len(content)] == content
            at += len(content)


def another_frame() -> tuple[int, bytes, int, list[ChunkId], list[int]]:
    frame = Sealed([bytes([170]) * 600_000])
    return frame.codec, frame.sealed, 600_000, frame.ids, frame.lengths


def test_a_wrong_id_is_seen_where_its_chunk_is_wanted() -> None:
    frame = Sealed([b"one" * 50, b"two" * 50])
    frame.ids[1] = chunk_id(b"another", ID_KEY)
    body = Compressor("zstd").compress(b"one" * 50 + b"two" * 50)[1]
    frame.sealed = seal(sealer_for(DATA_KEY), body, frame_aad(frame.codec, frame.ids))
    assert frame.open(wanted={0})[:150] == b"one" * 50
    for wanted in ({1}, {0, 1}, None):
        with pytest.raises(Tampered):
            frame.open(wanted=wanted)
    frame.sealed = frame.sealed[:-1] + bytes([frame.sealed[-1] ^ 1])
    with pytest.raises(Tampered):
        frame.open(wanted={0})


@settings(max_examples=50)
@given(st.lists(st.tuples(st.binary(max_size=50), st.booleans()), min_size=1, max_size=20))
def test_a_new_frame_holds_what_was_added(chunks: list[tuple[bytes, bool]]) -> None:
    """Whether the chunks lie side by side in the buffer or not."""
    buffer, ends = run_of(content for content, _ in chunks)
    start = 0
    added: list[tuple[ChunkId, int, int]] = []
    kept: list[bytes] = []
    for end, (content, wanted) in zip(ends, chunks, strict=True):
        if wanted or not kept:
            added.append((chunk_id(content, ID_KEY), start, end))
            kept.append(content)
        start = end
    frame = NewFrame(buffer, added)
    assert frame.plain() == b"".join(kept)
    assert frame.size == len(b"".join(kept))
    assert frame.lengths == [len(content) for content in kept]


@settings(max_examples=100)
@given(st.lists(st.integers(0, FRAME_SIZE // 4), max_size=60))
def test_chunks_are_spread_evenly(lengths: list[int]) -> None:
    """Each is in one frame, in order; and frames are of one size, but for one and a half of the largest chunk."""
    ends = list(accumulate(lengths))
    chunks = [(ChunkId(bytes(32)), end - length, end) for end, length in zip(ends, lengths, strict=True)]
    frames = spread(memoryview(bytes(sum(lengths))), chunks)
    assert [length for frame in frames for length in frame.lengths] == lengths
    if chunks:
        assert len(frames) == max(1, round(sum(lengths) / FRAME_SIZE))
        sizes = [frame.size for frame in frames]
        assert max(sizes) - min(sizes) <= 1.5 * max(lengths)


def test_a_frame_of_empty_chunks_is_bounded() -> None:
    frames = spread(memoryview(b""), [(ChunkId(bytes(32)), 0, 0)] * (2 * FRAME_CHUNKS + 1))
    assert [len(frame.ids) for frame in frames] == [FRAME_CHUNKS, FRAME_CHUNKS, 1]


def test_a_large_chunk_has_a_frame_of_its_own() -> None:
    some, size = ChunkId(bytes(32)), 3 * FRAME_SIZE
    chunks = [(some, 0, 10), (some, 10, 10 + size), (some, 10 + size, 20 + size)]
    assert [frame.lengths for frame in spread(memoryview(bytes(20 + size)), chunks)] == [[10], [size], [10]]


def test_noise_and_all_else_have_frames_of_their_own() -> None:
    chance = random.Random(3)
    kinds = [chance.random() < 0.5 for _ in range(900)]
    contents = [chance.randbytes(9000) if noisy else b"%d words " % chance.randrange(100) * 900 for noisy in kinds]
    buffer, ends = run_of(contents)
    chunks = [(chunk_id(each, ID_KEY), end - len(each), end) for each, end in zip(contents, ends, strict=True)]
    frames = spread(buffer, chunks)
    for noisy in (False, True):
        held = [chunk for frame in frames if frame.noisy == noisy for chunk in frame.ids]
        assert held == [chunk for (chunk, *_), kind in zip(chunks, kinds, strict=True) if kind == noisy]
    codecs = {frame.noisy: Compressor("zstd").compress(frame.plain(), noisy=frame.noisy)[0] for frame in frames}
    assert codecs == {False: CODEC_ZSTD, True: CODEC_NONE}


@pytest.mark.parametrize("size", [50_000, FRAME_SIZE])
def test_what_was_taken_for_noise_is_compressed_if_it_can_be(size: int) -> None:
    plain = random.Random(4).randbytes(4000) * (size // 4000)
    assert len(Compressor("zstd").compress(plain, noisy=True)[1]) < size // 5


def rows(chance: random.Random) -> bytes:
    return b"\n".join(
        b'{"time": %d, "level": "info", "user": %d}' % (at, chance.randrange(999)) for at in range(12_000)
    )


def words(chance: random.Random) -> bytes:
    vocabulary = [chance.randbytes(chance.randrange(2, 6)).hex().encode() for _ in range(9000)]
    return b" ".join(chance.choices(vocabulary, k=70_000))


def partly_noise(chance: random.Random) -> bytes:
    return b"".join([chance.randbytes(7000) + b"layers of grains " * 60 for _ in range(70)])


@pytest.mark.parametrize(("make", "tuning"), [(rows, "records"), (words, "text"), (partly_noise, "mixed")])
def test_the_tuning_fits_what_a_frame_holds(make: Callable[[random.Random], bytes], tuning: str) -> None:
    content, compressor = make(random.Random(5)), Compressor("zstd")
    assert compressor._tuning(content) == tuning
    assert compressor._tuning(content[:300_000]) == Compressor("zstd:3")._tuning(content) == "text"
    assert Sealed([content]).open() == content
