"""What is wrong with a store, and what can be done about it: one small value, made by each step of a repair.

Rule: making a remedy looks and changes nothing; `apply` changes, and deletes nothing that it has not replaced. What
cannot be mended is a remedy too, with advice in the place of an action, so that nothing wrong goes unsaid.
"""

from collections.abc import Callable
from typing import Any

from msgspec import Struct


class Remedy(Struct, frozen=True):
    """`object` is an object, or a folder of them ending in '/'. `wrong`, `action` and `advice` are a clause each."""

    object: str
    wrong: str
    action: str = ""  # what `apply` does; empty where nothing can be done here
    advice: str = ""  # what else helps
    apply: Callable[[], Any] | None = None
