"""Which packs are to be read whole now, and remembering in the store that they were.

Rule: the choice is pure: damaged ones first, then those that are due, then by the time of their last reading until the
budget is spent; of one shard alone, where that is asked. What was read is noted every NOTE_SECONDS, and when the work
ends by whatever means; that a note cannot be kept (a store mounted read-only) is only noted.
"""

import re
import time
from collections.abc import Collection, Sequence

from msgspec import Struct

from siltstone.store import EVERYTHING, Notes, PackList, Shard, StoreError

from .errors import ConfigError
from .events import Noted, Report
from .verify_result import NO_DATA, Budget

NOTE_SECONDS = 300.0
_UNITS = {"h": 3600, "d": 86_400, "w": 7 * 86_400}
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([hdw])")
_SHARD = re.compile(r"(\d{1,9})/(\d{1,9})")


def parse_shard(text: str) -> Shard:
    """'2/8': the second of eight parts. Raises ConfigError."""
    match = _SHARD.fullmatch(text.strip())
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ConfigError(f"'{text}' is no shard", hint="write 2/8 for the second of eight parts")
    return Shard(int(match[1]), int(match[2]))


def parse_age(text: str) -> int:
    """'30d', '12h', '2w' in nanoseconds. Raises ConfigError."""
    match = _AGE.fullmatch(text.strip().lower())
    if not match:
        raise ConfigError(f"'{text}' is no age", hint="write 30d, 12h or 2w")
    return round(float(match[1]) * _UNITS[match[2]]) * 10**9


class Marks(Struct, frozen=True):
    """Numbers of packs: read `first` whatever the budget, `never`; and read also what was last read before `due`."""

    first: frozenset[int] | set[int] = frozenset()
    never: frozenset[int] | set[int] = frozenset()
    due: int = 0  # ns since 1970


def choose_packs(sizes: Sequence[int], times: Sequence[int], limit: int, marks: Marks) -> list[int]:
    """The numbers of the packs to read: those marked, then by the time of their last reading, until they are `limit`
    bytes and none is due.

    Pure: the same numbers give the same choice.
    """
    chosen = sorted(marks.first - marks.never)
    taken = 0
    for number in sorted(range(len(sizes)), key=lambda number: (times[number], number)):
        if taken >= limit and times[number] >= marks.due:
            break
        if number not in marks.never and number not in marks.first:
            chosen.append(number)
            taken += sizes[number]
    return chosen


class Reading(Struct, frozen=True):
    """What is to be read of the packs: a budget, what was not read for `max_age_ns`, and of one shard alone."""

    budget: Budget = NO_DATA
    max_age_ns: int | None = None
    shard: Shard = EVERYTHING

    @classmethod
    def parse(cls, budget: str, max_age: str | None, shard: str | None) -> "Reading":
        """From words: see Budget.parse, parse_age, parse_shard. Raises ConfigError."""
        age = None if max_age is None else parse_age(max_age)
        return cls(Budget.parse(budget), age, EVERYTHING if shard is None else parse_shard(shard))

    def choose(self, packs: PackList, notes: Notes, never: Collection[int], now_ns: int) -> list[int]:
        """The numbers of the packs to read; `never` are those that cannot be read."""
        missing = {number for number, size in enumerate(packs.sizes) if size < 0}
        others = {number for number, name in enumerate(packs.names) if not self.shard.holds(name)}
        mine = sum(size for number, size in enumerate(packs.sizes) if size > 0 and number not in others)
        due = 0 if self.max_age_ns is None else now_ns - self.max_age_ns
        marks = Marks(notes.damaged, others | missing | set(never), due)
        return choose_packs(packs.sizes, notes.times, self.budget.limit(mine), marks)


class ReadingPad:
    """What was read and is not noted in the store yet."""

    def __init__(self, notes: Notes, report: Report) -> None:
        self._notes, self._report = notes, report
        self._begin()

    def _begin(self) -> None:
        self._intact: list[int] = []
        self._damaged: list[int] = []
        self._at = time.time_ns()  # when the first of them was read, at the latest
        self._since = time.monotonic()

    def note(self, number: int, *, intact: bool) -> None:
        """A pack was read whole."""
        (self._intact if intact else self._damaged).append(number)
        if time.monotonic() - self._since > NOTE_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Keep what was read in the store."""
        try:
            self._notes.remember(self._at, self._intact, self._damaged)
        except StoreError as error:
            self._report(Noted(f"{error}; this reading is not remembered"))
        self._begin()
