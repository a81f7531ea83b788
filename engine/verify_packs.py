"""Reading packs whole, the longest unverified first, within a budget; and remembering in the store what was read.

Rule: packs that were damaged when they were last read are read again whatever the budget, so that damage is named until
it is healed. What was read is noted every NOTE_SECONDS, and when the work ends by whatever means: an interrupted
verification goes on where it was. That a note cannot be kept (a store mounted read-only) is only noted.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from siltstone.store import REMOTE_THREADS, PackReport, PackScrubber, Store, StoreError, VerifiedNotes, in_parallel

from .events import Noted, Report
from .verify_census import Census
from .verify_damage import DamageLog
from .verify_result import Budget
from .verify_tell import Teller

# Each thread has a buffer of 8 MiB, and more threads than this outrun storage.
MOST_THREADS = 8

NOTE_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class PacksRead:
    """How many packs, and bytes, were read whole."""

    packs: int
    bytes: int


def choose_packs(sizes: Sequence[int], times: Sequence[int], limit: int, first: set[int], never: set[int]) -> list[int]:
    """The numbers of the packs to read: `first`, then by the time of their last reading, until they are `limit` bytes.

    `never` are those that cannot be read. Pure: the same numbers give the same choice.
    """
    chosen = sorted(first - never)
    taken = 0
    for number in sorted(range(len(sizes)), key=lambda number: (times[number], number)):
        if taken >= limit:
            break
        if number not in never and number not in first:
            chosen.append(number)
            taken += sizes[number]
    return chosen


def read_packs(
    store: Store, census: Census, notes: VerifiedNotes, budget: Budget, log: DamageLog, tell: Teller, report: Report
) -> PacksRead:
    """Read what the budget allows; damage goes into the log and the census."""
    packs = census.packs
    limit = budget.limit(packs.bytes)
    chosen = choose_packs(packs.sizes, notes.times, limit, notes.damaged, census.unusable)
    total = sum(packs.sizes[number] for number in chosen)
    scrubber = PackScrubber(store.opened, store.reader)
    threads = REMOTE_THREADS if store.backend.remote else min(MOST_THREADS, os.cpu_count() or 1)
    pad = _Pad(notes, report)
    count = size = 0
    try:
        names = (packs.names[number] for number in chosen)
        for number, found in zip(chosen, in_parallel(scrubber.check, names, threads), strict=True):
            count, size = count + 1, size + found.bytes_read
            _record(found, census, log)
            pad.note(number, intact=not found.error)
            tell.packs(count, size, found.pack, len(chosen), total)
    finally:
        pad.flush()
    return PacksRead(count, size)


def _record(found: PackReport, census: Census, log: DamageLog) -> None:
    if found.unreadable:
        census.discard(found.pack, found.error)
    elif found.error:
        log.lose_frames(found.pack, found.frames, found.error)


class _Pad:
    """What was read and is not noted in the store yet."""

    def __init__(self, notes: VerifiedNotes, report: Report) -> None:
        self._notes, self._report = notes, report
        self._begin()

    def _begin(self) -> None:
        self._intact: list[int] = []
        self._damaged: list[int] = []
        self._at = time.time_ns()  # when the first of them was read, at the latest
        self._since = time.monotonic()

    def note(self, number: int, *, intact: bool) -> None:
        """A pack was read whole."""
        (self._intact if intact else self._damaged).append(number)
        if time.monotonic() - self._since > NOTE_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Keep what was read in the store."""
        try:
            self._notes.remember(self._at, self._intact, self._damaged)
        except StoreError as error:
            self._report(Noted(f"{error}; this reading is not remembered"))
        self._begin()
