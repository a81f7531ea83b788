"""The chain of a segment's records: at which words they begin.

Each record names its length and the LSN of the one before. Instead of stepping from one to the next, numpy collects all
words that name an LSN of this segment; where each of those candidates ends at the next one, and that names it, they are
the chain, link by link. Where something else looks like a link (data may hold anything), the chain is followed from the
first record on. Either way what comes out is what stepping through finds, in 5 to 25 ms for 16 MiB instead of 350.

Rule: pure. A chain that breaks in a complete segment is Malformed; in an open one it is the end of the WAL. What is in
the records is not looked at.
"""

from typing import Final

import numpy as np
from msgspec import Struct

from .errors import Malformed
from .lsn import format_lsn
from .wal_content import WORD, Content, Indices
from .wal_pages import Words
from .wal_record import HEAD

DAMAGED: Final = "take the segment from the server or a standby again, while it is there"


class Chain(Struct, frozen=True, eq=False):
    """Indices of the words at which whole records begin, and of one that goes on in the next segment, or -1."""

    whole: Indices
    cut: int


def chain_of(name: str, content: Content, *, complete: bool) -> Chain:
    """The records that begin in a segment; `name` is for the errors. Raises Malformed."""
    found = [_chain(name, content, *span, complete) for span in _spans(content)]
    return Chain(np.concatenate([whole for whole, _ in found]), found[-1][1])


def length_at(content: Content, at: int) -> int:
    """The length in bytes of the record at this index."""
    return int(content.words[at] & _LENGTH)


def words_of(length: int) -> int:
    """How many words a record of that many bytes takes."""
    return (length + WORD - 1) // WORD


_LENGTH = np.uint64(0xFFFFFFFF)


def _spans(content: Content) -> list[tuple[int, int]]:
    """Where chains begin and end: one chain, unless a crash left a record unfinished."""
    starts = [words_of(content.rest), *content.restarts]
    return list(zip(starts, [*content.restarts, len(content.words)], strict=True))


def _chain(name: str, content: Content, start: int, end: int, complete: bool) -> tuple[Indices, int]:
    """The whole records from index `start` on, and the index of one that goes on beyond `end`, or -1."""
    words = content.words[:end]
    if start >= end:
        return np.empty(0, np.int64), -1
    if words[start] & _LENGTH == 0:
        return np.empty(0, np.int64), -1
    candidates = _candidates(content, words, start)
    lengths = (words[candidates] & _LENGTH).astype(np.int64)
    ends = np.where(lengths >= HEAD, candidates + (lengths + WORD - 1) // WORD, -1)
    lsns = content.lsns(candidates)
    links = (ends[:-1] == candidates[1:]) & (words[candidates[1:] + 1] == lsns[:-1])
    if not links.all():
        followed = _follow(candidates, ends, lsns, words)
        candidates, ends = candidates[followed], ends[followed]
    return _settle(name, content, candidates, ends, end, complete)


def _candidates(content: Content, words: Words, start: int) -> Indices:
    """Indices at which a record may begin: the next word names an LSN of this segment. The first one is known."""
    size = np.uint64(len(content.words) * 2 * WORD)  # more than the segment, headers and all
    found = np.flatnonzero(words[start + 2 :] - np.uint64(content.start) < size) + (start + 1)
    return np.concatenate([np.array([start]), found])


def _follow(candidates: Indices, ends: Indices, lsns: Words, words: Words) -> Indices:
    """Which candidates are the chain that begins with the first."""
    following = np.searchsorted(candidates, ends).clip(max=len(candidates) - 1)
    linked = (candidates[following] == ends) & (words[candidates[following] + 1] == lsns)
    steps = np.where(linked, following, -1).tolist()
    chain, at = [], 0
    while at >= 0:
        chain.append(at)
        at = steps[at]
    return np.array(chain, np.int64)


def _settle(
    name: str, content: Content, chain: Indices, ends: Indices, end: int, complete: bool
) -> tuple[Indices, int]:
    """Tell the end of the WAL from a record that is cut, and from a broken chain."""
    last = int(ends[-1])
    if last < 0:  # too short to be a record
        last, chain = int(chain[-1]), chain[:-1]
    if last > end:
        return chain[:-1], int(chain[-1]) if end == len(content.words) else -1
    if last == end or length_at(content, last) == 0:
        return chain, -1
    if last + 1 == end:  # its length and xid alone are here
        return chain, last if end == len(content.words) else -1
    if complete:
        what = f"no record follows the one that ends at {format_lsn(content.end_lsn(last))}"
        raise Malformed(name, what, hint=DAMAGED)
    return chain, -1
