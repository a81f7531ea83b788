"""Secrets that open a key object: a passphrase, or the 32 random bytes of a key file; and the key that each makes.

    argon2id {name: "argon2id", salt: bin 16, iterations: int, memory_kib: int}    of a passphrase; of one lane
    hkdf     {name: "hkdf-sha256", salt: bin 16}                                   of a key file

A key file is one line of text: `silt-key-1:` and 32 random bytes in base64.

Rule: what a key object asks of memory and time is bounded before it is believed. Nothing here knows what is wrapped.
"""

from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping
from os import urandom
from typing import Any, ClassVar, Literal

from msgspec import Struct

from .errors import Corrupt, NewerFormat, NoKey, StoreError, WrongKey
from .keyring import KEY_SIZE

SALT_SIZE = 16
KEY_FILE_PREFIX = "silt-key-1:"

# The passes and the memory of RFC 9106's second recommended choice, in one lane: the work of a guess is the same, a
# guesser can spread it over fewer cores, and ours leaves a core to what loads meanwhile. 64 MiB stays far below the 300
# MiB that a backup may use. 0.1 s of a core.
ARGON2 = {"iterations": 3, "memory_kib": 64 * 1024}
LEAST_MEMORY_KIB = 8

# What a store may ask of us: room for 16 times our memory and 20 times our work (memory times iterations; 2 s of a
# core). With more a hostile store could exhaust the host before the passphrase has proved anything.
MOST_MEMORY_KIB, MOST_WORK_KIB = 1 << 20, 4 << 20

UPDATE = "update this program"
Kind = Literal["passphrase", "key file"]
Shape = Mapping[str, Callable[[object], bool]]
_ARGON2_NAME, _HKDF_NAME = "argon2id", "hkdf-sha256"


class Passphrase(Struct, frozen=True):
    """A secret that a person remembers. NoKey if it is empty."""

    kind: ClassVar[Kind] = "passphrase"
    text: str

    def __post_init__(self) -> None:
        if not self.text:
            raise NoKey("the passphrase is empty", hint="give a passphrase or a key file")

    def __repr__(self) -> str:
        return "Passphrase()"


class KeyFile(Struct, frozen=True):
    """The 32 random bytes of a key file."""

    kind: ClassVar[Kind] = "key file"
    data: bytes

    def __post_init__(self) -> None:
        if len(self.data) != KEY_SIZE:
            raise ValueError("a key file holds 32 bytes")

    def __repr__(self) -> str:
        return "KeyFile()"


Secret = Passphrase | KeyFile


def make_key_file() -> str:
    """The text of a new key file: one line, with its newline."""
    return key_file_text(KeyFile(urandom(KEY_SIZE)))


def key_file_text(secret: KeyFile) -> str:
    """The text of a key file, with its newline."""
    return KEY_FILE_PREFIX + b2a_base64(secret.data).decode()


def parse_key_file(text: str) -> KeyFile:
    """The secret in a key file's text; white space around the line is ignored. WrongKey, NewerFormat."""
    line = text.strip()
    try:
        data = a2b_base64(line.removeprefix(KEY_FILE_PREFIX))
    except ValueError:
        data = b""
    # a2b_base64 skips what is not base64, so compare
    if len(data) == KEY_SIZE and key_file_text(KeyFile(data)).strip() == line:
        return KeyFile(data)
    if line.startswith("silt-key-") and line.partition(":")[0] != KEY_FILE_PREFIX[:-1]:
        raise NewerFormat("the key file was made by a newer Siltstone", hint=UPDATE)
    hint = f"a key file is one line, {KEY_FILE_PREFIX}<base64>; 'silt key new FILE' makes one"
    raise WrongKey("this is not a whole key file", hint=hint)


def new_kdf(secret: Secret) -> dict[str, Any]:
    """How a key will be made of this secret: its parameters, with a new salt."""
    salt = urandom(SALT_SIZE)
    if isinstance(secret, KeyFile):
        return {"name": _HKDF_NAME, "salt": salt}
    return {"name": _ARGON2_NAME, "salt": salt, **ARGON2}


def kind_of(kdf: Mapping[str, Any]) -> Kind:
    """Which kind of secret these parameters are for."""
    return Passphrase.kind if kdf["name"] == _ARGON2_NAME else KeyFile.kind


def check_kdf(kdf: Mapping[str, Any]) -> None:
    """Refuse parameters that we do not know, or that ask too much. NewerFormat, Corrupt."""
    name = kdf.get("name")
    if type(name) is not str or name not in _KDFS:
        raise NewerFormat("a key of the store is wrapped in a way that this program does not know", hint=UPDATE)
    if not has_shape(kdf, _KDFS[name]):
        raise malformed("the parameters of its kdf are malformed")
    if name == _ARGON2_NAME:
        memory, iterations = kdf["memory_kib"], kdf["iterations"]
        if not LEAST_MEMORY_KIB <= memory <= MOST_MEMORY_KIB or not 1 <= iterations <= MOST_WORK_KIB // memory:
            raise malformed(f"it asks for Argon2 beyond reason ({memory} KiB of memory, {iterations} iterations)")


def wrapping_key(kdf: Mapping[str, Any], secret: Secret) -> bytes:
    """The key (32 bytes) that a secret makes under checked parameters, which are of its kind."""
    if isinstance(secret, Passphrase):
        return _argon2(kdf, secret.text)
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    # No slowing down here: a key file is random, and nobody guesses 32 bytes.
    hkdf = HKDF(algorithm=SHA256(), length=KEY_SIZE, salt=kdf["salt"], info=b"siltstone key file 1")
    return hkdf.derive(secret.data)


def _argon2(kdf: Mapping[str, Any], text: str) -> bytes:
    """Argon2id, so that each guess at a passphrase costs the memory and time of the parameters."""
    from unicodedata import normalize

    from nacl.bindings import crypto_pwhash_alg, crypto_pwhash_ALG_ARGON2ID13

    # NFC, because keyboards differ in how they compose accents; surrogateescape, because the bytes of an environment
    # variable need not be UTF-8.
    passphrase = normalize("NFC", text).encode("utf-8", "surrogateescape")
    try:
        key: bytes = crypto_pwhash_alg(
            KEY_SIZE, passphrase, kdf["salt"], kdf["iterations"], kdf["memory_kib"] << 10, crypto_pwhash_ALG_ARGON2ID13
        )
    except RuntimeError:  # parameters that were checked leave it no other reason
        raise StoreError(
            f"not enough memory to try the passphrase: {kdf['memory_kib'] // 1024} MiB are needed",
            hint="free some memory, or use a key file",
        ) from None
    return key


def is_bytes(size: int) -> Callable[[object], bool]:
    """A test for bytes of that length."""
    return lambda value: type(value) is bytes and len(value) == size


def is_count(value: object) -> bool:
    """Whether it is a number from 0 to 2**63 - 1."""
    return type(value) is int and 0 <= value < 1 << 63


def has_shape(value: object, shape: Shape) -> bool:
    """Whether it is a map of exactly these fields, each as its test wants it."""
    return isinstance(value, dict) and value.keys() == shape.keys() and all(shape[k](v) for k, v in value.items())


def malformed(what: str) -> Corrupt:
    """The error about a key object that nothing of ours can have written."""
    return Corrupt("a key object", what, hint="use another key of the store; nobody knows what wrote this one")


_KDFS: Mapping[str, Shape] = {
    _ARGON2_NAME: {"name": bool, "salt": is_bytes(SALT_SIZE), **dict.fromkeys(ARGON2, is_count)},
    _HKDF_NAME: {"name": bool, "salt": is_bytes(SALT_SIZE)},
}
