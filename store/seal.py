"""Sealing: authenticated encryption of frames, footers, roots and index parts.

    sealed := nonce (12 bytes) | ciphertext (as long as the plaintext) | tag (16 bytes)

Rule: a nonce is never used twice under one key. Each key is random and belongs to one session (or one index segment),
so a counter is enough and needs no storage. Counters show where sealed pieces begin that lie one after the other; where
that must not be seen, nonces are random: of 2^32 frames under one key, thousands of terabytes, two have the same with a
chance of 2^-33. A store without encryption has the same layout: the tag is then a BLAKE3
of associated data and content, which finds damage and stops no attacker.
"""

import itertools
import os
from typing import Protocol

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

Buffer = bytes | bytearray | memoryview

NONCE_SIZE = 12
TAG_SIZE = 16
OVERHEAD = NONCE_SIZE + TAG_SIZE


class Tampered(Exception):
    """The tag does not match. The caller knows the object's name and raises Corrupt."""


class Sealer(Protocol):
    """Seals and opens under one key; safe to share between threads."""

    def seal_into(self, plain: Buffer, aad: bytes, out: memoryview) -> None:
        """Seal into `out`, which is len(plain) + OVERHEAD long."""
        ...

    def open_into(self, sealed: Buffer, aad: bytes, out: memoryview) -> None:
        """Open into `out`, which is len(sealed) - OVERHEAD long. Raises Tampered."""
        ...


class AesSealer:
    """AES-256-GCM with a counter for a nonce, or `random` ones. One writer a key: only the session that made the key
    seals with it.
    """

    def __init__(self, key: bytes, *, random: bool = False) -> None:
        self._aead, self._random = AESGCM(key), random
        self._counter = itertools.count(1)  # next() on it is atomic in CPython

    def seal_into(self, plain: Buffer, aad: bytes, out: memoryview) -> None:
        nonce = os.urandom(NONCE_SIZE) if self._random else next(self._counter).to_bytes(NONCE_SIZE, "big")
        out[:NONCE_SIZE] = nonce
        self._aead.encrypt_into(nonce, plain, aad, out[NONCE_SIZE:])

    def open_into(self, sealed: Buffer, aad: bytes, out: memoryview) -> None:
        view = memoryview(sealed)
        if len(view) < OVERHEAD:
            raise Tampered
        try:
            self._aead.decrypt_into(view[:NONCE_SIZE], view[NONCE_SIZE:], aad, out)
        except InvalidTag:
            raise Tampered from None


class CheckSealer:
    """The sealer of a store without encryption: content in the clear, and a checksum where the tag would be."""

    def seal_into(self, plain: Buffer, aad: bytes, out: memoryview) -> None:
        out[:NONCE_SIZE] = bytes(NONCE_SIZE)
        out[NONCE_SIZE:-TAG_SIZE] = plain
        out[-TAG_SIZE:] = self.tag(plain, aad)

    def open_into(self, sealed: Buffer, aad: bytes, out: memoryview) -> None:
        view = memoryview(sealed)
        if len(view) < OVERHEAD:
            raise Tampered
        body = view[NONCE_SIZE:-TAG_SIZE]
        if self.tag(body, aad) != view[-TAG_SIZE:]:
            raise Tampered
        out[:] = body

    @staticmethod
    def tag(content: Buffer, aad: bytes) -> bytes:
        """The checksum that stands for a tag: 16 bytes of BLAKE3 over length of aad, aad, content."""
        hasher = blake3(len(aad).to_bytes(8, "little"))
        hasher.update(aad)
        hasher.update(content)
        return hasher.digest(length=TAG_SIZE)


def sealer_for(key: bytes, *, random: bool = False) -> Sealer:
    """The sealer under this key, with `random` nonces or counted ones; an empty key is that of a store without
    encryption.
    """
    return AesSealer(key, random=random) if key else CheckSealer()


def seal(sealer: Sealer, plain: Buffer, aad: bytes) -> bytes:
    """Sealed bytes of something small."""
    out = bytearray(len(plain) + OVERHEAD)
    sealer.seal_into(plain, aad, memoryview(out))
    return bytes(out)


def unseal(sealer: Sealer, sealed: Buffer, aad: bytes) -> bytes:
    """The plaintext of something small. Raises Tampered."""
    out = bytearray(max(0, len(sealed) - OVERHEAD))
    sealer.open_into(sealed, aad, memoryview(out))
    return bytes(out)
