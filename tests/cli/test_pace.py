"""The pace of a long command: recent, and honest about what is not known."""

from siltstone.cli.pace import WINDOW, Pace


def test_nothing_is_known_at_first() -> None:
    pace = Pace()
    assert pace.rate() == 0
    pace.add(1.0, 0)
    assert pace.rate() == 0
    assert pace.left(100) is None


def test_rate_and_time_left() -> None:
    pace = Pace()
    pace.add(0.0, 0)
    pace.add(2.0, 100)
    assert pace.rate() == 50
    assert pace.left(200) == 2
    assert pace.left(50) == 0


def test_a_stall_shows_within_the_window() -> None:
    pace = Pace()
    for second in range(60):
        pace.add(float(second), 1000 * min(second, 30))
    assert pace.rate() < 1000 / WINDOW
    assert pace.left(10**6) is None


def test_a_new_phase_begins_anew() -> None:
    pace = Pace()
    pace.add(0.0, 500)
    pace.add(1.0, 10)
    assert pace.rate() == 0


def test_two_events_at_one_moment() -> None:
    pace = Pace()
    pace.add(1.0, 1)
    pace.add(1.0, 2)
    assert pace.rate() == 0
