"""Packs: the end of a pack says where every chunk lies, or says nothing."""

import random

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct, field

from siltstone.store import ChunkId, Corrupt, Footer, FrameInfo, NewerFormat, PackName, Store, StoreError, pack_object
from siltstone.store.pack import MAGIC, TAIL_MAGIC, KeySlot, decode_end, decode_footer, encode_end, end_length
from siltstone.store.seal import sealer_for

from .backends import MemoryBackend
from .stores import back_up, grains, make, names, reopen

NAME = PackName("ab" * 32)
SLOTS = [KeySlot(b"0" * 16, b"sealed"), KeySlot(b"1" * 16, b""), KeySlot(b"2" * 16, bytes(1168))]
FRAMES = st.lists(
    st.tuples(
        st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.integers(0, 2**32 - 1)), max_size=5),
        st.integers(0, 2**32 - 1),
        st.integers(0, 255),
    ),
    max_size=6,
)


class Ended(Struct):
    """The end of a pack, behind `body` bytes of frames."""

    frames: list[FrameInfo]
    slots: list[KeySlot] = field(default_factory=lambda: SLOTS[:1])
    body: int = 5000
    key: bytes = b"d" * 32

    def encode(self) -> bytes:
        return encode_end(self.frames, self.slots, sealer_for(self.key))

    def decode(self, end: bytes, *, before: bytes = b"") -> Footer:
        """Read as a reader does that has `before` and the end, and no more."""
        size = self.body + len(before) + len(end)
        needed = end_length(NAME, before + end)
        if needed > size:
            raise Corrupt(pack_object(NAME), "it is truncated")
        return decode_footer(NAME, size, decode_end(NAME, before + end), sealer_for(self.key))


def infos(rows: list[tuple[list[tuple[bytes, int]], int, int]], slots: int = 1) -> list[FrameInfo]:
    at, frames = len(MAGIC), []
    for number, (chunks, plain, codec) in enumerate(rows):
        ids, lengths = [ChunkId(chunk) for chunk, _ in chunks], [length for _, length in chunks]
        frames.append(FrameInfo(at, 30 + number, plain, number % slots, codec, ids, lengths))
        at += 30 + number
    return frames


@settings(max_examples=50)
@given(FRAMES, st.integers(1, 3), st.binary(max_size=40), st.sampled_from([b"", b"d" * 32]))
def test_round_trip(
    rows: list[tuple[list[tuple[bytes, int]], int, int]], slots: int, before: bytes, key: bytes
) -> None:
    ended = Ended(infos(rows, slots), SLOTS[:slots], key=key)
    footer = ended.decode(ended.encode(), before=before)
    assert footer.frames == ended.frames
    assert footer.keys == ended.slots
    assert footer.size == ended.body + len(before) + len(ended.encode())


def test_starts_are_where_lengths_lead() -> None:
    (frame,) = infos([([(bytes(32), 5), (bytes(32), 0), (bytes(32), 7)], 12, 0)])
    assert frame.starts == [0, 5, 5]


@pytest.mark.parametrize("key", [b"", b"d" * 32])
def test_no_changed_bit_gives_another_footer(key: bytes) -> None:
    """Every bit there is."""
    ended = Ended(infos([([(bytes(32), 5), (b"x" * 32, 9)], 14, 1), ([(b"y" * 32, 3)], 3, 0)]), key=key)
    whole = ended.encode()
    right = ended.decode(whole)
    for bit in range(len(whole) * 8):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            footer = ended.decode(bytes(changed))
        except (Corrupt, NewerFormat):
            continue
        assert footer.frames == right.frames  # the bit was of the key slot, or a nonce that is none
        assert bit < len(whole) * 8 - 20 * 8 or bit // 8 == len(whole) - 10


@pytest.mark.parametrize("slots", [1, 3])
def test_no_truncated_end_opens(slots: int) -> None:
    ended = Ended(infos([([(bytes(32), 5)], 5, 1)], slots), SLOTS[:slots])
    whole = ended.encode()
    for cut in range(len(whole)):
        with pytest.raises(Corrupt) as caught:
            ended.decode(whole[:cut])
        assert caught.value.name == pack_object(NAME)


