"""The rules of retention as values: what restic's users expect, what never happens, and a reason is always said."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siltstone.engine.keep_rules import KeepRules
from siltstone.engine.levels import LevelRef
from siltstone.engine.retention import Candidate, Decision, decide
from siltstone.engine.span import DAY_NS, HOUR_NS

START = datetime(2026, 1, 1, 1, 0, tzinfo=UTC)
NOW = 2_000_000_000 * 10**9

COUNTS = st.integers(0, 5)
RULES = st.builds(
    KeepRules,
    groups=st.none() | st.integers(1, 4),
    last=COUNTS,
    hourly=COUNTS,
    daily=COUNTS,
    weekly=COUNTS,
    monthly=COUNTS,
    yearly=COUNTS,
    within_ns=st.sampled_from((0, HOUR_NS, 30 * DAY_NS)),
    minimum_age_ns=st.sampled_from((0, DAY_NS, 400 * DAY_NS)),
)
LEVELS = st.dictionaries(
    st.builds(LevelRef, st.just("a"), st.integers(0, 5), st.integers(0, 6)),
    st.tuples(st.integers(NOW - 800 * DAY_NS, NOW + DAY_NS), st.booleans(), st.booleans()),
    max_size=25,
).map(lambda found: [Candidate(ref, *rest) for ref, rest in found.items()])


def at(hours: float, group: int = 0, level: int = 0, **other: bool) -> Candidate:
    moment = START + timedelta(hours=hours)
    return Candidate(LevelRef("a", group, level), int(moment.timestamp()) * 10**9, **other)


def daily(days: int, *, weeks: bool = False) -> list[Candidate]:
    """A level a day at 1 o'clock; with `weeks` a group each week."""
    return [at(24 * day, *(divmod(day, 7) if weeks else (0, day))) for day in range(days)]


def stay(levels: Sequence[Candidate], rules: KeepRules, now_ns: int = NOW) -> list[str]:
    return [str(each.ref) for each in decide(levels, rules, now_ns=now_ns, zone=UTC) if each.stays]


def why(levels: Sequence[Candidate], rules: KeepRules) -> dict[str, tuple[str, ...]]:
    return {str(each.ref): each.reasons for each in decide(levels, rules, now_ns=NOW, zone=UTC)}


def test_the_group_limit() -> None:
    levels = daily(28, weeks=True)
    assert stay(levels, KeepRules(groups=3)) == [str(each.ref) for each in levels[7:]]
    reasons = why(levels, KeepRules(groups=3))
    assert reasons["0/6"] == ("beyond the 3 newest groups",)
    assert reasons["1/0"] == ("in the 3 newest groups",)


def test_groups_without_a_good_level_do_not_count() -> None:
    levels = [at(0, 0), at(1, 1), at(2, 2, good=False)]
    assert stay(levels, KeepRules(groups=1)) == ["1/0", "2/0"]
    assert why(levels, KeepRules(groups=1))["2/0"] == ("damaged: no rule removes it",)


def test_the_newest_of_each_period() -> None:
    levels = [at(hour, 0, number) for number, hour in enumerate((0, 0.5, 5, 24, 30, 31, 55))]
    assert stay(levels, KeepRules(daily=2)) == ["0/5", "0/6"]
    assert stay(levels, KeepRules(hourly=3)) == ["0/4", "0/5", "0/6"]
    assert stay(levels, KeepRules(last=2)) == ["0/5", "0/6"]
    assert why(levels, KeepRules(daily=2))["0/5"] == ("daily 2026-01-02",)


def test_weeks_months_and_years() -> None:
    levels = daily(400)
    assert stay(levels, KeepRules(weekly=2)) == ["0/395", "0/399"]  # Sunday 2027-01-31, Thursday 2027-02-04
    assert stay(levels, KeepRules(monthly=3)) == ["0/364", "0/395", "0/399"]
    assert stay(levels, KeepRules(yearly=1)) == ["0/399"]


def test_where_periods_are_missing_the_oldest_stands_for_them() -> None:
    """So that the first level of all lives until a year of monthly ones is there, as with restic and borg."""
    levels = daily(40)
    assert stay(levels, KeepRules(monthly=12)) == ["0/0", "0/30", "0/39"]
    assert why(levels, KeepRules(monthly=12))["0/0"] == ("monthly, the oldest",)


