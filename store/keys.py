"""How a key ring is kept in the store: wrapped by a passphrase or a key file, one `keys/<key id>` object for each.

The payload of such an object (the envelope around it belongs to the store) is msgpack:

    payload  [version = 1, header (bin), wrapped (bin)]
    header   {id: bin 16, store: bin 16, label: str, created_ns: int, role: "all" | "write" | "read",
              generation: int, config: bin, kdf: argon2id | hkdf (secrets.py)}
    wrapped  AES-256-GCM of the body under the key that the kdf makes of the secret; nonce of zeros,
             associated data "siltstone key 1" | header, byte for byte as it is stored
    body     {id_key: bin 32, reader_public: bin 1216 | nil, reader_private: [bin 96 ...]}

`config` is the content of the store's config, so that a key alone is enough to make it again. `reader_private` holds
the private keys of every generation, the newest first; the public key is made of the first, and stands there only where
no private key does. `generation` counts how often the reader keys were changed (see key_changes.py).

Rule: a key object opens its ring by its own secret and by nothing else, so that keys are added and removed without
touching data. The header is believed only as far as the tag proves it: what it asks of memory and time is bounded
before that. `wrap(ring.without_private(), ...)` is the serialised form of a ring that can only add.

It does not promise that removing a key object locks out who has opened it once: that one knows the ring. It does not
tell damage from a wrong secret: the envelope has done that before, so here a failed tag means the wrong key.
"""

from collections.abc import Mapping
from os import urandom
from typing import Any

import msgpack
from msgspec import Struct

from .errors import NewerFormat, StoreError, WrongKey
from .keyring import (
    KEY_SIZE,
    READER_PRIVATE_SIZE,
    READER_PUBLIC_SIZE,
    ROLES,
    STORE_ID_SIZE,
    KeyRing,
    Role,
    SessionKey,
    public_of,
)
from .secrets import (
    UPDATE,
    KeyFile,
    Kind,
    Passphrase,
    Secret,
    Shape,
    check_kdf,
    has_shape,
    is_bytes,
    is_count,
    kind_of,
    make_key_file,
    malformed,
    new_kdf,
    parse_key_file,
    wrapping_key,
)

__all__ = ["KeyFile", "KeyInfo", "KeyRing", "Passphrase", "Secret", "SessionKey"]
__all__ += ["describe", "key_id", "make_key_file", "parse_key_file", "unwrap", "wrap"]

VERSION = 1
ID_SIZE = 16
LABEL_LIMIT = 100
CONFIG_LIMIT = 4096  # bytes; ours has 80

_CONTEXT = b"siltstone key 1"
_NONCE = bytes(12)  # each wrap has its own salt, and so a key that seals one body only


class KeyInfo(Struct, frozen=True):
    """What a key object says of itself. Nothing proves it until the key is opened. `store` is the store's id."""

    id: str
    kind: Kind
    label: str
    created_ns: int
    role: Role
    generation: int
    store: bytes
    config: bytes


