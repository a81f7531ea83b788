"""What the names in an archive tell: gaps, where a segment can be taken from, what is proved to be absent."""

import pytest

from siltstone.engine.postgres.archive_catalog import Catalog, Run, lost_histories
from siltstone.engine.postgres.archive_errors import NotArchived, WalGap
from siltstone.engine.postgres.archive_names import open_name, other_name, parse_stored_name
from siltstone.engine.postgres.errors import Malformed
from siltstone.engine.postgres.history import Ancestor, History
from siltstone.engine.postgres.slots import Slot
from siltstone.engine.postgres.stream_start import start_position
from siltstone.engine.postgres.wal_names import WalSegment, parse_wal_file
from siltstone.engine.postgres.wal_sink import Position

from .catalogs import SIZE, catalog_of, segment, whole


def second(left: int) -> History:
    return History(2, (Ancestor(1, left),))


def refusal(made: Catalog, name: str) -> type[Exception]:
    try:
        return type(made.refuse_absent(name, parse_wal_file(name, SIZE)))
    except WalGap:
        return WalGap


class TestNames:
    def test_open_and_other_come_back(self) -> None:
        name = open_name(WalSegment(1, 300), SIZE, 4096)
        assert parse_stored_name(name, SIZE).open_used == 4096
        aside = parse_stored_name(other_name(name, bytes(32)), SIZE)
        assert aside.other
        assert aside.file.segment == WalSegment(1, 300)

    @pytest.mark.parametrize(
        "name", ["x", f"{segment(1, 1)}.open-00000000", f"{segment(1, 1)}.open-02000000", ".other-0123456789abcdef"]
    )
    def test_what_is_no_name_is_refused(self, name: str) -> None:
        with pytest.raises(Malformed):
            parse_stored_name(name, SIZE)


class TestGaps:
    def test_of_one_timeline(self) -> None:
        made = catalog_of(*whole(1, 3, 4, 7, 9))
        assert made.runs() == [Run(1, 3, 4), Run(1, 7, 7), Run(1, 9, 9)]
        assert made.gaps() == [Run(1, 5, 6), Run(1, 8, 8)]

    def test_an_open_segment_behind_a_gap_shows_it(self) -> None:
        assert catalog_of(*whole(1, 3), open_name(WalSegment(1, 5), SIZE, 100)).gaps() == [Run(1, 4, 4)]

    def test_across_a_switch(self) -> None:
        history = second(5 * SIZE + 100)
        assert catalog_of(*whole(1, 3, 4), *whole(2, 5, 6), histories=(history,)).gaps() == []
        assert catalog_of(*whole(1, 3), *whole(2, 5, 6), histories=(history,)).gaps() == [Run(1, 4, 4)]
        assert catalog_of(*whole(1, 3, 4), *whole(2, 6), histories=(history,)).gaps() == [Run(2, 5, 5)]

    def test_the_old_timeline_may_go_on(self) -> None:
        assert catalog_of(*whole(1, 3, 4, 5, 6), *whole(2, 4), histories=(second(4 * SIZE + 8),)).gaps() == []

    def test_without_its_history_a_timeline_stands_for_itself(self) -> None:
        made = catalog_of(*whole(1, 3), *whole(2, 7, 9))
        assert made.gaps() == [Run(2, 8, 8)]
        assert lost_histories(made) == ["00000002.history"]


class TestAbsence:
    def test_beyond_the_end_is_proved(self) -> None:
        made = catalog_of(*whole(1, 3, 4))
        assert refusal(made, segment(1, 5)) is NotArchived
        assert refusal(made, "00000002.history") is NotArchived

    def test_before_or_between_is_a_gap(self) -> None:
        made = catalog_of(*whole(1, 3, 5))
        assert refusal(made, segment(1, 2)) is WalGap
        assert refusal(made, segment(1, 4)) is WalGap

    def test_a_part_behind_it_is_enough(self) -> None:
        made = catalog_of(*whole(1, 3), open_name(WalSegment(1, 5), SIZE, 100))
        assert refusal(made, segment(1, 4)) is WalGap
        assert made.source_of(WalSegment(1, 5)) == open_name(WalSegment(1, 5), SIZE, 100)

    def test_another_timeline_tells_that_this_one_went_on(self) -> None:
        made = catalog_of(*whole(1, 3), histories=(second(5 * SIZE + 100),))
        assert refusal(made, segment(1, 4)) is WalGap
        assert refusal(made, segment(1, 5)) is WalGap
        assert refusal(made, segment(1, 6)) is NotArchived
        assert refusal(catalog_of(*whole(1, 4), histories=(second(5 * SIZE),)), segment(1, 5)) is NotArchived

    def test_a_lost_history_is_a_gap(self) -> None:
        assert refusal(catalog_of(*whole(1, 3), *whole(2, 4)), "00000002.history") is WalGap
        third = History(3, (Ancestor(1, SIZE), Ancestor(2, 2 * SIZE)))
        assert refusal(catalog_of(*whole(1, 3), histories=(third,)), "00000002.history") is WalGap
        assert refusal(catalog_of(*whole(1, 3), histories=(third,)), "00000004.history") is NotArchived

    def test_only_the_last_segment_comes_in_part(self) -> None:
        partial = WalSegment(1, 4).partial_name(SIZE)
        assert catalog_of(*whole(1, 3), partial).source_of(WalSegment(1, 4)) == partial
        assert catalog_of(*whole(1, 3, 5), partial).source_of(WalSegment(1, 4)) is None


class TestStart:
    SLOT = Slot("silt", 2 * SIZE + 5, False, "reserved")

    def test_behind_the_archive_else_at_the_slot_else_where_the_server_is(self) -> None:
        server, slot = Position(1, 9 * SIZE + 7), self.SLOT
        assert start_position(catalog_of(*whole(1, 3, 4)), History(1), server, slot, skip=False) == Position(
            1, 5 * SIZE
        )
        assert start_position(catalog_of(), History(1), server, slot, skip=False) == Position(1, 2 * SIZE + 5)
        assert start_position(catalog_of(), History(1), server, None, skip=False) == server

    def test_behind_a_gap(self) -> None:
        made = catalog_of(*whole(1, 0))
        assert start_position(made, History(1), Position(1, 9 * SIZE), self.SLOT, skip=True).lsn == 2 * SIZE + 5

    def test_over_a_switch(self) -> None:
        history, server = second(5 * SIZE + 100), Position(2, 9 * SIZE)
        made = catalog_of(*whole(1, 3, 4))
        assert start_position(made, history, server, None, skip=False) == Position(1, 5 * SIZE)
        made = catalog_of(*whole(1, 3, 4, 5, 6))
        assert start_position(made, history, server, None, skip=False) == Position(2, 5 * SIZE + 100)
        made = catalog_of(*whole(1, 3, 4), *whole(2, 5))
        assert start_position(made, history, server, None, skip=False) == Position(2, 6 * SIZE)
