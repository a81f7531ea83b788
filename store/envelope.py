"""The envelope around every small object of a store: config, keys, leases, roots, notes of verification.

Rule: damage is told apart from a wrong key before any key is tried, because the envelope carries a plain checksum. It
is no protection against somebody who writes the storage: sealed payloads bring their own.

    envelope := "silt" | kind (1 byte) | format (1 byte) | payload | first 16 bytes of BLAKE3 over all before
"""

from enum import IntEnum

from blake3 import blake3

from .errors import Corrupt, NewerFormat

MAGIC = b"silt"
FORMAT = 1
CHECK_SIZE = 16
HEAD_SIZE = len(MAGIC) + 2


class ObjectKind(IntEnum):
    """What an envelope holds."""

    CONFIG = 1
    KEY = 2
    LEASE = 3
    ROOT = 4
    VERIFIED = 5
    CONDEMNED = 6
    FENCE = 7


def enclose(kind: ObjectKind, payload: bytes) -> bytes:
    """The bytes of an object of this kind."""
    body = MAGIC + bytes((kind, FORMAT)) + payload
    return body + blake3(body).digest(length=CHECK_SIZE)


def disclose(kind: ObjectKind, name: str, data: bytes) -> bytes:
    """The payload of object `name`. Raises Corrupt when its bytes changed, NewerFormat when it is from the future."""
    body = check_envelope(name, data)
    if body[len(MAGIC) + 1] > FORMAT:
        raise NewerFormat(
            f"{name}: written in format {body[len(MAGIC) + 1]}, and this silt reads up to {FORMAT}",
            hint="upgrade silt on this host",
        )
    if body[len(MAGIC)] != kind:
        raise Corrupt(name, f"it is of kind {body[len(MAGIC)]} where kind {int(kind)} must be")
    return body[HEAD_SIZE:]


def check_envelope(name: str, data: bytes) -> bytes:
    """All before the checksum, whatever kind and format it is of. Raises Corrupt when bytes changed."""
    if len(data) < HEAD_SIZE + CHECK_SIZE or data[: len(MAGIC)] != MAGIC:
        raise Corrupt(name, "it is truncated or no object of a Siltstone store")
    body, check = data[:-CHECK_SIZE], data[-CHECK_SIZE:]
    if blake3(body).digest(length=CHECK_SIZE) != check:
        raise Corrupt(name, "its checksum does not match: bytes of it have changed")
    return body
