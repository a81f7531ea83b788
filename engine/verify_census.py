"""The census: what the index says, what the footers say, and what the roots ask for, held against each other.

    index --- every entry ---> footers: is the chunk where the index says?
    roots --- every reference ---> index: is the chunk known, and long enough?

Rule: roots are read before the index, and the index before the list of packs, the other way round than a backup writes:
so a backup at work is never mistaken for damage. Nor is garbage collection: where the index does not name a pack any
more that is gone, it was collected. Footers of all packs are read, which is one small request a pack: the index does
not know the size of a pack, and everything else can be made anew from footers.
Memory is bounded by PART: a store of more chunks is looked at in several rounds, each over one range of chunk ids.
"""

from collections.abc import Iterator

from siltstone.store import (
    MISSING_OBJECT,
    BackendError,
    ChunkTable,
    Corrupt,
    Footer,
    ObjectMissing,
    PackList,
    PackName,
    SegmentScan,
    Store,
    fault_of,
    footer_keys,
    in_parallel,
    listed_packs,
    pack_object,
)

from .live import Live
from .verify_damage import DamageLog, Key
from .verify_tell import Teller

# Chunks in one round: 32 bytes each while they are sorted, 16 afterwards. 100 million chunks take 34 rounds.
PART = 3_000_000

# Footers are small and far apart: several requests at once hide what each of them waits.
FOOTER_THREADS = 4


class Census:
    """The chunks of a store. Making one reads the index and lists the packs."""

    def __init__(self, store: Store, log: DamageLog, tell: Teller) -> None:
        self._store, self._log, self._tell = store, log, tell
        self.segments = SegmentScan(store.backend, store.ring.index_key if store.config.encrypted else b"")
        self.segments.check()
        for fault in self.segments.faults:
            log.add(fault.object, fault.error)
        self.packs = PackList(listed_packs(store.backend), self.segments.named)
        self.unusable: set[int] = set()  # packs of which nothing can be read
        self.collected: set[int] = set()  # those of them that were collected meanwhile
        self.adopted = [
            number for number, name in enumerate(self.packs.names) if name not in self.segments.named
        ]  # packs that no good segment names
        self.used: set[int] = set()  # those of them that roots need
        self.unknown: set[Key] = set()  # references to chunks that are nowhere
        self.short: dict[Key, int] = {}  # chunks that references reach beyond, with their lengths
        self.chunks = 0
        for number in self.packs.missing():
            self._discard(number, MISSING_OBJECT)

    def take(self, live: Live) -> None:
        """Hold everything against everything. Fills `unusable`, `used`, `unknown` and `short`."""
        self.used, self.unknown, self.short, self.chunks = set(), set(), {}, 0
        chunks = self.segments.entries
        if self.adopted:
            chunks += sum(len(footer_keys(footer)) for _, footer in self.footers(self.adopted))
        rounds = max(1, -(-chunks // PART))
        for number in range(rounds):
            low, high = ((1 << 64) * at // rounds for at in (number, number + 1))
            table = self._confirmed(low, high)
            self.chunks += len(table)
            for keys, ends in live.references(self._tell.entries):
                unknown, short, used = table.look_up(keys, ends)
                self.unknown.update(unknown.tolist())
                self.short |= short
                self.used |= used

    def _confirmed(self, low: int, high: int) -> ChunkTable:
        while True:  # again, where something was collected on the way
            collected = len(self.collected)
            table = self._table(low, high)
            wrong = self._confirm(table)
            if len(self.collected) == collected:
                break
        for number, count in wrong.items():
            pack = pack_object(self.packs.names[number])
            self._log.add("index/", f"it names places in {pack} where {count} of its chunks are not")
        return table

    def _table(self, low: int, high: int) -> ChunkTable:
        import numpy

        collected = numpy.array(sorted(self.collected), dtype=numpy.uint64)
        table = ChunkTable(low, high)
        for keys, places in self.segments.rows(self.packs, low, high):
            there = numpy.isin(places >> numpy.uint64(32), collected, invert=True)
            table.add(keys[there], places[there])
        for number, footer in self.footers(self.adopted):
            table.adopt(number, footer)
        table.seal()
        return table

    def _confirm(self, table: ChunkTable) -> dict[int, int]:
        """Hold it against the footers; how many entries are wrong, of each pack."""
        adopted = set(self.adopted)
        indexed = [number for number in range(len(self.packs)) if number not in adopted]
        for read, (number, footer) in enumerate(self.footers(indexed), 1):
            table.confirm(number, footer)
            self._tell.structure(read, len(indexed), footer.pack)
        wrong: dict[int, int] = {}
        for number, key in table.unconfirmed():
            if number in self.collected:
                continue
            if number in self.unusable:
                self._log.lose(pack_object(self.packs.names[number]), [key])
            else:
                wrong[number] = wrong.get(number, 0) + 1
                self._log.lose("index/", [key])
        return wrong

    def footers(self, numbers: list[int]) -> Iterator[tuple[int, Footer]]:
        """The footers of those packs that have a readable one; the others are noted, and `unusable` from then on."""
        usable = (number for number in numbers if number not in self.unusable)
        for number, footer in in_parallel(self._footer, usable, FOOTER_THREADS):
            if isinstance(footer, Footer):
                yield number, footer
            else:
                self._discard(number, footer)

    def _footer(self, number: int) -> tuple[int, Footer | str]:
        name = self.packs.names[number]
        try:
            return number, self._store.footer(name)
        except (Corrupt, ObjectMissing, BackendError) as error:
            return number, fault_of(pack_object(name), error, self._store.backend).error

    def _discard(self, number: int, error: str) -> None:
        self.unusable.add(number)
        name = self.packs.names[number]
        if error == MISSING_OBJECT and not self._store.index.names(name):
            self.collected.add(number)
        else:
            self._log.add(pack_object(name), error)

    def discard(self, pack: PackName, error: str) -> None:
        """A pack turned out to be unreadable."""
        number = self.packs.number(pack)
        if number is not None and number not in self.unusable:
            self._discard(number, error)
            if number in self.collected:
                return
            keys = self.segments.keys_in(self.packs, {number})
            self._log.lose(pack_object(pack), (key for _, key in keys))
