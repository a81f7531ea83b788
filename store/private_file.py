"""A file of this host alone, sealed under a key of a store: what a host that reads nothing back keeps for itself.

    file  := "SILTPF1\n" | salt (32) | block ...
    block := length (u32) | sealed(zstd of the content)    associated data: "silt private 1" | last (1) | number (u64)

The key is BLAKE3 of the salt, keyed by the store's key for the purpose. Rule: each block is authenticated before it is
used, and the last one says that it is the last; so what was cut off, put together from others or changed is Corrupt.
It is not synced: after a crash it may be found incomplete, and whoever reads it must be able to do without.
"""

import os
import struct
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import zstandard
from blake3 import blake3

from .errors import Corrupt
from .keyring import KeyRing
from .seal import Buffer, Sealer, Tampered, seal, sealer_for, unseal

MAGIC = b"SILTPF1\n"
SALT_SIZE = 32
MOST = 64 << 20  # bytes of a block's content, so that a file that lies about itself costs no more memory
_LENGTH = struct.Struct("<I")


class PrivateWriter:
    """Writes such a file. A context manager: leaving it without `finish` removes the file."""

    def __init__(self, path: str, ring: KeyRing, purpose: str) -> None:
        """Raises OSError."""
        salt = os.urandom(SALT_SIZE)
        self._path = path
        self._sealer = _sealer(ring, purpose, salt)
        self._zstd = zstandard.ZstdCompressor(level=1)
        self._number = 0
        self._finished = False
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(descriptor, "wb")
        self._file.write(MAGIC + salt)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if not self._finished:
            os.unlink(self._path)

    def add(self, content: Buffer, *, last: bool = False) -> None:
        """The next block. Raises OSError."""
        sealed = seal(self._sealer, self._zstd.compress(content), _aad(self._number, last=last))
        self._file.write(_LENGTH.pack(len(sealed)) + sealed)
        self._number += 1

    def finish(self, content: Buffer = b"") -> None:
        """The last block; the file is whole when this returns. Raises OSError."""
        self.add(content, last=True)
        self._file.flush()
        self._finished = True


def read_private(path: str, ring: KeyRing, purpose: str) -> Iterator[bytes]:
    """The blocks of such a file, the last one too. Raises OSError, and Corrupt at the first that is not as written."""
    with open(path, "rb") as file:
        head = file.read(len(MAGIC) + SALT_SIZE)
        if head[: len(MAGIC)] != MAGIC:
            raise _corrupt(path)
        sealer, zstd = _sealer(ring, purpose, head[len(MAGIC) :]), zstandard.ZstdDecompressor()
        number = 0
        last = False
        while not last:
            length = file.read(_LENGTH.size)
            if len(length) < _LENGTH.size or _LENGTH.unpack(length)[0] > MOST:
                raise _corrupt(path)
            content, last = _opened(sealer, file.read(_LENGTH.unpack(length)[0]), number, path)
            try:
                yield zstd.decompress(content, max_output_size=MOST)
            except zstandard.ZstdError:
                raise _corrupt(path) from None
            number += 1


def _opened(sealer: Sealer, sealed: bytes, number: int, path: str) -> tuple[bytes, bool]:
    for last in (False, True):
        try:
            return unseal(sealer, sealed, _aad(number, last=last)), last
        except Tampered:
            continue
    raise _corrupt(path)


def _sealer(ring: KeyRing, purpose: str, salt: bytes) -> Sealer:
    return sealer_for(blake3(salt, key=ring.derive(purpose)).digest() if ring.encrypted else b"")


def _aad(number: int, *, last: bool) -> bytes:
    return b"silt private 1" + bytes([last]) + number.to_bytes(8, "little")


def _corrupt(path: str) -> Corrupt:
    return Corrupt(path, "it is not as it was written", hint="nothing is lost: what it holds is only kept to save work")
