"""A part of all packs, by their names: how several hosts share a work without talking to each other.

Rule: each name is in exactly one of the parts, whoever asks and whenever, and parts are about alike in size. What a
part is used for, and what has to be done by one alone, is the business of whoever splits.
"""

from blake3 import blake3
from msgspec import Struct


class Shard(Struct, frozen=True):
    """Part `number` (from 1) of `of` parts of all names."""

    number: int = 1
    of: int = 1

    def holds(self, name: str) -> bool:
        """Whether an object of this name (its last part) is in the shard."""
        return self.of == 1 or int.from_bytes(blake3(name.encode()).digest(8), "little") % self.of == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


EVERYTHING = Shard()
