"""Numbers, times and sizes: what people read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siltstone.cli.figures import count, duration, local_time, share, size, time_left, utc_time


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "0.98 KiB"),
        (1024, "1.00 KiB"),
        (10 * 1024, "10.0 KiB"),
        (123 * 1024**2, "123 MiB"),
        (1023 * 1024**2, "1.00 GiB"),
        (2**70, "1024 EiB"),
    ],
)
def test_size(number: int, words: str) -> None:
    assert size(number) == words


@given(st.integers(0, 2**62))
def test_size_is_near(number: int) -> None:
    written, unit = size(number).split()
    assert len(written) <= 4
    assert (
        abs(float(written) * 1024 ** ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"].index(unit) - number)
        <= number / 98
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.004, "0.00 s"),
        (12.34, "12.3 s"),
        (59.94, "59.9 s"),
        (59.96, "1 min 00 s"),
        (3599.6, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (273600, "3 d 04 h"),
    ],
)
def test_duration(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_time_left_is_rough() -> None:
    assert [time_left(seconds) for seconds in (0.4, 1.6, 59.6, 90)] == ["0 s", "2 s", "1 min 00 s", "1 min 30 s"]


def test_count_and_share() -> None:
    assert count(1234567) == "1,234,567"
    assert share(1, 3) == "33 %"
    assert share(0, 0) == "100 %"


def test_times(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = 1_763_919_730_123_456_789
    assert utc_time(moment) == "2025-11-23T17:42:10.123456Z"
    assert local_time(moment).endswith(":42:10")
    assert utc_time(-1) == "1969-12-31T23:59:59.999999Z"
