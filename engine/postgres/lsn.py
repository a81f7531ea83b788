"""Log sequence numbers: a place in the WAL, which is 64 bits counted in bytes, as an int and as PostgreSQL writes it.

Rule: inside Siltstone an LSN is an int; the text `16/B374D848` (two hexadecimal halves of 32 bits, no zeros in front)
exists at the border only. Nothing here knows segments, timelines or the names of WAL files.
"""

import re

from .errors import Malformed

_TEXT = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")


def parse_lsn(text: str) -> int:
    """'16/B374D848' -> 0x16B374D848. Raises Malformed."""
    match = _TEXT.fullmatch(text)
    if match is None:
        raise Malformed(repr(text[:40]), "is no LSN", hint="an LSN is written like 16/B374D848")
    return int(match[1], 16) << 32 | int(match[2], 16)


def format_lsn(lsn: int) -> str:
    """0x16B374D848 -> '16/B374D848'."""
    assert 0 <= lsn < 1 << 64, lsn
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"
