"""Times of a schedule: `Sun 02:00`, `Mon..Sat 02:00`, `Mon,Thu 22:30`, `03:15` (every day), `hourly`.

    times := [days] HH:MM | "hourly"
    days  := day [".." day] {"," day [".." day]}        Mon ... Sun

They are what systemd's OnCalendar and cron both can say. Rule: pure; times are those of the clock on the wall, in the
time zone of whoever asks, as of the timers that run them.
"""

import re
from datetime import datetime, timedelta

from msgspec import Struct

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
EVERY_DAY = frozenset(range(7))
_TIMES = re.compile(r"(?:(?P<days>[A-Za-z.,]+)\s+)?(?P<hour>\d{1,2}):(?P<minute>\d{2})")


class Times(Struct, frozen=True):
    """Days (0 is Monday), hour (None: every hour) and minute."""

    days: frozenset[int]
    hour: int | None
    minute: int

    @property
    def on_calendar(self) -> str:
        """As systemd.time(7) writes it."""
        days = "" if self.days == EVERY_DAY else ",".join(DAYS[day] for day in sorted(self.days)) + " "
        hour = "*" if self.hour is None else f"{self.hour:02}"
        return f"{days}*-*-* {hour}:{self.minute:02}:00"

    @property
    def cron(self) -> str:
        """The five fields of crontab(5)."""
        days = "*" if self.days == EVERY_DAY else ",".join(str((day + 1) % 7) for day in sorted(self.days))
        return f"{self.minute} {'*' if self.hour is None else self.hour} * * {days}"

    def last(self, now: datetime) -> datetime:
        """The latest of these times that is not after `now`."""
        step = timedelta(hours=1) if self.hour is None else timedelta(days=1)
        hour = now.hour if self.hour is None else self.hour
        found = now.replace(hour=hour, minute=self.minute, second=0, microsecond=0)
        while found > now or found.weekday() not in self.days:
            found -= step
        return found


def parse_times(text: str) -> Times:
    """Raises ValueError, with what is wrong."""
    words = text.strip()
    if words == "hourly":
        return Times(EVERY_DAY, None, 0)
    found = _TIMES.fullmatch(words)
    if found is None:
        raise ValueError(f"'{text}' is no time as in 'Sun 02:00', 'Mon..Sat 02:00', '03:15' or 'hourly'")
    hour, minute = int(found["hour"]), int(found["minute"])
    if hour > 23 or minute > 59:
        raise ValueError(f"'{text}': there is no such time of the day")
    return Times(_days(found["days"], text), hour, minute)


def _days(text: str | None, whole: str) -> frozenset[int]:
    if text is None or text.lower() == "daily":
        return EVERY_DAY
    days: set[int] = set()
    for part in text.split(","):
        first, dots, last = part.partition("..")
        start, stop = (_day(name, whole) for name in (first, last if dots else first))
        days.update((start + number) % 7 for number in range((stop - start) % 7 + 1))
    return frozenset(days)


def _day(name: str, whole: str) -> int:
    try:
        return DAYS.index(name.capitalize())
    except ValueError:
        raise ValueError(f"'{whole}': '{name}' is no day; they are {', '.join(DAYS)}") from None
