"""How a key ring is kept in the store: wrapped by a passphrase or a key file, one `keys/<key id>` object for each.

The payload of such an object (the envelope around it belongs to the store) is msgpack:

    payload  [version = 1, header (bin), wrapped (bin)]
    header   {id: bin 16, store: bin 16, label: str, created_ns: int, write_only: bool, kdf: argon2id | hkdf}
    argon2id {name: "argon2id", salt: bin 16, iterations: int, lanes: int, memory_kib: int}
    hkdf     {name: "hkdf-sha256", salt: bin 16}
    wrapped  AES-256-GCM of the body under the key that the kdf makes of the secret; nonce of zeros,
             associated data "siltstone key 1" | header, byte for byte as it is stored
    body     {id_key: bin 32, reader_public: bin 1216, reader_private: bin 96 | nil}

A key file is one line of text: `silt-key-1:` and 32 random bytes in base64.

Rule: every key object opens the same ring, each by its own secret, so that keys are added and removed without touching
data. The header is believed only as far as the tag proves it: what it asks of memory and time is bounded before that.
`wrap(ring.without_private(), ...)` is the serialised form of a ring that can only add.

It does not promise that removing a key object locks out who has opened it once: that one knows the ring. It does not
tell damage from a wrong secret: the envelope has done that before, so here a failed tag means the wrong key.
"""

from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from os import urandom
from typing import Any, ClassVar, Literal

import msgpack

from .errors import Corrupt, NewerFormat, NoKey, StoreError, WrongKey
from .keyring import KEY_SIZE, READER_PRIVATE_SIZE, READER_PUBLIC_SIZE, STORE_ID_SIZE, KeyRing, SessionKey, public_of

__all__ = ["KeyFile", "KeyInfo", "KeyRing", "Passphrase", "Secret", "SessionKey"]
__all__ += ["describe", "key_id", "make_key_file", "parse_key_file", "unwrap", "wrap"]

VERSION = 1
ID_SIZE = SALT_SIZE = 16
LABEL_LIMIT = 100
KEY_FILE_PREFIX = "silt-key-1:"

# RFC 9106's second recommended choice; 64 MiB stays far below the 300 MiB that a backup may use. 0.1 s on two cores.
ARGON2 = {"iterations": 3, "lanes": 4, "memory_kib": 64 * 1024}

# What a store may ask of us: room for 16 times our memory and 20 times our work (memory times iterations; 2 s on two
# cores). With more a hostile store could exhaust the host before the passphrase has proved anything.
MOST_MEMORY_KIB, MOST_WORK_KIB, MOST_LANES = 1 << 20, 4 << 20, 16

_CONTEXT = b"siltstone key 1"
_NONCE = bytes(12)  # each wrap has its own salt, and so a key that seals one body only
Kind = Literal["passphrase", "key file"]
_ARGON2_NAME, _HKDF_NAME = "argon2id", "hkdf-sha256"
_UPDATE = "update this program"


@dataclass(frozen=True, slots=True)
class Passphrase:
    """A secret that a person remembers. NoKey if it is empty."""

    kind: ClassVar[Kind] = "passphrase"
    text: str = field(repr=False)

    def __post_init__(self) -> None:
        if not self.text:
            raise NoKey("the passphrase is empty", hint="give a passphrase or a key file")


@dataclass(frozen=True, slots=True)
class KeyFile:
    """The 32 random bytes of a key file."""

    kind: ClassVar[Kind] = "key file"
    data: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.data) != KEY_SIZE:
            raise ValueError("a key file holds 32 bytes")


Secret = Passphrase | KeyFile


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What a key object says of itself. Nothing proves it until the key is opened."""

    kind: Kind
    label: str
    created_ns: int
    write_only: bool


def make_key_file() -> str:
    """The text of a new key file: one line, with its newline."""
    return _key_line(urandom(KEY_SIZE)) + "\n"


def parse_key_file(text: str) -> KeyFile:
    """The secret in a key file's text; white space around the line is ignored. WrongKey, NewerFormat."""
    line = text.strip()
    try:
        data = a2b_base64(line.removeprefix(KEY_FILE_PREFIX))
    except ValueError:
        data = b""
    if len(data) == KEY_SIZE and _key_line(data) == line:  # a2b_base64 skips what is not base64, so compare
        return KeyFile(data)
    if line.startswith("silt-key-") and line.partition(":")[0] != KEY_FILE_PREFIX[:-1]:
        raise NewerFormat("the key file was made by a newer Siltstone", hint=_UPDATE)
    raise WrongKey("this is not a whole key file", hint=f"a key file is one line: {KEY_FILE_PREFIX}<base64>")


