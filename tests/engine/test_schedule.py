"""Schedules: what their times mean to systemd and to cron, and what of them was missed.

Rule: `Times.last` is held against a walk over all minutes, and OnCalendar against systemd's own reading where it is
there.
"""

import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siltstone.engine import (
    Caller,
    ConfigError,
    Run,
    Schedule,
    cron_lines,
    parse_deployment,
    remember,
    unit_names,
    units,
)
from siltstone.engine.calendar import EVERY_DAY, Times, parse_times
from siltstone.engine.runs import read_runs
from siltstone.engine.schedule import missed

TIMES = st.builds(
    Times, st.frozensets(st.integers(0, 6), min_size=1), st.none() | st.integers(0, 23), st.integers(0, 59)
)
MOMENTS = st.integers(0, 2 * 366 * 86400).map(
    lambda second: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
)


@pytest.mark.parametrize(
    ("text", "calendar", "cron"),
    [
        ("Sun 02:00", "Sun *-*-* 02:00:00", "0 2 * * 0"),
        ("Mon..Sat 2:00", "Mon,Tue,Wed,Thu,Fri,Sat *-*-* 02:00:00", "0 2 * * 1,2,3,4,5,6"),
        ("sat..mon,Thu 23:59", "Mon,Thu,Sat,Sun *-*-* 23:59:00", "59 23 * * 1,4,6,0"),
        ("05:15", "*-*-* 05:15:00", "15 5 * * *"),
        ("daily 05:15", "*-*-* 05:15:00", "15 5 * * *"),
        ("hourly", "*-*-* *:00:00", "0 * * * *"),
    ],
)
def test_times_as_systemd_and_cron_write_them(text: str, calendar: str, cron: str) -> None:
    times = parse_times(text)
    assert (times.on_calendar, times.cron) == (calendar, cron)


@pytest.mark.parametrize("text", ["", "noon", "24:00", "02:60", "Sun", "Sunday 02:00", "Mon.. 02:00", "Mon-Fri 02:00"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no time|no day|no such time"):
        parse_times(text)


@given(TIMES, MOMENTS)
def test_the_last_time_is_the_one_that_a_walk_finds(times: Times, now: datetime) -> None:
    def fits(moment: datetime) -> bool:
        hour_fits = times.hour in (None, moment.hour)
        return moment.weekday() in times.days and hour_fits and moment.minute == times.minute

    walk = now.replace(second=0, microsecond=0)
    while not fits(walk):
        walk -= timedelta(minutes=1)
    assert times.last(now) == walk


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd here")
@pytest.mark.parametrize("text", ["Sun 02:00", "Mon..Sat 02:00", "hourly", "05:15"])
def test_systemd_reads_it(text: str) -> None:
    done = subprocess.run(["systemd-analyze", "calendar", parse_times(text).on_calendar], capture_output=True)
    assert done.returncode == 0


NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)  # a Wednesday
WEEK = Schedule({"full": parse_times("Sun 02:00"), "incremental": parse_times("Mon..Sat 02:00")})


@pytest.mark.parametrize(
    ("full", "incremental", "expected"),
    [
        (datetime(2026, 11, 22, 2, tzinfo=UTC), datetime(2026, 11, 25, 2, tzinfo=UTC), []),
        (datetime(2026, 11, 22, 2, tzinfo=UTC), datetime(2026, 11, 24, 2, tzinfo=UTC), ["incremental"]),
        (datetime(2026, 11, 15, 2, tzinfo=UTC), datetime(2026, 11, 25, 2, tzinfo=UTC), ["full"]),
        (datetime(2026, 11, 25, 11, tzinfo=UTC), None, []),  # a full one does for both
        (None, None, ["full", "incremental"]),
    ],
)
def test_what_was_missed(full: datetime | None, incremental: datetime | None, expected: list[str]) -> None:
    done = {"full": full, "incremental": incremental}
    found = missed(WEEK, {task: at for task, at in done.items() if at is not None}, NOW)
    assert [task for task, _ in found] == expected


def test_grace_is_given() -> None:
    schedule = Schedule({"incremental": Times(EVERY_DAY, 11, 30)}, grace=3600)
    yesterday = {"incremental": NOW - timedelta(days=1)}
    assert list(missed(schedule, yesterday, NOW)) == []
    assert [task for task, _ in missed(schedule, yesterday, NOW + timedelta(hours=1))] == ["incremental"]


CALLER = Caller(["/opt/a b/silt"], "/etc/silt/100%.toml", ["--store", "/mnt/s$"])


def test_units_quote_as_systemd_reads() -> None:
    made = dict(units("app", WEEK, CALLER))
    assert sorted(made) == [
        "silt-app-full.service",
        "silt-app-full.timer",
        "silt-app-incremental.service",
        "silt-app-incremental.timer",
    ]
    assert (
        'ExecStart="/opt/a b/silt" --store /mnt/s$$ schedule run full -c /etc/silt/100%%.toml'
        in made["silt-app-full.service"]
    )
    assert "OnCalendar=Sun *-*-* 02:00:00" in made["silt-app-full.timer"]


def test_the_stream_is_a_service() -> None:
    made = dict(units("app", Schedule(wal_stream=True), CALLER))
    (text,) = made.values()
    assert list(made) == ["silt-app-wal.service"]
    assert set(made) < set(unit_names("app"))
    assert 'ExecStart="/opt/a b/silt" --store /mnt/s$$ wal stream --create-slot -c /etc/silt/100%%.toml' in text
    assert "Restart=on-failure" in text
    (_, line) = cron_lines("app", Schedule(wal_stream=True), CALLER)
    assert line == "@reboot '/opt/a b/silt' --store '/mnt/s$' wal stream --create-slot -c /etc/silt/100\\%.toml"


def test_cron_lines_quote_as_cron_and_the_shell_read() -> None:
    lines = list(cron_lines("app", WEEK, CALLER))
    assert lines[1] == "0 2 * * 0 '/opt/a b/silt' --store '/mnt/s$' schedule run full -c /etc/silt/100\\%.toml"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('[schedule]\nfull = "soon"', "schedule.full.*no time"),
        ('[schedule]\nfulll = "hourly"', "full"),
        ("[schedule]\ngrace = -1", "grace"),
        ("[schedule]\nwal-stream = true", "wal-stream.*no database"),
        ('[notify]\nwhen = "never"', "when"),
        ('[notify]\nwebhook = "file:///etc/passwd"', "webhook"),
        ('[notify]\nmail-server = "localhost"', "mail-server"),
    ],
)
def test_mistakes_are_named(table: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_deployment(f'name = "d"\n[file-sets.d]\npaths = ["/a"]\n{table}\n')


def test_runs_are_kept_a_file_a_deployment(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    assert read_runs(folder, "app") == {}
    first, second = Run(1.0, 2.0, 0), Run(3.0, 4.0, 6, "silt: the store is away\n")
    remember(folder, "app", "full", first)
    remember(folder, "app", "verify", second)
    assert read_runs(folder, "app") == {"full": first, "verify": second}
    assert [first.failed, second.failed] == [False, True]
    (folder / "app.json").write_text("{")
    assert read_runs(folder, "app") == {}
    remember(folder, "app", "full", first)
    assert read_runs(folder, "app") == {"full": first}
