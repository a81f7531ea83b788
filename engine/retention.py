"""Which levels of a deployment stay, and why.

    groups           every level of the so many newest groups
    last             the so many newest levels
    hourly ... yearly   the newest level of each of the so many newest hours (days, weeks, ...) that have one; where
                     there are fewer than asked for, the oldest level stands for what is still to come
    within           whatever is no older than that, counted back from the newest level
    minimum age      whatever is younger than that, counted back from now: it is never removed

Rule: a level stays when anything of this keeps it; each rule counts by itself, as restic's do. Pinned levels stay, and
so does the newest good level, whatever the rules say. A level whose root is damaged counts for no rule and is never
removed by one: nobody knows its time, and whoever wants it gone names it. Where there are no rules all stays.

Values in, values out: no clock and no disk. Levels are ordered by their numbers for what is newest, since commits give
these; by their times within calendars. What is not promised: that a clock which was wrong at a backup keeps the level
that its user would have chosen.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, tzinfo

from msgspec import Struct

from .keep_rules import KeepRules
from .levels import LevelRef
from .span import span_text


class Candidate(Struct, frozen=True):
    """What the rules see of a level. `time_ns`: when its backup began, since 1970. `good`: its root can be read."""

    ref: LevelRef
    time_ns: int
    good: bool = True
    pinned: bool = False


class Decision(Struct, frozen=True):
    """What becomes of a level, with at least one reason."""

    ref: LevelRef
    stays: bool
    reasons: tuple[str, ...]


_NEWEST = "the newest level"

# The text of a moment is the same within a period, and differs between two.
_CALENDAR = {"hourly": "%Y-%m-%d %H h", "daily": "%Y-%m-%d", "weekly": "%G-W%V", "monthly": "%Y-%m", "yearly": "%Y"}


def decide(levels: Sequence[Candidate], rules: KeepRules, *, now_ns: int, zone: tzinfo | None = None) -> list[Decision]:
    """What becomes of each of one deployment's levels, by number. `zone` is where its days begin; None: this host's."""
    good = sorted((each for each in levels if each.good), key=lambda each: each.ref)
    reasons: dict[LevelRef, list[str]] = {each.ref: [] for each in sorted(levels, key=lambda each: each.ref)}
    for ref, reason in _kept(good, rules, now_ns, zone) if rules else ():
        if reason not in reasons[ref]:
            reasons[ref].append(reason)
    for each in levels:
        if not each.good:
            reasons[each.ref].append("damaged: no rule removes it")
        if each.pinned:
            reasons[each.ref].append("pinned")
        if not rules:
            reasons[each.ref].append("no rule was given")
    only_groups = rules == KeepRules(groups=rules.groups, minimum_age_ns=rules.minimum_age_ns)
    gone = f"beyond the {_newest(rules.groups or 0, 'group')}" if only_groups else "no rule keeps it"
    return [Decision(ref, bool(why), tuple(why) or (gone,)) for ref, why in reasons.items()]


def _kept(good: list[Candidate], rules: KeepRules, now_ns: int, zone: tzinfo | None) -> Iterator[tuple[LevelRef, str]]:
    """Whatever keeps a level; `good` ascends."""
    if not good:
        return
    newest = good[-1]
    yield newest.ref, _NEWEST
    if rules.groups:
        groups = set(sorted({each.ref.group for each in good})[-rules.groups :])
        yield from ((e.ref, f"in the {_newest(rules.groups, 'group')}") for e in good if e.ref.group in groups)
    if rules.last:
        reason = f"one of the {_newest(rules.last, 'level')}" if rules.last > 1 else _NEWEST
        yield from ((each.ref, reason) for each in good[-rules.last :])
    for name, form in _CALENDAR.items():
        yield from _of_calendar(good, name, form, getattr(rules, name), zone)
    if rules.within_ns:
        reason = f"within {span_text(rules.within_ns)} of the newest"
        yield from ((each.ref, reason) for each in good if each.time_ns >= newest.time_ns - rules.within_ns)
    if rules.minimum_age_ns:
        reason = f"younger than {span_text(rules.minimum_age_ns)}"
        yield from ((each.ref, reason) for each in good if each.time_ns > now_ns - rules.minimum_age_ns)


def _of_calendar(
    good: list[Candidate], name: str, form: str, count: int, zone: tzinfo | None
) -> Iterator[tuple[LevelRef, str]]:
    before = ""
    descending = sorted(good, key=lambda each: (each.time_ns, each.ref), reverse=True)
    for each in descending:
        if not count:
            return
        period = datetime.fromtimestamp(each.time_ns // 10**9, UTC).astimezone(zone).strftime(form)
        if period != before:
            yield each.ref, f"{name} {period}"
        elif each is descending[-1]:
            yield each.ref, f"{name}, the oldest"
        else:
            continue
        count, before = count - 1, period


def _newest(count: int, noun: str) -> str:
    return f"{count} newest {noun}s" if count != 1 else f"newest {noun}"
