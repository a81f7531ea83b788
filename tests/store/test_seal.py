"""Sealing: what is opened is what was sealed under this key and these associated data; and no nonce serves twice."""

import struct
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siltstone.store import ObjectKind, disclose
from siltstone.store.ids import PackName
from siltstone.store.seal import NONCE_SIZE, OVERHEAD, AesSealer, Sealer, Tampered, seal, sealer_for, unseal

from .backends import MemoryBackend
from .stores import grains, make, names, put, small_packs

KEYS = st.sampled_from([b"", bytes(32), b"k" * 32])
SMALL = st.binary(max_size=100)


@given(KEYS, SMALL, SMALL)
def test_what_was_sealed_opens(key: bytes, plain: bytes, aad: bytes) -> None:
    sealed = seal(sealer_for(key), plain, aad)
    assert len(sealed) == len(plain) + OVERHEAD
    assert unseal(sealer_for(key), sealed, aad) == plain


@given(KEYS, SMALL, SMALL, st.data())
def test_a_changed_bit_does_not_open(key: bytes, plain: bytes, aad: bytes, data: st.DataObject) -> None:
    sealed = bytearray(seal(sealer_for(key), plain, aad))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    if not key and bit < NONCE_SIZE * 8:  # nothing there in a store without encryption: nothing is lost
        assert unseal(sealer_for(key), sealed, aad) == plain
    else:
        with pytest.raises(Tampered):
            unseal(sealer_for(key), sealed, aad)


@given(KEYS, SMALL, SMALL, st.data())
def test_a_truncated_one_does_not_open(key: bytes, plain: bytes, aad: bytes, data: st.DataObject) -> None:
    sealed = seal(sealer_for(key), plain, aad)
    with pytest.raises(Tampered):
        unseal(sealer_for(key), sealed[: data.draw(st.integers(0, len(sealed) - 1))], aad)


@given(KEYS, SMALL, SMALL, SMALL)
def test_it_opens_with_its_own_associated_data_only(key: bytes, plain: bytes, aad: bytes, other: bytes) -> None:
    sealed = seal(sealer_for(key), plain, aad)
    if aad != other:
        with pytest.raises(Tampered):
            unseal(sealer_for(key), sealed, other)


def test_the_border_between_associated_data_and_content_counts() -> None:
    sealed = seal(sealer_for(b""), b"bc", b"a")
    shifted = sealed[:NONCE_SIZE] + b"c" + sealed[-16:]
    with pytest.raises(Tampered):
        unseal(sealer_for(b""), shifted, b"ab")


def test_it_opens_under_its_own_key_only() -> None:
    sealed = seal(sealer_for(b"k" * 32), b"plain", b"")
    for other in (b"l" * 32, b""):
        with pytest.raises(Tampered):
            unseal(sealer_for(other), sealed, b"")


def test_threads_never_share_a_nonce() -> None:
    sealer: Sealer = AesSealer(b"k" * 32)
    with ThreadPoolExecutor(8) as pool:
        sealed = list(pool.map(lambda _: seal(sealer, b"x", b""), range(5000)))
    assert len({each[:NONCE_SIZE] for each in sealed}) == len(sealed)


def test_no_key_of_a_store_seals_two_things_with_one_nonce() -> None:
    """Of one session: frames, footers and roots. A nonce used twice gives both contents away."""
    backend = MemoryBackend()
    with small_packs():
        store = make(backend)
        with store.writer("none") as writer:
            put(writer, grains(1, 40))
            writer.commit("backups/host/0/0", {"chunks": []})
            put(writer, grains(2, 10))
            writer.commit("backups/host/0/1", {"chunks": []})
    nonces = []
    for name in names(backend, "packs/"):
        footer = store.footer(PackName(name[-64:]))
        content = backend.objects[name]
        nonces += [content[frame.offset :][:NONCE_SIZE] for frame in footer.frames]
        slots, length = struct.unpack("<II", content[-20:-12])
        assert slots
        nonces.append(content[-20 - length :][:NONCE_SIZE])  # of the footer
    for name in names(backend, "backups/"):
        payload = disclose(ObjectKind.ROOT, name, backend.objects[name])
        (length,) = struct.unpack_from("<H", payload, 16)
        nonces.append(payload[18 + length :][:NONCE_SIZE])
    assert len(nonces) > 20
    assert max(Counter(nonces).values()) == 1