def wrap(
    ring: KeyRing, secret: Secret, *, label: str, created_ns: int, config: bytes = b"", chosen_id: bytes | None = None
) -> bytes:
    """The payload of a new key object, by which `secret` opens `ring`. StoreError if the label cannot be kept.

    `config` is what encode_config puts into the envelope. `chosen_id`: 16 bytes, random ones unless they are given.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if not ring.encrypted or not is_count(created_ns):
        raise ValueError("a key object needs a ring that encrypts and a time of creation after 1970")
    if ring.reader_private is not None and public_of(ring.reader_private) != ring.reader_public:
        raise ValueError("the reader keys are no pair: what is written under them could never be read")
    if not _is_label(label):
        raise StoreError(f"{label!r}: a key's label is printable text of at most {LABEL_LIMIT} characters")
    kdf = new_kdf(secret)
    header = {
        "id": chosen_id or urandom(ID_SIZE),
        "store": ring.store_id,
        "label": label,
        "created_ns": created_ns,
        "role": ring.role,
        "generation": ring.generation,
        "config": config,
        "kdf": kdf,
    }
    private = [] if ring.reader_private is None else [ring.reader_private, *ring.older]
    body = {
        "id_key": ring.id_key,
        "reader_public": None if private else ring.reader_public,
        "reader_private": private,
    }
    packed: bytes = msgpack.packb(header)
    wrapped = AESGCM(wrapping_key(kdf, secret)).encrypt(_NONCE, msgpack.packb(body), _CONTEXT + packed)
    payload: bytes = msgpack.packb([VERSION, packed, wrapped])
    return payload


def unwrap(payload: bytes, secret: Secret) -> KeyRing:
    """The ring in a key object's payload. The caller compares `ring.store_id` with the store it has opened.

    WrongKey: the secret is another, or of another kind. NewerFormat, Corrupt: the payload is not one that we can use.
    """
    header, packed, wrapped = _parse(payload)
    kind, label = kind_of(header["kdf"]), header["label"]
    if kind != secret.kind:
        raise WrongKey(
            f"the key {label!r} is opened by a {kind}, and a {secret.kind} was given",
            hint=f"give its {kind}, or use another key of the store",
        )
    key = wrapping_key(header["kdf"], secret)
    # After the slow derivation: while it ran, others have loaded these.
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        body = AESGCM(key).decrypt(_NONCE, wrapped, _CONTEXT + packed)
    except InvalidTag:
        raise WrongKey(
            f"the {kind} that was given does not open the key {label!r}",
            hint=f"check that it is the {kind} of this store, or use another key of the store",
        ) from None
    return _ring(header, _unpack(body))


def _ring(header: Mapping[str, Any], body: Any) -> KeyRing:
    role = header["role"]
    if not has_shape(body, _BODY) or bool(body["reader_private"]) == (role == "write"):
        raise malformed("what it wraps is not the key ring that its header promises")
    first, *older = body["reader_private"] or [None]
    public = body["reader_public"] if first is None else public_of(first)
    if public is None:
        raise malformed("what it wraps is not the key ring that its header promises")
    return KeyRing(
        header["store"],
        body["id_key"],
        public,
        first,
        older=tuple(older),
        role=role,
        generation=header["generation"],
    )


def key_id(payload: bytes) -> str:
    """The id of a key, by which its object is named: 32 hex digits. NewerFormat, Corrupt."""
    return describe(payload).id


def describe(payload: bytes) -> KeyInfo:
    """What a key object says of itself, without opening it. NewerFormat, Corrupt."""
    header, _, _ = _parse(payload)
    plain = {name: header[name] for name in ("label", "created_ns", "role", "generation", "store", "config")}
    return KeyInfo(id=header["id"].hex(), kind=kind_of(header["kdf"]), **plain)


def _is_label(value: object) -> bool:
    # Printable, because a label is shown before anything is proved: no escape sequences to the terminal.
    return type(value) is str and len(value) <= LABEL_LIMIT and value.isprintable()


_HEADER: Shape = {
    "id": is_bytes(ID_SIZE),
    "store": is_bytes(STORE_ID_SIZE),
    "label": _is_label,
    "created_ns": is_count,
    "role": lambda value: type(value) is str and value in ROLES,
    "generation": is_count,
    "config": lambda value: type(value) is bytes and len(value) <= CONFIG_LIMIT,
    "kdf": lambda value: type(value) is dict,
}
_BODY: Shape = {
    "id_key": is_bytes(KEY_SIZE),
    "reader_public": lambda value: value is None or is_bytes(READER_PUBLIC_SIZE)(value),
    "reader_private": lambda value: type(value) is list and all(map(is_bytes(READER_PRIVATE_SIZE), value)),
}


def _unpack(packed: bytes) -> Any:
    try:
        return msgpack.unpackb(packed)
    except ValueError:
        raise malformed("it is no msgpack") from None


def _parse(payload: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    """A payload's header, checked; the same as it is stored; and what is wrapped, still sealed."""
    value = _unpack(payload)
    version = value[0] if isinstance(value, list) and value else None
    if type(version) is int and version > VERSION:
        raise NewerFormat(f"a key of the store has format {version}, and this program knows {VERSION}", hint=UPDATE)
    if type(version) is not int or version != VERSION or [type(part) for part in value[1:]] != [bytes, bytes]:
        raise malformed("it is not a version, a header and a wrapped key ring")
    header = _unpack(value[1])
    if not has_shape(header, _HEADER):
        raise malformed("its header is not one of this version")
    check_kdf(header["kdf"])
    return header, value[1], value[2]
