"""A scrub: are the bytes of every object those that were stored? It needs no key, and runs where the storage is.

Rule: small objects and index segments are read always; packs and parity objects as the reading says, damaged ones and
the longest unread first. What was read is remembered in the store, under notes that need no key either. A pack that a
stripe of parity names and that is not there is damage, too. Nothing is repaired. It does not see what a verification
sees with the key: whether the bytes make sense, and what a level needs that was never there.
"""

import os
import time
from collections.abc import Iterator
from itertools import chain

from msgspec import Struct, field

from siltstone.store import (
    Backend,
    BytesChecker,
    BytesReport,
    Fault,
    Notes,
    PackList,
    PackName,
    in_parallel,
    is_content_named,
    pack_object,
    read_stripes,
    scrubbed_notes,
    stripe_of,
)

from .events import Progress, Report, Warned
from .read_plan import Reading, ReadingPad

# Reading waits for storage, and hashing lets go of the interpreter: more threads than processors keep both busy.
MOST_THREADS = 16
LARGE = ("packs/", "parity/")
INTERVAL = 0.1


class ScrubResult(Struct):
    """What was there, and what was read of it. `packs` counts parity objects, too; `share` of their bytes was read and
    found intact within the last `days`. `uncovered`: packs in no stripe, of a store that has parity.
    """

    objects: int = 0
    packs: int = 0
    bytes: int = 0
    packs_read: int = 0
    bytes_read: int = 0
    days: int = 30
    share: float = 1.0
    uncovered: int = 0
    damaged: list[Fault] = field(default_factory=list)


def scrub_store(backend: Backend, *, reading: Reading, report: Report) -> ScrubResult:
    """Check what is to be read. Raises BackendError when the storage goes away."""
    return _Scrub(backend, report).run(reading)


class _Scrub:
    def __init__(self, backend: Backend, report: Report) -> None:
        self._backend, self._report = backend, report
        self._checker = BytesChecker(backend)
        self._threads = min(MOST_THREADS, 2 * (os.cpu_count() or 1))
        self._told = 0.0
        self.result = ScrubResult()

    def run(self, reading: Reading) -> ScrubResult:
        """All of it."""
        for found in in_parallel(self._checker.check, self._small(), self._threads):
            self.result.objects += 1
            self._take(found)
            self._tell("objects", found.object, self.result.objects, None)
        packs, parity = self._large()
        self._hold_against_parity(packs)
        notes = scrubbed_notes(self._backend, packs)
        notes.load()
        self._read(packs, parity, notes, reading)
        self._sum_up(packs, notes)
        return self.result

    def _small(self) -> Iterator[str]:
        """Names of all objects that are read always."""
        for info in self._backend.list(""):
            if not (info.name.startswith(LARGE) and is_content_named(info.name)):
                yield info.name

    def _large(self) -> tuple[PackList, dict[PackName, str]]:
        """Packs and parity objects by number; and the full names of the latter."""
        parity: dict[PackName, str] = {}
        listed: list[tuple[PackName, int]] = []
        for info in chain(*map(self._backend.list, LARGE)):
            if not is_content_named(info.name):
                continue  # one of those that are read always
            name = PackName(info.name.rpartition("/")[2])
            if info.name != pack_object(name):
                parity[name] = info.name
            listed.append((name, info.size))
        return PackList(sorted(listed)), parity

    def _hold_against_parity(self, packs: PackList) -> None:
        """Packs that stripes name and that are not there; and those that are there and in no stripe."""
        stripes, _ = read_stripes(self._backend)  # what is wrong with the parity objects is seen when they are read
        covered = stripe_of(stripes)
        for pack in sorted(covered):
            if packs.number(pack) is None:
                self._take(BytesReport(pack_object(pack), 0, "it is missing: a stripe of parity covers it"))
        if covered:
            parity = sum(len(stripe.objects) for stripe in stripes)
            self.result.uncovered = len(packs) - parity - sum(1 for pack in covered if packs.number(pack) is not None)

    def _read(self, packs: PackList, parity: dict[PackName, str], notes: Notes, reading: Reading) -> None:
        chosen = reading.choose(packs, notes, (), time.time_ns())
        total = sum(packs.sizes[number] for number in chosen)
        pad = ReadingPad(notes, self._report)
        try:
            names = (parity.get(packs.names[n]) or pack_object(packs.names[n]) for n in chosen)
            for number, found in zip(chosen, in_parallel(self._checker.check, names, self._threads), strict=True):
                self.result.packs_read += 1
                self.result.bytes_read += found.bytes_read
                self._take(found)
                pad.note(number, intact=not found.error)
                self._tell("packs", found.object, self.result.packs_read, (len(chosen), total))
        finally:
            pad.flush()

    def _take(self, found: BytesReport) -> None:
        if found.error:
            self.result.damaged.append(Fault(found.object, found.error))
            self._report(Warned("damaged", found.object, found.error))

    def _sum_up(self, packs: PackList, notes: Notes) -> None:
        result = self.result
        result.packs, result.bytes = len(packs), packs.bytes
        result.objects += len(packs)
        since = time.time_ns() - result.days * 24 * 3600 * 10**9
        good = (number not in notes.damaged and at >= since for number, at in enumerate(notes.times))
        recent = sum(size for size, counts in zip(packs.sizes, good, strict=True) if counts)
        result.share = recent / packs.bytes if packs.bytes else 1.0

    def _tell(self, phase: str, current: str, count: int, totals: tuple[int, int] | None) -> None:
        now = time.monotonic()
        if now - self._told >= INTERVAL or (totals and count == totals[0]):
            self._told = now
            number, size = totals or (None, None)
            read = self.result.bytes_read if totals else 0
            self._report(Progress(phase, count, read, current=current, total_files=number, total_bytes=size))
