"""Marking: which frames of which packs hold chunks that are live, in one pass over references and two over the index.

    references ---> unique keys, spooled on disk by ranges of keys
    index      ---> range by range, held against the references of that range ---> a mark for each live frame

Rule: where a chunk lies in several packs, one place is marked, in the pack of the lowest number that is sound and not
condemned; where it lies only in packs that are condemned or damaged, all of its places are. So two who mark at the same
time never rely on each other to keep a chunk. Keys are the first 8 bytes of ids, as in segment_scan.

Memory: a byte a frame (a frame holds 16 chunks of files on average, so half a bit a chunk), 90 bytes a pack, and one
range: some RANGE entries and the references to them. Disk: 8 bytes a reference, in a temporary file. Everything grows
linearly with chunks and references. It reads no pack.
"""

import os
import tempfile
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Self

from .ids import PackName
from .pack_list import PackList
from .segment_scan import KEYS, SegmentScan

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

# Entries held at once, with the references to them 50 bytes each.
RANGE = 1_000_000
# References that are gathered before they are made unique and spooled.
BATCH = 1_000_000

_KEEPS, _DOUBTFUL, _GONE = 0, 1, 2  # ranks of packs


class References:
    """Keys of referenced chunks, on disk, to be read back range by range. A context manager."""

    def __init__(self, ranges: int) -> None:
        import numpy

        self.lows = [-(-(number << 32) // ranges) << 32 for number in range(ranges)]
        self._bounds = numpy.array(self.lows, dtype=numpy.uint64)
        self._pieces: list[list[tuple[int, int]]] = [[] for _ in self.lows]
        self._file = tempfile.TemporaryFile(prefix="silt-references-")  # noqa: SIM115  # closed by __exit__
        self._end = 0
        self._waiting: list[NDArray[numpy.uint64]] = []
        self._count = 0
        self.total = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def add(self, keys: "NDArray[numpy.uint64]") -> None:
        """References, in any order, any of them often."""
        self._waiting.append(keys)
        self._count += len(keys)
        if self._count >= BATCH:
            self.spool()

    def spool(self) -> None:
        """Write what waits."""
        import numpy

        if not self._count:
            return
        keys = _each_once(numpy.concatenate(self._waiting))
        self._waiting, self._count = [], 0
        starts = numpy.searchsorted(keys, self._bounds).tolist()
        data = memoryview(keys.tobytes())
        for pieces, start, stop in zip(self._pieces, starts, [*starts[1:], len(keys)], strict=True):
            if start < stop:
                pieces.append((self._end + start * 8, (stop - start) * 8))
        self._file.write(data)
        self._end += len(data)
        self.total += len(keys)

    def of_range(self, number: int) -> "NDArray[numpy.uint64]":
        """The keys of a range, each once, ascending."""
        import numpy

        self._file.flush()
        pieces = [os.pread(self._file.fileno(), size, at) for at, size in self._pieces[number]]
        return _each_once(numpy.frombuffer(b"".join(pieces), dtype=numpy.uint64))


class Marks:
    """What is live in the packs of a list. Numbers are those of `packs`."""

    def __init__(self, packs: PackList, doubtful: Collection[PackName]) -> None:
        """`doubtful`: packs that are condemned or known to be damaged."""
        import numpy

        self.packs = packs
        self._ranks = numpy.zeros(len(packs), dtype=numpy.uint8)
        for name in doubtful:
            if (number := packs.number(name)) is not None:
                self._ranks[number] = _DOUBTFUL
        self._ranks[packs.missing()] = _GONE
        self.chunks = numpy.zeros(len(packs), dtype=numpy.int64)  # that the index names in each pack
        self.live = numpy.zeros(len(packs), dtype=numpy.int64)  # of them, marked
        self.unknown = 0  # references to chunks that no pack has
        self._first = numpy.zeros(len(packs) + 1, dtype=numpy.int64)  # number of each pack's first frame
        self._frames = numpy.zeros(0, dtype=bool)

    def take(self, segments: SegmentScan, references: References, tell: Callable[[int, int], None]) -> None:
        """Mark. `tell` hears which range of how many is done."""
        self._count(segments)
        ranges = len(references.lows)
        for number, low in enumerate(references.lows):
            high = references.lows[number + 1] if number + 1 < ranges else KEYS
            self._mark(segments, references.of_range(number), low, high)
            tell(number + 1, ranges)

    def live_shares(self) -> "NDArray[numpy.float64]":
        """Of each pack: the share of its frames that hold a live chunk; 1 where the index names none."""
        import numpy

        ends = numpy.concatenate(([0], numpy.cumsum(self._frames)))
        live = ends[self._first[1:]] - ends[self._first[:-1]]
        frames = numpy.diff(self._first)
        return numpy.where(frames > 0, live / numpy.maximum(frames, 1), 1.0)

    def frames(self, number: int) -> "NDArray[numpy.bool_]":
        """Of each frame of a pack that the index names: whether it holds a live chunk."""
        return self._frames[self._first[number] : self._first[number + 1]]

    def _count(self, segments: SegmentScan) -> None:
        import numpy

        frames = numpy.zeros(len(self.packs), dtype=numpy.int64)
        for _, places in segments.rows(self.packs):
            numbers = (places >> numpy.uint64(32)).astype(numpy.int64)
            self.chunks += numpy.bincount(numbers, minlength=len(self.packs))
            numpy.maximum.at(frames, numbers, _frames_of(places) + 1)
        self._first[1:] = numpy.cumsum(frames)
        self._frames = numpy.zeros(int(self._first[-1]), dtype=bool)

    def _mark(self, segments: SegmentScan, wanted: "NDArray[numpy.uint64]", low: int, high: int) -> None:
        import numpy

        parts = [_among(keys, places, wanted) for keys, places in segments.rows(self.packs, low, high)]
        which = numpy.concatenate([part[0] for part in parts]) if parts else numpy.zeros(0, dtype=numpy.int64)
        places = numpy.concatenate([part[1] for part in parts]) if parts else wanted[:0]
        del parts
        there = self._ranks_of(places) != _GONE
        if not there.all():
            which, places = which[there], places[there]
        found = numpy.bincount(which, minlength=len(wanted))
        self.unknown += int((found == 0).sum())
        often = found[which] > 1
        self._keep(places[~often])  # hardly a chunk lies in several places: those alone are sorted
        self._keep(self._chosen(which[often], places[often]))

    def _ranks_of(self, places: "NDArray[numpy.uint64]") -> "NDArray[numpy.uint8]":
        import numpy

        return self._ranks[(places >> numpy.uint64(32)).astype(numpy.int64)]

    def _chosen(self, which: "NDArray[numpy.int64]", places: "NDArray[numpy.uint64]") -> "NDArray[numpy.uint64]":
        """Of the places of each chunk (`which`): the one that is kept, or all where none is sound."""
        import numpy

        ranks = self._ranks_of(places)
        order = numpy.lexsort((places, ranks, which))
        which, places, ranks = which[order], places[order], ranks[order]
        first = numpy.ones(len(which), dtype=bool)
        first[1:] = which[1:] != which[:-1]
        best = ranks[first][numpy.cumsum(first) - 1] if len(which) else ranks
        # Two segments may name the same place, while they are merged.
        return _each_once(places[first | (best != _KEEPS)])

    def _keep(self, places: "NDArray[numpy.uint64]") -> None:
        import numpy

        numbers = (places >> numpy.uint64(32)).astype(numpy.int64)
        self.live += numpy.bincount(numbers, minlength=len(self.packs))
        self._frames[self._first[numbers] + _frames_of(places)] = True


def _each_once(values: "NDArray[numpy.uint64]") -> "NDArray[numpy.uint64]":
    """Ascending, each once. numpy's own `unique` hashes: it took three quarters of all marking."""
    import numpy

    values = numpy.sort(values)
    first = numpy.ones(len(values), dtype=bool)
    first[1:] = values[1:] != values[:-1]
    return values[first]


def _frames_of(places: "NDArray[numpy.uint64]") -> "NDArray[numpy.int64]":
    import numpy

    return (places >> numpy.uint64(16) & numpy.uint64(0xFFFF)).astype(numpy.int64)


def _among(
    keys: "NDArray[numpy.uint64]", places: "NDArray[numpy.uint64]", wanted: "NDArray[numpy.uint64]"
) -> tuple["NDArray[numpy.int64]", "NDArray[numpy.uint64]"]:
    """Which of the wanted each row is of, and its place, of the rows whose key is wanted; both are ascending."""
    import numpy

    if not len(wanted):
        return numpy.zeros(0, dtype=numpy.int64), places[:0]
    at = numpy.searchsorted(wanted, keys)
    at[at == len(wanted)] = 0
    found = wanted[at] == keys
    return at[found], places[found]
