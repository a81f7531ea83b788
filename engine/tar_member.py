"""One member of a tar archive, as values: what it is, and where its bytes lie in the file.

Rule: whoever reads headers (tar_plain.py, tar_members.py) makes the same Member of the same member. Nothing is read
here.
"""

from decimal import Decimal, InvalidOperation
from typing import NamedTuple

from msgspec import Struct, field

_SECOND = 10**9


class Stretch(NamedTuple):
    """Content: `size` bytes that lie at `at` in the archive and begin at `start` of the file that is a member."""

    start: int
    at: int
    size: int


class Member(Struct):
    """One member. `begin` to `end` are its bytes in the archive; `content` is None for what has none of its own.

    `path` is empty for what is no entry (a volume's name); `unknown` is then the type, where we know none such.
    """

    begin: int
    end: int
    path: bytes = b""
    mode: int = 0
    head: bytes = b""
    size: int = 0
    target: bytes = b""
    hard_link: bytes = b""  # the path of the member of which this is another name
    content: tuple[Stretch, ...] = ()
    owner: tuple[int, str, int, str] = (0, "", 0, "")
    listing: bytes | None = None  # of a folder in an incremental archive
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    lost: str = ""  # what of its metadata we cannot keep in a row
    unknown: str = ""


def rooted(name: bytes) -> bytes:
    """A member's path, whatever stands before it. '..' stays: whoever makes entries of it refuses that."""
    name = name.strip(b"/")
    if b"//" in name or b"./" in name or name in (b"", b".") or name[-2:] == b"/.":
        return b"/" + b"/".join([part for part in name.split(b"/") if part not in (b"", b".")])
    return b"/" + name


def nanoseconds(text: bytes, seconds: float) -> int:
    """Of a record's text, or of whole seconds where it is none."""
    whole, _, fraction = text.partition(b".")
    if whole.isdigit() and fraction.isdigit() and len(fraction) < 10:
        return int(whole) * _SECOND + int(fraction.ljust(9, b"0"))
    try:
        return int(Decimal(text.decode("ascii", "replace")) * _SECOND) if text else int(seconds) * _SECOND
    except (InvalidOperation, ValueError):
        return int(seconds) * _SECOND
