"""Digests of pages as bytes, 8 a page: all that a restore wants of pages, which spares it numpy where C was built.

Rule: two pages that differ have the same digest with a probability below 2^-63 (pages_plain.py says why), as long as
who makes them knows neither key nor digests. Two keys' digests cannot be compared. It is no cryptographic hash.
"""

from typing import Final

from blake3 import blake3

from .grid import PAGE

try:
    from ._pages import digests as _digests
except ImportError:
    from .pages_plain import digests as _digests

KEY_BYTES: Final = 4 * 4096 + 2 * 5 * 8  # words for two NH of two keys, and the multipliers of two halves
_CONTEXT = b"siltstone 2026 page digests"


def digest_key(secret: bytes) -> bytes:
    """The key of a store's digests, from a secret of 32 bytes."""
    return blake3(_CONTEXT, key=secret).digest(KEY_BYTES)


def page_digests(pages: bytes | bytearray | memoryview, key: bytes) -> bytes:
    """8 bytes for each of the pages, as records have them (cells.py)."""
    assert len(pages) % PAGE == 0, f"{len(pages)} bytes are no whole pages"
    out = bytearray(len(pages) // PAGE * 8)
    _digests(pages, key, out)
    return bytes(out)