def test_each_rule_counts_by_itself() -> None:
    levels = daily(20)
    assert stay(levels, KeepRules(last=3, daily=5)) == [f"0/{day}" for day in range(15, 20)]


def test_within_counts_from_the_newest_level_and_not_from_now() -> None:
    levels = daily(10)
    assert stay(levels, KeepRules(within_ns=2 * DAY_NS)) == ["0/7", "0/8", "0/9"]


def test_what_is_too_young_to_go() -> None:
    levels = daily(10)
    now = levels[-1].time_ns + DAY_NS
    assert stay(levels, KeepRules(last=1, minimum_age_ns=4 * DAY_NS), now) == ["0/7", "0/8", "0/9"]
    assert stay(levels, KeepRules(minimum_age_ns=4 * DAY_NS), now) == [str(each.ref) for each in levels]


def test_a_damaged_newest_level_is_not_the_one_that_is_kept() -> None:
    levels = [at(0, 0, 0), at(1, 0, 1), at(2, 0, 2, good=False)]
    assert stay(levels, KeepRules(last=1)) == ["0/1", "0/2"]


def test_days_begin_where_the_host_is() -> None:
    """Half past eleven at night and half past twelve are two days, though one in UTC."""
    from zoneinfo import ZoneInfo

    levels = [at(21.5, 0, 0), at(22.5, 0, 1)]  # 22:30 and 23:30 UTC, 23:30 and 0:30 in Berlin
    berlin = decide(levels, KeepRules(daily=2), now_ns=NOW, zone=ZoneInfo("Europe/Berlin"))
    assert [each.reasons[-1] for each in berlin] == ["daily 2026-01-01", "daily 2026-01-02"]
    assert [each.stays for each in decide(levels, KeepRules(daily=1), now_ns=NOW, zone=UTC)] == [False, True]


@given(LEVELS, RULES)
def test_what_never_happens(levels: list[Candidate], rules: KeepRules) -> None:
    decided = decide(levels, rules, now_ns=NOW, zone=UTC)
    kept = {each.ref for each in decided if each.stays}
    assert [each.ref for each in decided] == sorted(each.ref for each in levels)
    assert all(each.reasons for each in decided)
    good = [each for each in levels if each.good]
    assert {each.ref for each in levels if each.pinned or not each.good} <= kept
    assert not good or max(each.ref for each in good) in kept
    if not rules:
        assert len(kept) == len(levels)


@given(LEVELS, RULES)
def test_forgetting_twice_forgets_no_more(levels: list[Candidate], rules: KeepRules) -> None:
    """What stays once stays for good, while no backup comes: rules may be run as often as one likes."""
    kept = {each.ref for each in decide(levels, rules, now_ns=NOW, zone=UTC) if each.stays}
    left = [each for each in levels if each.ref in kept]
    assert all(each.stays for each in decide(left, rules, now_ns=NOW, zone=UTC))


@given(LEVELS, RULES, RULES)
def test_one_more_rule_removes_no_more(levels: list[Candidate], one: KeepRules, more: KeepRules) -> None:

    names = [name for name in KeepRules.__struct_fields__ if name != "groups"]
    both = KeepRules(groups=one.groups, **{name: max(getattr(one, name), getattr(more, name)) for name in names})

    def staying(rules: KeepRules) -> set[Decision | LevelRef]:
        return {each.ref for each in decide(levels, rules, now_ns=NOW, zone=UTC) if each.stays}

    if one:
        assert staying(one) <= staying(both)


@given(st.integers(1, 60), st.integers(1, 30))
def test_daily_levels_against_the_plain_answer(days: int, count: int) -> None:
    levels = daily(days)
    assert stay(levels, KeepRules(daily=count)) == [f"0/{day}" for day in range(max(0, days - count), days)]


@pytest.mark.parametrize(
    ("text", "days"), [("30d", 30), ("2w", 14), ("1y6m", 365 + 186), ("36h", 1.5), ("0", 0), ("1D", 1)]
)
def test_spans(text: str, days: float) -> None:
    from siltstone.engine.span import parse_span

    assert parse_span(text) == days * DAY_NS


@pytest.mark.parametrize("text", ["", "30", "d", "1.5d", "-1d", "1d 2h", "1s", "1min"])
def test_what_is_no_span(text: str) -> None:
    from siltstone.engine import ConfigError
    from siltstone.engine.span import parse_span

    with pytest.raises(ConfigError):
        parse_span(text)
