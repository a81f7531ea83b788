"""Digests of pages as bytes, 8 a page: all that a restore wants of pages, which spares it numpy where C was built.

Rule: two pages that differ have the same digest with a probability below 2^-63 (pages_plain.py says why), as long as
who makes them knows neither key nor digests. Two keys' digests cannot be compared. It is no cryptographic hash.
"""

from typing import Final

from blake3 import blake3

from .grid import DIGEST, PAGE

try:
    from ._pages import digests as _digests
    from ._pages import file_digests as _file_digests
except ImportError:
    from .pages_plain import digests as _digests
    from .pages_plain import file_digests as _file_digests

Bytes = bytes | bytearray | memoryview

KEY_BYTES: Final = 4 * 4096 + 2 * 5 * 8  # words for two NH of two keys, and the multipliers of two halves
_CONTEXT = b"siltstone 2026 page digests"


def digest_key(secret: bytes) -> bytes:
    """The key of a store's digests, from a secret of 32 bytes."""
    return blake3(_CONTEXT, key=secret).digest(KEY_BYTES)


def page_digests(pages: Bytes, key: bytes) -> bytes:
    """8 bytes for each of the pages, as records have them (cells.py)."""
    assert len(pages) % PAGE == 0, f"{len(pages)} bytes are no whole pages"
    out = bytearray(len(pages) // PAGE * DIGEST)
    _digests(pages, key, out)
    return bytes(out)


def file_digests(file: int, offset: int, pages: int, key: bytes) -> bytes:
    """The same of an open file's pages from `offset` on: of so many, or of as many as there are. Raises OSError."""
    out = bytearray(pages * DIGEST)
    return bytes(out[: _file_digests(file, offset, key, out) * DIGEST])


def changed_pages(old: bytes, new: bytes) -> list[int]:
    """Numbers of the pages whose digests differ, and of those that were added. What was cut off is not among them."""
    places = range(0, len(new), DIGEST)
    return [at // DIGEST for at in places if old[at : at + DIGEST] != new[at : at + DIGEST]]
