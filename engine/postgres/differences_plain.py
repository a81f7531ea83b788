"""Applying differences of pages in Python: the twin of `_differences.c`, used where that was not built.

Rule: what the one applies the other does, to the same bytes. None are made here: it would take longer than storing the
pages.
"""

from .grid import PAGE
from .page_digest import Bytes


def make(_old: Bytes, _new: Bytes, _pages: bytes, _room: memoryview, /) -> int:
    """No room is enough."""
    return -1


def apply(cell: bytearray | memoryview, instructions: Bytes, /) -> None:
    """Make the new pages of the old ones, in place. Raises ValueError, also after some."""
    numbers = _Numbers(instructions)
    while numbers.at < len(instructions):
        start = instructions[numbers.at] * PAGE
        if start >= len(cell):
            raise ValueError("a difference is of another cell")
        numbers.at += 1
        old, new = bytes(cell[start : start + PAGE]), bytearray()
        while len(new) < PAGE:
            length = numbers.take()
            new += numbers.bytes(length)
            if len(new) < PAGE:
                length, moved = numbers.take(), numbers.take()
                source = len(new) + (-(moved // 2) - 1 if moved & 1 else moved // 2)
                if source < 0 or not 0 < length <= len(old) - source:
                    raise ValueError("a difference copies from outside its page")
                new += old[source : source + length]
        if len(new) > PAGE:
            raise ValueError("a difference makes more than a page")
        cell[start : start + PAGE] = new


class _Numbers:
    """Instructions, from the place `at` on."""

    def __init__(self, data: Bytes) -> None:
        self._data, self.at = data, 0

    def take(self) -> int:
        """The next number."""
        value = shift = 0
        for byte in self._data[self.at : self.at + 3]:  # none is above 2 * PAGE
            self.at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
        raise ValueError("a difference is cut off")

    def bytes(self, length: int) -> Bytes:
        """So many bytes."""
        found = self._data[self.at : self.at + length]
        if len(found) < length:
            raise ValueError("a difference is cut off")
        self.at += length
        return found
