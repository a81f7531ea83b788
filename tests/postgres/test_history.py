"""Timelines: history files both ways, and the way from any place to any other."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siltstone.engine.postgres.errors import Malformed
from siltstone.engine.postgres.history import Ancestor, History, Span, Timelines, format_history, parse_history
from siltstone.engine.postgres.wal_names import WalSegment

MIB = 1 << 20

# 1 is left at 3.5 MiB for 2, which is left at 5 MiB for 3; 4 leaves 1 at 2 MiB, before; 5 leaves 3 where 3 begins.
TWO = History(2, (Ancestor(1, 7 * MIB // 2, "promoted"),))
THREE = History(3, (*TWO.ancestors, Ancestor(2, 5 * MIB, "before 2026-11-20")))
FOUR = History(4, (Ancestor(1, 2 * MIB),))
FIVE = History(5, (*THREE.ancestors, Ancestor(3, 5 * MIB)))
TREE = Timelines([THREE, FOUR, FIVE])

RANDOM = st.lists(
    st.tuples(st.integers(1, 9), st.integers(0, 99), st.text("ab c%", max_size=9)), min_size=1, max_size=6
)


@given(RANDOM)
def test_a_history_is_written_as_it_was_read(steps: list[tuple[int, int, str]]) -> None:
    timelines = itertools.accumulate(step[0] for step in steps)
    places = itertools.accumulate(step[1] for step in steps)
    reasons = [step[2].strip() for step in steps]
    ancestors = tuple(Ancestor(*each) for each in zip(timelines, places, reasons, strict=True))
    history = History(ancestors[-1].timeline + 1, ancestors)
    assert parse_history("it", history.timeline, format_history(history)) == history


def test_as_a_server_writes_it() -> None:
    text = b"1\t0/3000148\tno recovery target specified\n\n# by hand\n2\t1/5000000\tbefore 2000-01-01 00:00:00+00\r\n"
    assert parse_history("it", 3, text) == History(
        3,
        (
            Ancestor(1, 0x3000148, "no recovery target specified"),
            Ancestor(2, 0x1_0500_0000, "before 2000-01-01 00:00:00+00"),
        ),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "names no ancestor"),
        (b"# nothing\n", "names no ancestor"),
        (b"1 0/3000148 x\n1\t0/4000000\ty\n", "line 2 goes back"),
        (b"1\t0/3000148\tx\n2\t0/2000000\ty\n", "line 2 goes back"),
        (b"0\t0/3000148\tx\n", "line 1 goes back"),
        (b"3\t0/3000148\tx\n", "names timeline 3 as an ancestor"),
        (b"1\tnowhere\tx\n", "line 1 is no line"),
        (b"\xff\xfe\0\0", "line 1 is no line"),
        (b"<html>404</html>", "line 1 is no line"),
    ],
)
def test_damage_is_named(text: bytes, said: str) -> None:
    with pytest.raises(Malformed, match=said) as caught:
        parse_history("00000003.history", 3, text)
    assert caught.value.hint


class TestTheTree:
    def test_ancestors_are_known_from_their_descendants(self) -> None:
        assert list(TREE) == [1, 2, 3, 4, 5]
        assert TREE.newest == 5
        assert TREE.history(2).start == 7 * MIB // 2
        assert [each.timeline for each in TREE.children(1)] == [2, 4]
        assert TREE.history(1).parent is None

    def test_an_unknown_one_is_missing(self) -> None:
        with pytest.raises(Malformed, match=r"00000009\.history: is missing"):
            TREE.spans(9)

    def test_contradictions_are_refused(self) -> None:
        with pytest.raises(Malformed, match=r"00000002\.history: contradicts"):
            Timelines([TWO, History(3, (Ancestor(1, MIB), Ancestor(2, 5 * MIB)))])
        assert list(Timelines([History(2, (Ancestor(1, 7 * MIB // 2, "in other words"),)), THREE])) == [1, 2, 3]

    def test_the_wal_of_a_timeline(self) -> None:
        half = 7 * MIB // 2
        assert TREE.spans(3) == [Span(1, 0, half), Span(2, half, 5 * MIB), Span(3, 5 * MIB, None)]
        assert TREE.spans(5)[-2:] == [Span(3, 5 * MIB, 5 * MIB), Span(5, 5 * MIB, None)]

    @pytest.mark.parametrize(
        ("target", "lsn", "timeline"),
        [(3, 0, 1), (3, 7 * MIB // 2 - 1, 1), (3, 7 * MIB // 2, 2), (3, 9 * MIB, 3), (4, 3 * MIB, 4), (5, 5 * MIB, 5)],
    )
    def test_who_holds_a_place(self, target: int, lsn: int, timeline: int) -> None:
        assert TREE.at(target, lsn) == timeline

    @pytest.mark.parametrize(
        ("timeline", "lsn", "target", "leads"),
        [
            (1, 7 * MIB // 2, 3, True),
            (1, 7 * MIB // 2 + 1, 3, False),
            (1, 99 * MIB, 1, True),
            (2, 4 * MIB, 3, True),
            (2, 4 * MIB, 4, False),
            (3, 6 * MIB, 2, False),
            (1, 2 * MIB, 4, True),
            (1, 3 * MIB, 4, False),
        ],
    )
    def test_what_leads_where(self, timeline: int, lsn: int, target: int, leads: bool) -> None:
        assert TREE.leads_to(timeline, lsn, target) == leads
        if not leads:
            with pytest.raises(Malformed, match="does not lead") as caught:
                TREE.path(timeline, lsn, target)
            assert "backup from before" in caught.value.hint

    def test_the_way(self) -> None:
        half = 7 * MIB // 2
        assert TREE.path(1, MIB, 3) == [Span(1, MIB, half), Span(2, half, 5 * MIB), Span(3, 5 * MIB, None)]
        assert TREE.path(1, MIB, 3, 4 * MIB) == [Span(1, MIB, half), Span(2, half, 4 * MIB)]
        assert TREE.path(2, 4 * MIB, 5, 6 * MIB) == [Span(2, 4 * MIB, 5 * MIB), Span(5, 5 * MIB, 6 * MIB)]
        assert TREE.path(1, half, 2, half) == []

    def test_which_segment_to_read(self) -> None:
        """Of the two that hold the place of a switch the new timeline's: the old one may be partial."""
        numbers = range(7)
        assert [TREE.segment(3, number, MIB).timeline for number in numbers] == [1, 1, 1, 2, 2, 3, 3]
        assert [TREE.segment(4, number, MIB).timeline for number in numbers] == [1, 1, 4, 4, 4, 4, 4]
        assert TREE.segment(5, 5, MIB) == WalSegment(5, 5)
