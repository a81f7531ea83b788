"""A key object kept apart from its store, as text: to open it without what lies in `keys/`, to repair it, to print.

    text := # remarks, a line each
            silt-key-1:<base64>                  where no passphrase is wanted: the key file that opens what follows
            silt-ring-1:
            <base64 of the key object, 64 characters a line>

Rule: such a copy is all that is needed to read the packs of its store, whatever else is lost: config and key ring are
in it. Without a key line it is worth no more than its passphrase; with one, whoever has the text has the keys.
It does not follow the store: what is changed there later (a rotation) is not in it.
"""

from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable

from msgspec import Struct

from .envelope import ObjectKind, disclose, enclose
from .errors import Corrupt, NewerFormat, WrongKey
from .keys import describe
from .secrets import KEY_FILE_PREFIX, UPDATE, KeyFile, Secret, key_file_text, parse_key_file

RING_PREFIX = "silt-ring-1:"
_WIDTH = 48  # bytes a line: 64 characters


class KeyCopy(Struct, frozen=True):
    """The payload of a key object, and the secret that opens it."""

    payload: bytes
    secret: Secret


Opener = Secret | KeyCopy


def key_copy_text(copy: KeyCopy, remarks: Iterable[str]) -> str:
    """The text of a copy; a passphrase is left out, and must be given with it."""
    data = enclose(ObjectKind.KEY, copy.payload)
    lines = [f"# {remark}" for remark in remarks]
    if isinstance(copy.secret, KeyFile):
        lines.append(key_file_text(copy.secret).strip())
    lines.append(RING_PREFIX)
    lines += [b2a_base64(data[at : at + _WIDTH], newline=False).decode() for at in range(0, len(data), _WIDTH)]
    return "\n".join(lines) + "\n"


def parse_key_copy(text: str) -> tuple[bytes, KeyFile | None] | None:
    """(payload, key file) of a copy, the key file None where a passphrase opens it. None: the text is no such copy.

    Raises WrongKey where it is one and not whole, NewerFormat.
    """
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    secret = None
    if lines and lines[0].startswith(KEY_FILE_PREFIX) and len(lines) > 1:
        secret = parse_key_file(lines.pop(0))
    if not lines or not lines[0].startswith("silt-ring-"):
        return None
    if lines[0] != RING_PREFIX:
        raise NewerFormat("the copy of a key was made by a newer Siltstone", hint=UPDATE)
    try:
        payload = disclose(ObjectKind.KEY, "the copy of a key", _decoded("".join(lines[1:])))
        wanted = describe(payload).kind
    except (ValueError, Corrupt):
        raise WrongKey(
            "this copy of a key is not whole: letters of it are missing or changed",
            hint="use another copy, or compare it with the printed one",
        ) from None
    if (wanted == KeyFile.kind) != (secret is not None):
        lacks = "lacks the line that opens it" if secret is None else "has a key line that does not belong to it"
        raise WrongKey(
            f"this copy of a key {lacks}",
            hint=f"the line {KEY_FILE_PREFIX}... stands before {RING_PREFIX}",
        )
    return payload, secret


def _decoded(letters: str) -> bytes:
    """The bytes behind the letters. Raises ValueError, also where only unused bits of the last letter are changed."""
    data = a2b_base64(letters, strict_mode=True)
    if b2a_base64(data, newline=False) != letters.encode():
        raise ValueError("not the letters of these bytes")
    return data