def _key_line(data: bytes) -> str:
    return KEY_FILE_PREFIX + b2a_base64(data, newline=False).decode()


def wrap(ring: KeyRing, secret: Secret, *, label: str, created_ns: int) -> bytes:
    """The payload of a new key object, by which `secret` opens `ring`. StoreError if the label cannot be kept."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    if not ring.encrypted or not _is_count(created_ns):
        raise ValueError("a key object needs a ring that encrypts and a time of creation after 1970")
    if ring.reader_private is not None and public_of(ring.reader_private) != ring.reader_public:
        raise ValueError("the reader keys are no pair: what is written under them could never be read")
    if not _is_label(label):
        raise StoreError(f"{label!r}: a key's label is printable text of at most {LABEL_LIMIT} characters")
    kdf = _new_kdf(secret)
    header = {
        "id": urandom(ID_SIZE),
        "store": ring.store_id,
        "label": label,
        "created_ns": created_ns,
        "write_only": ring.reader_private is None,
        "kdf": kdf,
    }
    body = {"id_key": ring.id_key, "reader_public": ring.reader_public, "reader_private": ring.reader_private}
    packed: bytes = msgpack.packb(header)
    wrapped = AESGCM(_wrapping_key(kdf, secret)).encrypt(_NONCE, msgpack.packb(body), _CONTEXT + packed)
    payload: bytes = msgpack.packb([VERSION, packed, wrapped])
    return payload


def unwrap(payload: bytes, secret: Secret) -> KeyRing:
    """The ring in a key object's payload. The caller compares `ring.store_id` with the store it has opened.

    WrongKey: the secret is another, or of another kind. NewerFormat, Corrupt: the payload is not one that we can use.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    header, packed, wrapped = _parse(payload)
    info = describe(payload)
    if info.kind != secret.kind:
        raise WrongKey(
            f"the key {info.label!r} is opened by a {info.kind}, and a {secret.kind} was given",
            hint=f"give its {info.kind}, or use another key of the store",
        )
    try:
        body = AESGCM(_wrapping_key(header["kdf"], secret)).decrypt(_NONCE, wrapped, _CONTEXT + packed)
    except InvalidTag:
        raise WrongKey(
            f"the {info.kind} that was given does not open the key {info.label!r}",
            hint=f"check that it is the {info.kind} of this store, or use another key of the store",
        ) from None
    ring = _unpack(body)
    if not _has_shape(ring, _BODY) or (ring["reader_private"] is None) != info.write_only:
        raise _malformed("what it wraps is not the key ring that its header promises")
    return KeyRing(header["store"], ring["id_key"], ring["reader_public"], ring["reader_private"])


def key_id(payload: bytes) -> str:
    """The id of a key, by which its object is named: 32 hex digits. NewerFormat, Corrupt."""
    header, _, _ = _parse(payload)
    return bytes(header["id"]).hex()


def describe(payload: bytes) -> KeyInfo:
    """What a key object says of itself, without opening it. NewerFormat, Corrupt."""
    header, _, _ = _parse(payload)
    kind: Kind = "passphrase" if header["kdf"]["name"] == _ARGON2_NAME else "key file"
    return KeyInfo(kind, header["label"], header["created_ns"], header["write_only"])


def _new_kdf(secret: Secret) -> dict[str, Any]:
    salt = urandom(SALT_SIZE)
    if isinstance(secret, KeyFile):
        return {"name": _HKDF_NAME, "salt": salt}
    return {"name": _ARGON2_NAME, "salt": salt, **ARGON2}


