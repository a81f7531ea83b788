"""The commit index: what goes in comes out, and what is asked of it is answered as recovery would act."""

import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from siltstone.engine.postgres.commit_index import CommitIndex, decode_index, encode_index, make_index
from siltstone.engine.postgres.errors import Malformed
from siltstone.engine.postgres.wal_names import WalSegment
from siltstone.engine.postgres.wal_record import (
    BackupEnd,
    Checkpoint,
    EndOfRecovery,
    Mark,
    Outcome,
    RestorePoint,
    Switch,
    Transaction,
)
from siltstone.engine.postgres.wal_records import Cut, Transactions, read_records

from .wal_making import SIZE, MadeWal

LSNS = st.integers(0, (1 << 61) - 1).map(lambda word: word * 8)
TIMES = st.integers(-(1 << 61), 1 << 61)
ROWS = st.lists(
    st.builds(Transaction, LSNS, TIMES, st.integers(0, (1 << 32) - 1), st.sampled_from(Outcome)), max_size=40
)
MARKS: st.SearchStrategy[tuple[Mark, ...]] = st.sampled_from(
    [
        (),
        (RestorePoint(8, -5, "näme"), Checkpoint(16, 8, 2, 1, True), Checkpoint(16, 8, 1, 1, False)),
        (EndOfRecovery(24, 99, 3, 1), BackupEnd(32, 8), Switch(40), RestorePoint(48, 5, "n\udcff")),
    ]
)


def columns(rows: list[Transaction]) -> Transactions:
    return Transactions(
        np.array([row.lsn for row in rows], np.uint64),
        np.array([row.time for row in rows], np.int64),
        np.array([row.xid for row in rows], np.uint32),
        np.array([row.outcome for row in rows], np.uint8),
    )


def rows_of(index: CommitIndex) -> list[Transaction]:
    return [index.transactions[at] for at in range(len(index.transactions))]


def an_index(rows: list[Transaction], marks: tuple[Mark, ...] = (), cut: Cut | None = None) -> CommitIndex:
    return CommitIndex(
        segment=WalSegment(3, 9),
        size=SIZE,
        version=15,
        end=10 * SIZE,
        count=7,
        transactions=columns(rows),
        marks=marks,
        head=b"head",
        cut=cut,
    )


@given(ROWS, MARKS, st.sampled_from([None, Cut(8, b"piece")]))
def test_what_goes_in_comes_out(rows: list[Transaction], marks: tuple[Mark, ...], cut: Cut | None) -> None:
    index = an_index(rows, marks, cut)
    again = decode_index("it", encode_index(index))
    assert rows_of(again) == rows
    for name in ("segment", "size", "version", "end", "count", "marks", "head", "cut"):
        assert getattr(again, name) == getattr(index, name)


@given(st.binary(max_size=60) | st.lists(st.integers(0, 9), max_size=12).map(msgpack.packb))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode_index("it", data)


def test_a_newer_format_is_named() -> None:
    with pytest.raises(Malformed, match="of format 2") as caught:
        decode_index("it", msgpack.packb([2, "anything"]))
    assert "newer" in caught.value.hint


def test_real_ones_are_small(made: MadeWal) -> None:
    for name, data in made.segments.items():
        facts = made.facts(name)
        index = make_index(facts, read_records(name, data, facts))
        packed = encode_index(index)
        assert len(packed) < 800 + 10 * len(index.transactions)
        assert rows_of(decode_index(name, packed)) == rows_of(index)


def test_what_lies_across_a_border_is_put_together(made: MadeWal) -> None:
    """The segment is cut short artificially at every word of a commit, and the next one begins with the rest."""
    name, data = next(iter(made.segments.items()))
    facts = made.facts(name)
    whole = make_index(facts, read_records(name, data, facts))
    row = rows_of(whole)[3]
    record = data[row.lsn - facts.start :][:64]
    following = an_index([row])
    for length in range(8, 40, 8):
        before = replace(whole, segment=WalSegment(3, 8), cut=Cut(row.lsn, record[:length]))
        joined = replace(following, head=record[length:]).with_cut_of(before)
        assert rows_of(joined) == [row, row]
    assert following.with_cut_of(replace(whole, segment=WalSegment(3, 8), cut=None)) is following
    garbage = replace(whole, segment=WalSegment(3, 8), cut=Cut(row.lsn, record[:8]))
    assert replace(following, head=b"").with_cut_of(garbage).transactions is following.transactions


class TestQuestions:
    ROWS = (
        Transaction(8, 100, 1, Outcome.COMMIT),
        Transaction(16, 200, 2, Outcome.COMMIT),
        Transaction(24, 150, 3, Outcome.COMMIT_PREPARED),
        Transaction(32, 300, 4, Outcome.ABORT),
        Transaction(40, 250, 5, Outcome.COMMIT),
        Transaction(48, 400, 1, Outcome.COMMIT),
    )

    @pytest.mark.parametrize(
        ("time", "count", "before", "after"),
        [
            (99, 2, [], [1, 2]),
            (100, 9, [1], [2, 3, 5, 1]),
            (150, 1, [1], [2]),  # 3 committed in time, but recovery stops before 2
            (200, 9, [1, 2, 3], [5, 1]),
            (299, 9, [1, 2, 3], [5, 1]),  # 4 only aborted, and recovery stops before it all the same
            (300, 1, [5], [1]),
            (999, 2, [5, 1], []),
            (999, 0, [], []),
        ],
    )
    def test_near_a_moment(self, time: int, count: int, before: list[int], after: list[int]) -> None:
        found = an_index(list(self.ROWS)).near(time, count)
        assert tuple([row.xid for row in rows] for rows in found) == (before, after)

    def test_of_an_xid(self) -> None:
        index = an_index(list(self.ROWS))
        assert [row.lsn for row in index.of_xid(1)] == [8, 48]
        assert index.of_xid(77) == []

    def test_its_times(self) -> None:
        assert an_index(list(self.ROWS)).times == (100, 400)
        assert an_index([]).times is None

    def test_restore_points(self) -> None:
        point = RestorePoint(8, 5, "here")
        assert an_index([], (Switch(16), point)).restore_points == [point]
