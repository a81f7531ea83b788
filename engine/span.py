"""Spans of time as people write them: 12h, 30d, 2w, 6m, 1y, and joined as in 1y6m.

Rule: a month is 31 days and a year 365, as borg counts them: a span is a fixed length, and needs no calendar. There are
no minutes: `m` is a month, for the users of restic and borg alike.
"""

import re

from .errors import ConfigError

HOUR_NS = 3600 * 10**9
DAY_NS = 24 * HOUR_NS
_UNITS = {"y": 365 * DAY_NS, "m": 31 * DAY_NS, "w": 7 * DAY_NS, "d": DAY_NS, "h": HOUR_NS}
_WORDS = {"w": "week", "d": "day", "h": "hour"}
_PART = re.compile(r"(\d{1,6})([ymwdh])")
_SPAN = re.compile(rf"(?:{_PART.pattern})+")


def parse_span(text: str) -> int:
    """Nanoseconds. Raises ConfigError."""
    words = text.strip().lower()
    if words == "0":
        return 0
    if _SPAN.fullmatch(words) is None:
        raise ConfigError(f"'{text}' is no span of time", hint="write it in h, d, w, m (31 days) and y, as in 30d")
    return sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(words))


def span_text(nanoseconds: int) -> str:
    """A span for people, in the largest unit that gives a whole number: 2 weeks, 30 days, 36 hours."""
    for unit, word in _WORDS.items():
        number, rest = divmod(nanoseconds, _UNITS[unit])
        if not rest and number:
            return f"{number} {word}" + ("s" if number != 1 else "")
    return f"{nanoseconds / HOUR_NS:g} hours"