def _wrapping_key(kdf: Mapping[str, Any], secret: Secret) -> bytes:
    """The key (32 bytes) that wraps a ring. The kdf is of the secret's kind."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    if isinstance(secret, Passphrase):
        return _argon2(kdf, secret.text)
    # No slowing down here: a key file is random, and nobody guesses 32 bytes.
    hkdf = HKDF(algorithm=SHA256(), length=KEY_SIZE, salt=kdf["salt"], info=b"siltstone key file 1")
    return hkdf.derive(secret.data)


def _argon2(kdf: Mapping[str, Any], text: str) -> bytes:
    """Argon2id, so that each guess at a passphrase costs the memory and time of the parameters."""
    from unicodedata import normalize

    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    memory = kdf["memory_kib"]
    argon2 = Argon2id(
        salt=kdf["salt"], length=KEY_SIZE, iterations=kdf["iterations"], lanes=kdf["lanes"], memory_cost=memory
    )
    # NFC, because keyboards differ in how they compose accents; surrogateescape, because the bytes of an environment
    # variable need not be UTF-8.
    passphrase = normalize("NFC", text).encode("utf-8", "surrogateescape")
    try:
        return argon2.derive(passphrase)
    except MemoryError:
        raise StoreError(
            f"not enough memory to try the passphrase: {memory // 1024} MiB are needed",
            hint="free some memory, or use a key file",
        ) from None


def _is_bytes(size: int) -> Callable[[object], bool]:
    return lambda value: type(value) is bytes and len(value) == size


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _is_label(value: object) -> bool:
    # Printable, because a label is shown before anything is proved: no escape sequences to the terminal.
    return type(value) is str and len(value) <= LABEL_LIMIT and value.isprintable()


Shape = Mapping[str, Callable[[object], bool]]

_HEADER: Shape = {
    "id": _is_bytes(ID_SIZE),
    "store": _is_bytes(STORE_ID_SIZE),
    "label": _is_label,
    "created_ns": _is_count,
    "write_only": lambda value: type(value) is bool,
    "kdf": lambda value: type(value) is dict,
}
_KDFS: Mapping[str, Shape] = {
    _ARGON2_NAME: {"name": bool, "salt": _is_bytes(SALT_SIZE), **dict.fromkeys(ARGON2, _is_count)},
    _HKDF_NAME: {"name": bool, "salt": _is_bytes(SALT_SIZE)},
}
_BODY: Shape = {
    "id_key": _is_bytes(KEY_SIZE),
    "reader_public": _is_bytes(READER_PUBLIC_SIZE),
    "reader_private": lambda value: value is None or _is_bytes(READER_PRIVATE_SIZE)(value),
}


def _has_shape(value: object, shape: Shape) -> bool:
    return isinstance(value, dict) and value.keys() == shape.keys() and all(shape[k](v) for k, v in value.items())


def _unpack(packed: bytes) -> Any:
    try:
        return msgpack.unpackb(packed)
    except ValueError:
        raise _malformed("it is no msgpack") from None


def _parse(payload: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    """A payload's header, checked; the same as it is stored; and what is wrapped, still sealed."""
    value = _unpack(payload)
    version = value[0] if isinstance(value, list) and value else None
    if type(version) is int and version > VERSION:
        raise NewerFormat(f"a key of the store has format {version}, and this program knows {VERSION}", hint=_UPDATE)
    if type(version) is not int or version != VERSION or [type(part) for part in value[1:]] != [bytes, bytes]:
        raise _malformed("it is not a version, a header and a wrapped key ring")
    header = _unpack(value[1])
    if not _has_shape(header, _HEADER):
        raise _malformed("its header is not one of this version")
    _check_kdf(header["kdf"])
    return header, value[1], value[2]


def _check_kdf(kdf: Mapping[str, Any]) -> None:
    name = kdf.get("name")
    if type(name) is not str or name not in _KDFS:
        raise NewerFormat("a key of the store is wrapped in a way that this program does not know", hint=_UPDATE)
    if not _has_shape(kdf, _KDFS[name]):
        raise _malformed("the parameters of its kdf are malformed")
    if name == _ARGON2_NAME:
        lanes, memory, iterations = kdf["lanes"], kdf["memory_kib"], kdf["iterations"]
        sane = 1 <= lanes <= MOST_LANES and 8 * lanes <= memory <= MOST_MEMORY_KIB
        if not sane or not 1 <= iterations <= MOST_WORK_KIB // memory:
            raise _malformed(
                f"it asks for Argon2 beyond reason ({memory} KiB of memory, {iterations} iterations, {lanes} lanes)"
            )


def _malformed(what: str) -> Corrupt:
    return Corrupt("a key object", what, hint="use another key of the store; nobody knows what wrote this one")
