"""Argon2id in our memory gives what OpenSSL's gives in its own."""

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from siltstone.store.argon2 import argon2id


@pytest.mark.parametrize(
    ("iterations", "lanes", "memory_kib"), [(1, 1, 8), (3, 4, 64 * 1024), (2, 3, 1001), (1, 16, 256)]
)
@pytest.mark.parametrize("secret", [b"", b"secret", "pässword ".encode() * 50])
def test_the_same_bytes(secret: bytes, iterations: int, lanes: int, memory_kib: int) -> None:
    salt = bytes(range(16))
    theirs = Argon2id(salt=salt, length=32, iterations=iterations, lanes=lanes, memory_cost=memory_kib).derive(secret)
    assert argon2id(secret, salt, size=32, iterations=iterations, lanes=lanes, memory_kib=memory_kib) == theirs


def test_too_little_memory_is_an_error() -> None:
    with pytest.raises(MemoryError):
        argon2id(b"x", bytes(16), size=32, iterations=1, lanes=1, memory_kib=1 << 50)
