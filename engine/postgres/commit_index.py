"""The commit index of a segment: when which transaction ended where, small enough to be kept for every segment.

It is one MessagePack list: [format, timeline, segment number, segment size, server version, LSN behind the last record,
records, columns of transactions, marks, head, cut]. A column is [first value, rows, differences]: those from each row
to the next, zigzag (0, -1, 1, -2, ... are 0, 1, 2, 3, ...), in as many bytes as the largest needs, transposed: the low
byte of every row, then the next. High bytes are mostly equal, so zstd makes 2 to 3 bytes of a row (pgbench), which is
2 % of what it makes of that segment.

Rule: what was encoded comes back exactly, and nothing is left out: every commit and abort with its time, LSN and xid,
and every mark. A transaction whose record lies across the border of two segments is in neither index: with_cut_of()
puts it together from both. Subtransactions have no rows of their own.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgpack
import numpy as np
import numpy.typing as npt
from msgspec import Struct
from msgspec.structs import replace

from .errors import Malformed
from .wal_names import WalSegment
from .wal_record import BackupEnd, Checkpoint, EndOfRecovery, Mark, Outcome, RestorePoint, Switch, Transaction
from .wal_records import Cut, Records, Transactions, join
from .wal_segment import SegmentFacts

FORMAT: Final = 1

_NAMES: Final = "surrogateescape"  # a restore point's name is in the encoding of the database it was made from
_MARKS: Final = (RestorePoint, Checkpoint, EndOfRecovery, BackupEnd, Switch)  # their place here is their number


class CommitIndex(Struct, frozen=True, kw_only=True, eq=False):
    """`end` is the LSN behind the last whole record of the segment. See Records for the rest."""

    segment: WalSegment
    size: int
    version: int
    end: int
    count: int
    transactions: Transactions
    marks: tuple[Mark, ...]
    head: bytes
    cut: Cut | None

    @property
    def times(self) -> tuple[int, int] | None:
        """The first and the last moment at which a transaction ended here, in microseconds since 1970 UTC."""
        times = self.transactions.times
        return (int(times.min()), int(times.max())) if len(times) else None

    @property
    def restore_points(self) -> list[RestorePoint]:
        """The named restore points, in the order of the WAL."""
        return [mark for mark in self.marks if isinstance(mark, RestorePoint)]

    def near(self, time: int, count: int) -> tuple[list[Transaction], list[Transaction]]:
        """Up to `count` commits at or before a moment, and up to as many after it, both in the order of the WAL.

        "Before" is what recovery to that time keeps: it stops at the first commit or abort in the WAL with a later
        time, even where the times of some behind that one are earlier.
        """
        commits = np.flatnonzero(np.isin(self.transactions.outcomes, _COMMITS))
        later = np.flatnonzero(self.transactions.times > time)
        stop = int(np.searchsorted(commits, later[0])) if len(later) else len(commits)
        return self._rows(commits[max(0, stop - count) : stop]), self._rows(commits[stop : stop + count])

    def of_xid(self, xid: int) -> list[Transaction]:
        """The ends of the transactions with this xid. It may come again after 4 billion others."""
        return self._rows(np.flatnonzero(self.transactions.xids == xid))

    def _rows(self, numbers: npt.NDArray[np.intp]) -> list[Transaction]:
        return [self.transactions[int(number)] for number in numbers]

    def with_cut_of(self, previous: "CommitIndex") -> "CommitIndex":
        """The same with what began in the segment before, on the same or a parent's timeline, and ends in this one."""
        assert previous.segment.number + 1 == self.segment.number, (previous.segment, self.segment)
        found = None if previous.cut is None else join(previous.cut, self.head, self.version)
        if isinstance(found, Transaction):
            row = Transactions(
                np.array([found.lsn], np.uint64),
                np.array([found.time], np.int64),
                np.array([found.xid], np.uint32),
                np.array([found.outcome], np.uint8),
            )
            return replace(self, transactions=_joined(row, self.transactions))
        return self if found is None else replace(self, marks=(found, *self.marks))


