"""Repair: what is wrong with a store and can be put right from what is left of it, and then doing it.

Each step looks at one part and yields remedies, in the order in which they are applied: config and keys first, without
which nothing opens; then packs, since the index is made from them; then the index; then what leads to levels.

Rule: everything is looked at and said before anything is changed, and nothing is deleted that was not replaced. A step
never raises for damage that it finds: that is a remedy without an action. What a remedy needs is read when it is
applied, so that it sees what the ones before it did.
It does not read the contents of packs ('silt verify --read-data all' does), and cannot bring back what no copy holds.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from siltstone.store import (
    Corrupt,
    PackList,
    Recovered,
    Remedy,
    SegmentScan,
    Store,
    StoreError,
    listed_packs,
    protect,
    scrubbed_notes,
    sound_stripes,
    verified_notes,
)

from .events import Noted, Report
from .repair_packs import mend_packs
from .repair_roots import mend_roots

Step = Callable[[Store], Iterator[Remedy]]


def plan_repair(recovered: Recovered, partner: Store | None = None) -> Iterator[Remedy]:
    """Every remedy of every step, in the order in which they are to be applied. NoKey where the key does not read.

    `partner`: another store that has the same levels, from which what is lost here may be taken.
    """
    recovered.opened.ring.need("manage", "repairing a store")
    yield from recovered.remedies
    store = Store(recovered.opened)
    yield from mend_packs(store, partner)
    for step in STEPS:
        yield from step(store)
    yield from mend_roots(store, partner)


def apply_remedies(remedies: Iterable[Remedy], report: Report) -> list[Remedy]:
    """Apply those that have an action; the ones that failed. Each is reported when it is done."""
    failed = []
    for remedy in remedies:
        if remedy.apply is None:
            continue
        try:
            remedy.apply()
        except StoreError as error:
            report(Noted(f"{remedy.object}: {remedy.action}: failed: {error}"))
            failed.append(remedy)
        else:
            report(Noted(f"{remedy.object}: {remedy.action}: done"))
    return failed


def rewrite_index(store: Store) -> Iterator[Remedy]:
    """Segments that are damaged, and packs that no sound segment names."""
    scan = SegmentScan(store.backend, store.ring.index_key if store.config.encrypted else b"")
    scan.check()
    unnamed = sum(1 for name, _ in listed_packs(store.backend) if name not in scan.named)
    wrong = []
    if scan.faults:
        wrong.append(f"{len(scan.faults)} segments are damaged")
    if unnamed:
        wrong.append(f"{unnamed} packs are named by no sound segment")
    if wrong:
        damaged = {fault.object: Corrupt(fault.object, fault.error) for fault in scan.faults}
        action = f"write it anew, from the footers of {unnamed} packs" if unnamed else "drop the damaged segments"
        yield Remedy("index/", " and ".join(wrong), action, apply=partial(_adopt, store, damaged))


def _adopt(store: Store, damaged: dict[str, Corrupt]) -> None:
    """A session does it when it begins: it takes in what no sound segment names, and drops what says nothing more."""
    store.index.load()
    store.index.damaged.update(damaged)
    with store.writer():
        pass


def mend_small_things(store: Store) -> Iterator[Remedy]:
    """Parity objects, and notes of what was read."""
    for fault in sound_stripes(store.backend)[1]:
        action = "make it again from the packs that it covers"
        yield Remedy(fault.object, fault.error, action, apply=partial(protect, store.backend))
    only = PackList([])
    for notes in (verified_notes(store.opened, only), scrubbed_notes(store.backend, only)):
        notes.load()
        for fault in notes.faults:
            yield Remedy(fault.object, fault.error, "remove it", apply=partial(store.backend.delete, fault.object))


STEPS: tuple[Step, ...] = (rewrite_index, mend_small_things)
