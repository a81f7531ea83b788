"""The rules that say which levels are kept, and how long the others can be undeleted.

Rule: plain data. What each rule keeps is in retention.py; where they are written, in deployment_retention.py.
"""

from msgspec import Struct

from .span import DAY_NS

# How long a forgotten level can be undeleted: a mistake of Friday is seen on Monday, and forgetting still makes room.
WINDOW_NS = 7 * DAY_NS


class KeepRules(Struct, frozen=True, kw_only=True):
    """What is kept. 0, and None for `groups`, is a rule that was not given; times are in nanoseconds."""

    groups: int | None = None
    last: int = 0
    hourly: int = 0
    daily: int = 0
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0
    within_ns: int = 0
    minimum_age_ns: int = 0

    def __bool__(self) -> bool:
        """Whether anything may go. A minimum age alone removes nothing."""
        return any(getattr(self, name) for name in self.__struct_fields__ if name != "minimum_age_ns")


class Retention(Struct, frozen=True):
    """What a deployment keeps, and how long what it does not keep can be undeleted (nanoseconds; None: not said)."""

    rules: KeepRules
    window_ns: int | None = None

    @property
    def window(self) -> int:
        """How long what goes can be undeleted, in nanoseconds."""
        return WINDOW_NS if self.window_ns is None else self.window_ns