_COMMITS = (Outcome.COMMIT, Outcome.COMMIT_PREPARED)


def make_index(facts: SegmentFacts, records: Records) -> CommitIndex:
    """The commit index of a segment whose records were read."""
    return CommitIndex(
        segment=facts.segment,
        size=facts.size,
        version=facts.version,
        end=records.end,
        count=records.count,
        transactions=records.transactions,
        marks=records.marks,
        head=records.head,
        cut=records.cut,
    )


def encode_index(index: CommitIndex) -> bytes:
    """About 9 bytes a transaction, to be compressed by who stores it."""
    rows = index.transactions
    columns = [_pack(each) for each in (rows.lsns >> np.uint64(3), rows.times, rows.xids, rows.outcomes)]
    marks = [[_MARKS.index(type(mark)), *_fields(mark)] for mark in index.marks]
    cut = None if index.cut is None else [index.cut.lsn, index.cut.piece]
    place = [index.segment.timeline, index.segment.number, index.size, index.version]
    fields = [FORMAT, *place, index.end, index.count, columns, marks, index.head, cut]
    packed: bytes = msgpack.packb(fields, unicode_errors=_NAMES)
    return packed


def decode_index(name: str, data: bytes) -> CommitIndex:
    """The index again. Raises Malformed, naming it, for bytes that are none or of a newer format."""
    try:
        form, *rest = msgpack.unpackb(data, unicode_errors=_NAMES)
        if form != FORMAT:
            raise Malformed(name, f"is a commit index of format {form}", hint="a newer version of silt wrote it")
        timeline, number, size, version, end, count, columns, marks, head, cut = rest
        lsns, times, xids, outcomes = (_unpack(column) for column in columns)
        return CommitIndex(
            segment=WalSegment(timeline, number),
            size=size,
            version=version,
            end=end,
            count=count,
            transactions=Transactions(
                lsns.astype(np.uint64) << np.uint64(3), times, xids.astype(np.uint32), outcomes.astype(np.uint8)
            ),
            marks=tuple(_mark(fields) for fields in marks),
            head=head,
            cut=None if cut is None else Cut(*cut),
        )
    except (ValueError, TypeError, IndexError, msgpack.UnpackException):
        raise Malformed(name, "is no commit index") from None


def _mark(fields: Sequence[Any]) -> Mark:
    kind, *rest = fields
    return _MARKS[kind](*rest)


def _fields(mark: Mark) -> list[int | str | bool]:
    return [getattr(mark, name) for name in mark.__struct_fields__]


def _pack(column: npt.NDArray[Any]) -> tuple[int, int, bytes]:
    if not len(column):
        return 0, 0, b""
    values = column.astype(np.int64)
    differences = values[1:] - values[:-1]
    zigzag = ((differences << np.int64(1)) ^ (differences >> np.int64(63))).view(np.uint64)
    width = (int(zigzag.max(initial=0)).bit_length() + 7) // 8
    planes = zigzag.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :width]
    return int(values[0]), len(column), planes.T.tobytes()


def _unpack(packed: tuple[int, int, bytes]) -> npt.NDArray[np.int64]:
    first, rows, data = packed
    if rows < 2:
        return np.full(rows, first, np.int64)
    planes = np.frombuffer(data, np.uint8).reshape(-1, rows - 1)
    zigzag = np.zeros((rows - 1, 8), np.uint8)
    zigzag[:, : len(planes)] = planes.T
    values = zigzag.view("<u8")[:, 0].astype(np.uint64)
    differences = (values >> np.uint64(1)).astype(np.int64) ^ -(values & np.uint64(1)).astype(np.int64)
    return np.cumsum(np.concatenate([np.array([first], np.int64), differences]), dtype=np.int64)


def _joined(first: Transactions, second: Transactions) -> Transactions:
    names = ("lsns", "times", "xids", "outcomes")
    return Transactions(*(np.concatenate([getattr(first, name), getattr(second, name)]) for name in names))