def test_a_pack_of_noise_is_no_pack() -> None:
    ended, rng = Ended([]), random.Random(3)
    for _ in range(200):
        noise = rng.randbytes(rng.randrange(200))
        for tail in (b"", rng.randbytes(10) + b"\x01\x00" + TAIL_MAGIC):
            with pytest.raises(Corrupt):
                ended.decode(noise + tail)


@pytest.mark.parametrize(
    "frame",
    [
        FrameInfo(2**32 - 10, 30, 5, 0, 0, [], []),  # behind the end
        FrameInfo(8, 2**31, 5, 0, 0, [], []),
        FrameInfo(8, 30, 5, 1, 0, [], []),  # of a key slot that is not there
    ],
)
def test_a_footer_that_does_not_fit_is_damage(frame: FrameInfo) -> None:
    ended = Ended([frame])
    with pytest.raises(Corrupt, match="does not fit"):
        ended.decode(ended.encode())


def test_a_later_format_is_no_damage() -> None:
    ended = Ended([])
    end = bytearray(ended.encode())
    end[-10:-8] = (2).to_bytes(2, "little")
    with pytest.raises(NewerFormat):
        ended.decode(bytes(end))


class TestStored:
    """Packs as a session writes them."""

    @pytest.mark.parametrize("encrypted", [True, False])
    def test_the_name_is_the_checksum(self, encrypted: bool) -> None:
        backend = MemoryBackend()
        back_up(make(backend, encrypted=encrypted), grains(1, 5))
        (name,) = names(backend, "packs/")
        assert name == pack_object(PackName(blake3(backend.objects[name]).hexdigest()))
        assert backend.objects[name].startswith(MAGIC)

    def test_frames_fill_the_pack(self) -> None:
        backend = MemoryBackend()
        store = make(backend)
        back_up(store, grains(1, 5, 3_000_000))
        (name,) = names(backend, "packs/")
        footer = store.footer(PackName(name[-64:]))
        at = len(MAGIC)
        for frame in footer.frames:
            assert frame.offset == at
            at += frame.stored
        assert footer.size - at == end_length(footer.pack, backend.objects[name])

    @pytest.mark.parametrize("at", [0, 20, 600])
    def test_a_changed_key_slot_is_damage_and_no_wrong_key(self, at: int) -> None:
        backend = MemoryBackend()
        back_up(make(backend), grains(1, 5))
        (name,) = names(backend, "packs/")
        content = bytearray(backend.objects[name])
        content[at - end_length(PackName(name[-64:]), bytes(content))] ^= 1
        backend.objects[name] = bytes(content)
        with pytest.raises(Corrupt) as caught:
            reopen(backend).footer(PackName(name[-64:]))
        assert caught.value.name == name

    def test_a_pack_of_another_store_is_damage_and_no_wrong_key(self) -> None:
        backend, another = MemoryBackend(), MemoryBackend()
        store = make(backend)
        back_up(make(another), grains(1, 5))
        (name,) = names(another, "packs/")
        backend.objects[name] = another.objects[name]
        with pytest.raises(Corrupt):
            store.footer(PackName(name[-64:]))

    def test_a_changed_format_number_is_damage_when_the_name_says_so(self) -> None:
        """Nothing else protects those two bytes, and 'upgrade' would be the wrong hint."""
        backend = MemoryBackend()
        back_up(make(backend), grains(1, 5))
        (name,) = names(backend, "packs/")
        content = bytearray(backend.objects[name])
        content[-10] ^= 0x80
        for right_name in (False, True):
            named = pack_object(PackName(blake3(content).hexdigest())) if right_name else name
            backend.objects[named] = bytes(content)
            store: Store = make(MemoryBackend())
            store.reader._store.backend.put(named, [content])
            with pytest.raises(StoreError) as caught:
                store.footer(PackName(named[-64:]))
            assert isinstance(caught.value, NewerFormat if right_name else Corrupt)
