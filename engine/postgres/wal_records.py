"""The records of a segment: every transaction's end as columns, and the few marks that a restore asks for.

A record belongs to the segment in which it begins. One that goes on in the next segment is `cut`: the piece of it that
is here, and the `head` of the next one, together tell what it was (join).

Rule: pure; nothing is kept between segments. CRCs are compared in open segments, to find the end, and by check_records:
that takes 20 to 300 ms for 16 MiB where read_records takes 5 to 25 in a complete one.
"""

from typing import Final

import google_crc32c
import numpy as np
import numpy.typing as npt
from msgspec import Struct

from .errors import Malformed
from .lsn import format_lsn
from .wal_chain import DAMAGED, Chain, chain_of, length_at, words_of
from .wal_content import Content, Indices, content_of
from .wal_record import HEAD, MARKS, OUTCOMES, SINCE_2000, SWITCH, XACT, XLOG, Mark, Outcome, Transaction, parse_record
from .wal_segment import SegmentFacts, Tail

# Bytes kept of a record that is cut at the border of segments, on either side: enough for a commit's time and xid.
PIECE: Final = 256


class Transactions(Struct, frozen=True, eq=False):
    """Ends of transactions in the order of the WAL, a column each: see Transaction. Times may go back a little."""

    lsns: npt.NDArray[np.uint64]
    times: npt.NDArray[np.int64]
    xids: npt.NDArray[np.uint32]
    outcomes: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.lsns)

    def __getitem__(self, at: int) -> Transaction:
        outcome = Outcome(int(self.outcomes[at]))
        return Transaction(int(self.lsns[at]), int(self.times[at]), int(self.xids[at]), outcome)


class Cut(Struct, frozen=True):
    """The beginning of a record that goes on in the next segment: at most PIECE bytes."""

    lsn: int
    piece: bytes


class Records(Struct, frozen=True, kw_only=True, eq=False):
    """What was found in a segment. `end` is the LSN behind its last whole record; `count` counts whole records.

    `head` is what continues, at its start, a record of the segment before: at most PIECE bytes.
    """

    end: int
    count: int
    transactions: Transactions
    marks: tuple[Mark, ...]
    head: bytes
    cut: Cut | None


def read_records(name: str, data: bytes | memoryview, facts: SegmentFacts, *, complete: bool = True) -> Records:
    """The records of a segment that check_segment accepted, alike `complete` or not.

    Raises Malformed, also where a complete segment ends in zeros that no switch of segments explains.
    """
    content = content_of(data, facts)
    chain = chain_of(name, content, complete=complete)
    whole, cut = chain.whole, chain.cut
    if not complete:  # what looks like the last records may be half of them: a server, too, stops at the first bad CRC
        whole = whole[: _sound(content, whole)]
    kinds = (content.words[whole + 2] & np.uint64(0xFFFF)).astype(np.uint16)
    if complete and not _ends_rightly(content, chain, kinds, facts.tail):
        what = f"the WAL in it ends at {format_lsn(_end(content, whole))}, and not with a switch of segments"
        raise Malformed(name, what, hint=DAMAGED)
    try:
        marks = [_parse(content, int(at), facts.version) for at in whole[_is_mark(kinds)]]
        transactions = _transactions(content, whole, kinds, facts.version)
    except ValueError as error:
        raise Malformed(name, str(error), hint=DAMAGED) from None
    return Records(
        end=_end(content, whole),
        count=len(whole),
        transactions=transactions,
        marks=tuple(mark for mark in marks if mark is not None and not isinstance(mark, Transaction)),
        head=content.bytes(0, min(content.rest, PIECE)),
        cut=Cut(content.lsn(cut), content.bytes(cut, PIECE)) if cut >= 0 and facts.tail is Tail.NONE else None,
    )


