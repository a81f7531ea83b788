"""Differences of a cell's pages: what makes the cell as it is now out of the chunk that holds it as it was.

    difference  := check (8) | page ...                     check: the first bytes of BLAKE3 of the cell that it makes
    page        := its number in the cell (1) | instruction ...           until 8192 bytes are made
    instruction := literals (number) | bytes | if bytes are still missing: copied (number) | moved (number)
    number      := 7 bits a byte, the lowest first; the eighth says that another byte follows

`copied` bytes come from the old page, from as far behind the place at hand as `moved` says: 2n for n bytes behind it,
2n-1 for n bytes before it. These are the instructions of LZ77 (Ziv, Lempel, 1977) with the old page for a dictionary,
as in VCDIFF (RFC 3284).

Rule: what is made is applied at once and compared, and what is applied is compared with its check, so that nothing but
the cell that was read ever comes out. Where the C module was not built nothing is made, and pages are stored whole;
applied it is everywhere.
"""

from collections.abc import Sequence

from blake3 import blake3

from .grid import CELL
from .page_digest import Bytes

try:
    from ._differences import apply as _apply
    from ._differences import make as _make
except ImportError:
    from .differences_plain import apply as _apply
    from .differences_plain import make as _make

CHECK = 8

# Each level that changes a cell has the difference from the chunk anew, so it is to stay small beside what the cell
# takes compressed, a third of its size.
LONGEST = CELL // 8


def make_difference(old: Bytes, new: Bytes, pages: Sequence[int]) -> bytes | None:
    """What makes the `new` cell of the `old` one, which has as many pages; `pages`: the numbers of those that differ.
    None where it would be longer than LONGEST.
    """
    room = bytearray(LONGEST)
    length = _make(old, new, bytes(pages), memoryview(room)[CHECK:])
    if length < 0:
        return None
    room[:CHECK] = _check(new)
    cell = bytearray(old)
    _apply(cell, room[CHECK : CHECK + length])
    return bytes(room[: CHECK + length]) if cell == new else None


def apply_difference(cell: bytearray | memoryview, difference: Bytes) -> None:
    """Make the new cell of the old one, in place. Raises ValueError where the difference is none of this cell."""
    _apply(cell, memoryview(difference)[CHECK:])
    if _check(cell) != bytes(difference[:CHECK]):
        raise ValueError("a cell does not become what it was")


def _check(cell: Bytes) -> bytes:
    return blake3(cell).digest(CHECK)
