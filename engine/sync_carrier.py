"""What brings roots, and what they need, from one store into another: a role, with one way for twins and one for other
stores.

Rule: what a root needs is in the target, durable and indexed, before the root is created there.
"""

from collections.abc import Callable
from typing import Protocol

from siltstone.store import Writer

Commit = Callable[[Writer], None]


class Carrier(Protocol):
    """Brings what a root needs into the target."""

    packs: int
    bytes: int

    def is_same(self, name: str) -> bool:
        """Whether the target's root of that name is of the same level or file. Raises what reading either raises."""
        ...

    def bring(self, name: str) -> Commit:
        """Store what the root needs; what then creates it. Raises Corrupt, ObjectMissing."""
        ...
