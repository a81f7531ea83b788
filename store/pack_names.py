"""Sorted names of packs, 32 bytes each: what holds every pack of a store holds it as this, and not as texts.

Rule: each name is there once, in ascending order, and the sequence never changes. A name is looked up by bisection, and
made into text when somebody asks for it: a text of 64 digits takes 113 bytes, and a set of such another 50, which at
100 million chunks (400,000 packs) was more than all marks together. It promises nothing about the packs themselves.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

from .ids import PACK_NAME_SIZE, PackName

RAW_SIZE = PACK_NAME_SIZE // 2


class PackNames(Sequence[PackName]):
    """Names by number; a Sequence and, by `in`, a set."""

    def __init__(self, raw: bytes = b"") -> None:
        """`raw`: ascending, each once. See `of` and `joined`."""
        self._raw = raw

    @classmethod
    def of(cls, names: Iterable[PackName]) -> "PackNames":
        """From names in any order, any of them often; those that come sorted need no more memory than what is made."""
        raw, last = bytearray(), ""
        names = iter(names)
        for name in names:
            if name <= last:
                return cls.joined([bytes(raw), b"".join(map(bytes.fromhex, (name, *names)))])
            raw += bytes.fromhex(name)
            last = name
        return cls(bytes(raw))

    @classmethod
    def joined(cls, tables: Iterable[bytes]) -> "PackNames":
        """From tables of names, 32 bytes each, in any order."""
        raw = b"".join(tables)
        return cls(b"".join(sorted({raw[at : at + RAW_SIZE] for at in range(0, len(raw), RAW_SIZE)})))

    def __len__(self) -> int:
        return len(self._raw) // RAW_SIZE

    @overload
    def __getitem__(self, number: int) -> PackName: ...
    @overload
    def __getitem__(self, number: slice) -> "PackNames": ...
    def __getitem__(self, number: int | slice) -> "PackName | PackNames":
        if isinstance(number, slice):
            return PackNames.of(self[at] for at in range(*number.indices(len(self))))
        return PackName(self._at(range(len(self))[number]).hex())

    def __iter__(self) -> Iterator[PackName]:
        return (PackName(self._at(number).hex()) for number in range(len(self)))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.number(PackName(name)) is not None

    def number(self, name: PackName) -> int | None:
        """The number of a name, or None when it is not there."""
        raw = bytes.fromhex(name)
        at = bisect_left(range(len(self)), raw, key=self._at)
        return at if at < len(self) and self._at(at) == raw else None

    def _at(self, number: int) -> bytes:
        return self._raw[number * RAW_SIZE : number * RAW_SIZE + RAW_SIZE]
