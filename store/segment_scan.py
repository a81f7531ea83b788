"""The whole index, entry by entry: for checks that look at all of it, not for lookups.

Rule: `check` goes first and reads every segment through the backend (storage that fails under a memory map kills the
process); only what it found good is mapped afterwards. A segment in which anything is damaged counts as absent, with
all its entries: whoever needs them takes them from the footers of the packs. Segments that are merged before they are
mapped are followed; after that rows are those of one moment, however often they are asked for.

Memory: one segment while it is checked, at most 64 MiB (index.MERGE_LIMIT); after that STRIP entries at a time, and
what is around the entries: 8 bytes for 128 of them, 105 a pack.
"""

from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from blake3 import blake3

from .backend import Backend
from .check import Fault, fault_of
from .errors import Corrupt, ObjectMissing, StoreError
from .ids import ChunkId, PackName
from .index import INDEX
from .pack_list import PackList
from .pack_names import PackNames
from .segment import BLOCK_ENTRIES, Segment

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

STRIP = 1024 * BLOCK_ENTRIES
KEYS = 1 << 64  # one more than the largest key
# The columns of an entry. The key is what begins the id: 8 bytes of keyed BLAKE3 are as good as all 32 among the chunks
# of one store, and half the memory of the next best.
_COLUMNS = [("key", ">u8"), ("id", "V16"), ("pack", ">u4"), ("frame", ">u2"), ("slot", ">u2")]
_HARMLESS = "nothing is lost: what it tells is in the footers of the packs, and the next backup writes it anew"


def place_number(pack: int, frame: int, slot: int) -> int:
    """A place in 63 bits: number of the pack (31), frame (16), slot (16)."""
    return pack << 32 | frame << 16 | slot


class SegmentScan:
    """Every segment of a store. One thread at a time."""

    def __init__(self, backend: Backend, index_key: bytes) -> None:
        self._backend, self._key = backend, index_key
        self._seen: set[str] = set()
        self.listed: list[str] | None = None  # the names of all segments, as last seen
        self._good: dict[str, int] = {}  # name -> entries
        self._packs: dict[str, bytes] = {}  # their tables of packs
        self._replaced: set[str] = set()
        self._opened: dict[str, tuple[Segment, _Numbering]] = {}
        self._numbered: PackList | None = None  # that of the numberings
        self.faults: list[Fault] = []
        self.named = PackNames()  # packs, by good segments
        self.named_by_damaged: set[PackName] = set()  # by those whose head at least can be read

    def check(self) -> list[str]:
        """Read every segment that was not read before and open all of it; the names of those that are good.

        Listed until two lists are the same: one that is merged away while a list is read may be missing from it, and
        the one that stands for it as well, if its name comes earlier.
        """
        added: list[str] = []
        while (listed := [info.name for info in self._backend.list(INDEX)]) != self.listed:
            self.listed = listed
            for name in listed:
                if name in self._seen:
                    continue
                self._seen.add(name)
                with suppress(ObjectMissing):  # merged into another, which the next list has
                    if self._check(name):
                        added.append(name)
        for name in self._replaced & self._good.keys():  # what a session was cut off from deleting
            del self._good[name], self._packs[name]
        self.named = PackNames.joined(self._packs.values())
        return [name for name in added if name in self._good]

    @property
    def entries(self) -> int:
        """Entries of all good segments; a chunk that two of them hold counts twice."""
        return sum(self._good.values())

    def _check(self, name: str) -> bool:
        try:
            data = self._backend.get(name)
            segment = Segment(name, memoryview(data), self._key)
        except ObjectMissing:
            raise
        except StoreError as error:
            self._blame(name, error)
            return False
        try:
            for number in range(segment.block_count):
                segment.block(number)
            if INDEX + blake3(data).hexdigest() != name:
                raise Corrupt(name, "bytes of it have changed")
        except Corrupt as error:
            self._blame(name, error)
            self.named_by_damaged.update(segment.packs())
            return False
        self._good[name] = segment.entries
        self._packs[name] = segment.pack_table
        self._replaced |= segment.head.replaces
        return True

    def _blame(self, name: str, error: StoreError) -> None:
        self.faults.append(Fault(name, f"{fault_of(name, error, self._backend).error}; {_HARMLESS}"))

    def rows(
        self, packs: PackList, low: int = 0, high: int = KEYS
    ) -> Iterator[tuple["NDArray[numpy.uint64]", "NDArray[numpy.uint64]"]]:
        """(keys, places) of the entries with low <= key < high, ascending within each strip.

        Keys are the first 8 bytes of ids; places are `place_number`s with the numbers of `packs`, and entries of packs
        that are not in it are left out. An entry may come twice.
        """
        waiting = list(self._good)
        while waiting:
            name = waiting.pop(0)
            try:
                segment, numbering = self._open(name, packs)
            except ObjectMissing:
                waiting += self.check()
                continue
            yield from _strips(segment, numbering, low, high)

    def _open(self, name: str, packs: PackList) -> "tuple[Segment, _Numbering]":
        if packs is not self._numbered:
            self._numbered, self._opened = packs, {}
        if name not in self._opened:
            segment = Segment(name, self._backend.view(name), self._key, filtered=False)
            self._opened[name] = segment, _Numbering(segment, packs)
        return self._opened[name]

    def keys_in(self, packs: PackList, numbers: Collection[int]) -> Iterator[tuple[int, int]]:
        """(number of the pack, key) of every entry whose place is in one of these packs."""
        import numpy

        if not numbers:
            return
        wanted = numpy.array(sorted(numbers), dtype=numpy.uint64)
        for keys, places in self.rows(packs):
            theirs = places >> numpy.uint64(32)
            found = numpy.isin(theirs, wanted)
            yield from zip(theirs[found].tolist(), keys[found].tolist(), strict=True)


class _Numbering:
    """The packs of a segment, by their numbers in a list: whether each is in it, and its number there."""

    def __init__(self, segment: Segment, packs: PackList) -> None:
        import numpy

        numbers = [packs.number(name) for name in segment.packs()]
        self.known = numpy.array([number is not None for number in numbers], dtype=bool)
        self.all_known = bool(self.known.all())
        self.numbers = numpy.array([number or 0 for number in numbers], dtype=numpy.uint64)


def _strips(
    segment: Segment, numbering: _Numbering, low: int, high: int
) -> Iterator[tuple["NDArray[numpy.uint64]", "NDArray[numpy.uint64]"]]:
    import numpy

    first = max(0, segment.block_of(_id_at(low)))
    last = segment.block_of(_id_at(high)) if high < KEYS else segment.block_count - 1
    step = STRIP // BLOCK_ENTRIES
    for start in range(first, last + 1, step):
        data = b"".join(segment.block(number) for number in range(start, min(start + step, last + 1)))
        table = numpy.frombuffer(data, dtype=_COLUMNS)
        keys = table["key"].astype(numpy.uint64)
        begin = int(numpy.searchsorted(keys, numpy.uint64(low)))
        end = int(numpy.searchsorted(keys, numpy.uint64(high - 1), side="right"))
        table, keys = table[begin:end], keys[begin:end]
        packs = table["pack"].astype(numpy.int64)
        if not numbering.all_known:
            known = numbering.known[packs]
            table, keys, packs = table[known], keys[known], packs[known]
        places = numbering.numbers[packs] << numpy.uint64(16)
        places |= table["frame"]
        places <<= numpy.uint64(16)
        places |= table["slot"]
        yield keys, places


def _id_at(key: int) -> ChunkId:
    return ChunkId(key.to_bytes(8, "big") + bytes(24))
