"""Argon2id in our memory gives what OpenSSL's gives in its own."""

import pytest
from _argon2_cffi_bindings import ffi
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from siltstone.store import argon2
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


def test_where_no_code_can_be_made_it_allocates_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    class Strict:
        """The library's interface on a system that allows no callbacks."""

        def __getattr__(self, name: str) -> object:
            return getattr(ffi, name)

        def callback(self, *_: object) -> object:
            raise MemoryError("Cannot allocate write+execute memory for ffi.callback()")

    wanted = argon2id(b"secret", bytes(16), size=32, iterations=1, lanes=2, memory_kib=256)
    monkeypatch.setattr(argon2, "ffi", Strict())
    assert argon2id(b"secret", bytes(16), size=32, iterations=1, lanes=2, memory_kib=256) == wanted
