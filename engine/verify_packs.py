"""Reading packs whole as a verification does: every byte, frame and chunk; damage goes into the log and the census.

Rule: which packs, and what is remembered of it, is `read_plan`'s word. Packs that were damaged when they were last read
are read again whatever the budget, so that damage is named until it is healed.
"""

import os
import time

from msgspec import Struct

from siltstone.store import MISSING, REMOTE_THREADS, Notes, PackReport, PackScrubber, Store, in_parallel

from .events import Report
from .read_plan import Reading, ReadingPad
from .verify_census import Census
from .verify_damage import DamageLog
from .verify_tell import Teller

# On this machine: one reads while the others compute. More of them outrun storage.
MOST_THREADS = 8


class PacksRead(Struct, frozen=True):
    """How many packs, and bytes, were read whole."""

    packs: int
    bytes: int


def read_packs(
    store: Store, census: Census, notes: Notes, reading: Reading, log: DamageLog, tell: Teller, report: Report
) -> PacksRead:
    """Read what was asked for."""
    packs = census.packs
    chosen = reading.choose(packs, notes, census.unusable, time.time_ns())
    total = sum(packs.sizes[number] for number in chosen)
    threads = REMOTE_THREADS if store.backend.remote else min(MOST_THREADS, (os.cpu_count() or 1) + 1)
    scrubber = PackScrubber(store.opened, store.reader, threads)
    pad = ReadingPad(notes, report)
    count = size = 0
    try:
        names = (packs.names[number] for number in chosen)
        for number, found in zip(chosen, in_parallel(scrubber.check, names, threads), strict=True):
            count, size = count + 1, size + found.bytes_read
            _record(found, census, log)
            if number not in census.collected:
                pad.note(number, intact=not found.error)
            tell.packs(count, size, found.pack, len(chosen), total)
    finally:
        # What the structure showed: writers take it for absent.
        for number in sorted(census.unusable - census.collected - notes.damaged):
            if packs.sizes[number] != MISSING:
                pad.note(number, intact=False)
        pad.flush()
    return PacksRead(count, size)


def _record(found: PackReport, census: Census, log: DamageLog) -> None:
    if found.unreadable:
        census.discard(found.pack, found.error)
    elif found.error:
        log.lose_frames(found.pack, found.frames, found.error)
