"""Verification: is everything there that the levels and the archived WAL need, and is it what was stored?

    structure   config, keys, leases, notes, index segments (all blocks), footers of all packs, roots, manifests,
                and that every chunk that a root refers to is known and long enough: always
    packs       every byte, frame and chunk of as many packs as the budget allows, the longest unverified first

Rule: damage is found, never repaired, and never ends the work: each damaged object is named with the levels and files
that need what was in it. Only the storage as a whole going away is an error. What was read is remembered in the store.

Structure reads the footers of packs, because no index can tell a truncated pack from a whole one; that is one request
a pack, some 100 KiB in 32 MiB. It does not read contents: a flipped bit in a pack is found by reading packs, and not
before. A level whose root is gone is missed when a later one of its group is there; the newest one cannot be missed.
"""

import time

from siltstone.store import Store, check_small_objects, sound_stripes, verified_notes

from .events import Report
from .live import Live
from .read_plan import Reading
from .verify_blame import OWN_ROOT, Blame, Losses, label
from .verify_census import Census
from .verify_copies import find_copies
from .verify_damage import DamageLog
from .verify_packs import PacksRead, read_packs
from .verify_result import NO_DATA, Budget, Coverage, Stretch, VerifyResult
from .verify_tell import Teller
from .verify_wal import WalBlame, wal_gaps

COVERAGE_DAYS = 30
_DAY = 24 * 3600 * 10**9


def verify_store(
    store: Store,
    *,
    budget: Budget = NO_DATA,
    reading: Reading | None = None,
    report: Report,
    days: int = COVERAGE_DAYS,
) -> VerifyResult:
    """Verify the structure, and of the packs what the budget says, or the `reading`, which says it in full; `days` is
    what the coverage looks back.

    Raises BackendError when the storage goes away, NoKey when this host's keys cannot read, NewerFormat.
    """
    store.ring.need("read", "verifying")
    with store.reading():
        run = _Verification(store, report)
        run.check_structure()
        run.read_packs(reading or Reading(budget))
        run.assign_blame()
        return run.result(days)


class _Verification:
    def __init__(self, store: Store, report: Report) -> None:
        self._store, self._report = store, report
        self._log, self._tell = DamageLog(report), Teller(report)
        self._read = PacksRead(0, 0)

    def check_structure(self) -> None:
        """Everything but the contents of packs."""
        for fault in check_small_objects(self._store.opened):
            self._log.add(fault.object, fault.error)
        self._live = Live(self._store, self._log)
        self._manifests = self._live.manifests
        self._store.index.load()  # it may be older than the newest level
        self._census = Census(self._store, self._log, self._tell)
        self._notes = verified_notes(self._store.opened, self._census.packs)
        self._notes.load()
        for fault in (*self._notes.faults, *sound_stripes(self._store.backend)[1]):
            self._log.add(fault.object, fault.error)
        self._census.take(self._live)

    def read_packs(self, reading: Reading) -> None:
        """The contents of packs."""
        self._read = read_packs(self._store, self._census, self._notes, reading, self._log, self._tell, self._report)

    def assign_blame(self) -> None:
        """Find out what the damage means: other copies first, then levels and files."""
        self._find_copies()
        self._log_lost_chunks()
        self._log_lost_segments()
        self.damages = self._log.damages()
        own = dict.fromkeys(self._manifests.senseless, (OWN_ROOT,))
        losses = Losses({**self._log.gone(), **own}, self._census.short)
        if losses:
            Blame(self._store, self._manifests, losses, self.damages).run()
        if losses or self._live.wal.lost:
            WalBlame(self._store, self._live, losses).assign(self.damages)
        for name, ref in self._live.lost_roots:
            self.damages[name].levels[label(ref)] = []
            self.damages[name].unlisted[label(ref)] = [Stretch()]

    def _find_copies(self) -> None:
        """As long as that makes more of the manifests readable, hold what is in them against the store again."""
        while True:
            sought = self._census.unknown | self._manifests.unreadable.keys()
            find_copies(self._store, self._census, self._log, sought)
            found = {key: self._log.copies[key] for key in self._manifests.unreadable if key in self._log.copies}
            if found.keys() <= self._manifests.places.keys():
                return
            self._manifests.places |= found
            self._manifests.unreadable = {}
            self._census.take(self._live)

    def _log_lost_chunks(self) -> None:
        """What roots need and no readable pack holds, beyond the chunks of packs that are known to be damaged."""
        needed = self._census.unknown | self._manifests.unreadable.keys()
        nowhere = {key for key in needed if key not in self._log.copies and key not in self._log.lost}
        if nowhere:
            self._log.add("packs/", f"{len(nowhere)} chunks that are needed are in no pack that can be read")
            self._log.lose("packs/", nowhere)

    def _log_lost_segments(self) -> None:
        """Every committed chunk is in an index segment. One that is in a pack alone shows that a segment is gone."""
        count = len(self._census.used) or len(self._census.unknown & self._log.copies.keys())
        if count and not self._census.segments.faults:
            what = f"{count} packs" if self._census.used else f"{count} chunks"
            error = f"a segment is missing: {what} that are needed are in none; nothing is lost: packs tell it, too"
            self._log.add("index/", error)

    def result(self, days: int) -> VerifyResult:
        """What came of it."""
        census = self._census
        known = {
            number for name in census.segments.named_by_damaged if (number := census.packs.number(name)) is not None
        }
        unreferenced = set(census.adopted) - census.used - known - census.unusable
        return VerifyResult(
            levels=len(self._live.levels),
            entries=self._manifests.entries,
            wal_files=len(self._live.wal.names),
            wal_gaps=wal_gaps(self._store),
            chunks=census.chunks,
            packs=len(census.packs) - len(census.packs.missing()),
            bytes=census.packs.bytes,
            packs_read=self._read.packs,
            bytes_read=self._read.bytes,
            unreferenced=len(unreferenced),
            unreferenced_bytes=sum(census.packs.sizes[number] for number in unreferenced),
            damaged=[self.damages[name] for name in sorted(self.damages)],
            coverage=self._coverage(days),
        )

    def _coverage(self, days: int) -> Coverage:
        packs, log = self._census.packs, self._log
        unsound = self._notes.damaged | self._census.unusable
        unsound |= {number for name in log.frames if (number := packs.number(name)) is not None}
        times = [0 if number in unsound else at for number, at in enumerate(self._notes.times)]
        since = time.time_ns() - days * _DAY
        recent = sum(size for size, at in zip(packs.sizes, times, strict=True) if size > 0 and at >= since)
        share = recent / packs.bytes if packs.bytes else 1.0
        return Coverage(days, share, min(times, default=0) or None)