def _ends_rightly(content: Content, chain: Chain, kinds: npt.NDArray[np.uint16], tail: Tail) -> bool:
    """Whether the records reach to the end, or zeros begin behind a switch only: elsewhere bytes were lost."""
    last = int(chain.whole[-1]) if len(chain.whole) else -1
    if last >= 0 and kinds[-1] >> 4 == XLOG << 4 | SWITCH:
        return True
    reached = words_of(content.rest) if last < 0 else last + words_of(length_at(content, last))
    return tail is Tail.NONE and (chain.cut >= 0 or reached >= len(content.words))


def join(cut: Cut, head: bytes, version: int) -> Transaction | Mark | None:
    """The record that two pieces at the border of two segments make, as far as it is of a kind that is understood."""
    try:
        return parse_record(cut.lsn, cut.piece + head, version)
    except ValueError:
        return None


def check_records(name: str, data: bytes | memoryview, facts: SegmentFacts) -> int:
    """Compare the CRC of every whole record of a complete segment: how many there are. Raises Malformed at the first
    damaged one. Records that lie across the border of two segments are not checked.
    """
    content = content_of(data, facts)
    whole = chain_of(name, content, complete=True).whole
    sound = _sound(content, whole)
    if sound < len(whole):
        raise Malformed(name, f"the record at {format_lsn(content.lsn(int(whole[sound])))} is damaged", hint=DAMAGED)
    return sound


def _sound(content: Content, whole: Indices) -> int:
    """How many records from the first on have the right CRC."""
    for number, at in enumerate(whole.tolist()):
        record = _record(content, at)
        crc = google_crc32c.extend(google_crc32c.value(record[HEAD:]), record[:_CRC_AT])
        if crc != int.from_bytes(record[_CRC_AT:HEAD], "little"):
            return number
    return len(whole)


_CRC_AT = 20  # the CRC covers what is behind the head first, and then the head up to itself


def _record(content: Content, at: int) -> bytes:
    return content.bytes(at, length_at(content, at))


def _parse(content: Content, at: int, version: int) -> Transaction | Mark | None:
    return parse_record(content.lsn(at), _record(content, at), version)


def _end(content: Content, whole: Indices) -> int:
    if not len(whole):
        return content.end_lsn(min(len(content.words), words_of(content.rest)))
    last = int(whole[-1])
    return content.end_lsn(last + words_of(length_at(content, last)))


def _is_mark(kinds: npt.NDArray[np.uint16]) -> npt.NDArray[np.bool_]:
    marks: npt.NDArray[np.bool_] = (kinds >> 8 == XLOG) & np.isin(kinds >> 4, MARKS)
    return marks


def _transactions(content: Content, whole: Indices, kinds: npt.NDArray[np.uint16], version: int) -> Transactions:
    """The ends of transactions. The usual ones, without an origin and not prepared, are taken all at once."""
    outcomes = ((kinds >> 4) & 7).astype(np.uint8)
    (numbers,) = np.nonzero((kinds >> 8 == XACT) & np.isin(outcomes, OUTCOMES))
    at, outcomes = whole[numbers], outcomes[numbers]
    words = content.words
    third, fourth = (words[np.minimum(at + behind, len(words) - 1)] for behind in (3, 4))
    main = (third & np.uint64(255)).astype(np.uint8)
    short = third >> np.uint64(16) | fourth << np.uint64(48)
    long = third >> np.uint64(40) | fourth << np.uint64(24)
    times = np.where(main == 255, short, long).astype(np.int64) + SINCE_2000
    xids = (words[at] >> np.uint64(32)).astype(np.uint32)
    unusual = (main < 254) | (outcomes >= Outcome.COMMIT_PREPARED)
    for number in map(int, np.flatnonzero(unusual)):
        parsed = _parse(content, int(at[number]), version)
        assert isinstance(parsed, Transaction)
        times[number], xids[number] = parsed.time, parsed.xid
    return Transactions(content.lsns(at), times, xids, outcomes)
