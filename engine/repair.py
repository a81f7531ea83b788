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
    NewerFormat,
    ObjectMissing,
    Recovered,
    Remedy,
    SegmentScan,
    Store,
    StoreError,
    listed_packs,
)

from .events import Noted, Report
from .levels import level_refs, read_level

Step = Callable[[Store], Iterator[Remedy]]


def plan_repair(recovered: Recovered) -> Iterator[Remedy]:
    """Every remedy of every step, in the order in which they are to be applied. NoKey where the key does not read."""
    recovered.opened.ring.need("manage", "repairing a store")
    yield from recovered.remedies
    store = Store(recovered.opened)
    for step in STEPS:
        yield from step(store)


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


def name_missing_packs(store: Store) -> Iterator[Remedy]:
    """Packs that the index names and that are not there."""
    there = {name for name, _ in listed_packs(store.backend)}
    missing = store.index.packs(by_damaged=True) - there
    if missing:
        yield Remedy(
            "packs/",
            f"{len(missing)} packs are missing that the index names",
            advice="'silt verify' names the files; a backup that still has their content stores it again",
        )


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


def name_lost_roots(store: Store) -> Iterator[Remedy]:
    """Levels whose root cannot be read, and WAL files likewise. Their chunks are there; what leads to them is not."""
    names = [ref.name for ref in level_refs(store)]
    advice = "put it back from a copy of the store; other levels do not need it"
    for ref in level_refs(store):
        try:
            read_level(store, ref)
        except (Corrupt, NewerFormat, ObjectMissing) as error:
            yield Remedy(ref.name, str(error).removeprefix(f"{ref.name}: "), advice=advice)
    for name in store.root_names("wal/"):
        try:
            store.read_root(name)
        except (Corrupt, ObjectMissing) as error:
            yield Remedy(name, str(error).removeprefix(f"{name}: "), advice="recovery stops at this file")
    if not names and any(True for _ in listed_packs(store.backend)):
        yield Remedy("backups/", "no level is there, although there are packs", advice="put backups/ back from a copy")


STEPS: tuple[Step, ...] = (name_missing_packs, rewrite_index, name_lost_roots)
