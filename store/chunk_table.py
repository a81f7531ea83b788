"""A table of the chunks of a store, or of a part of them: what the index says, held against what the footers say.

Rule: rows come from the index (`add`), and from the footers of packs that the index does not know (`adopt`); `seal`
sorts them; then each footer confirms the rows that name its pack, and gives their lengths; only then is the table
asked. A row is two numbers of 64 bits: the key (the first 8 bytes of a chunk's id) and, until it is confirmed, the
place. Memory: 32 bytes a row while it is sorted, 16 afterwards. Whoever has more chunks than memory takes one range of
keys after the other.
"""

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

from .pack import Footer

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

# info of a row := UNCONFIRMED | place_number, then: ADOPTED (or not) | pack number << 32 | length of the chunk
_UNCONFIRMED = 1 << 63
_ADOPTED = 1 << 62
_PACK = (1 << 30) - 1


class ChunkTable:
    """Chunks whose key is in [low, high). Keys and numbers are numpy arrays of 64 bits without sign."""

    def __init__(self, low: int, high: int) -> None:
        import numpy

        self._low, self._high = low, high
        self._added: list[tuple[NDArray[numpy.uint64], NDArray[numpy.uint64]]] = []
        self._keys = self._info = numpy.empty(0, dtype=numpy.uint64)

    def add(self, keys: "NDArray[numpy.uint64]", places: "NDArray[numpy.uint64]") -> None:
        """Rows of the index: keys and `place_number`s."""
        import numpy

        self._added.append((keys, places | numpy.uint64(_UNCONFIRMED)))

    def adopt(self, number: int, footer: Footer) -> None:
        """The chunks of a pack that no segment names; `number` is the pack's."""
        import numpy

        keys, _, lengths = self._columns(number, footer)
        self._added.append((keys, lengths | numpy.uint64(_ADOPTED | number << 32)))

    def seal(self) -> None:
        """All rows were added: sort them."""
        import numpy

        infos = [info for _, info in self._added]
        keys = _joined([key for key, _ in self._added])
        self._added = []
        order = numpy.argsort(keys, kind="stable")
        self._keys = keys[order]
        del keys
        self._info = _joined(infos)[order]

    def __len__(self) -> int:
        return len(self._keys)

    def confirm(self, number: int, footer: Footer) -> None:
        """The footer of a pack was read: rows that name one of its places rightly are confirmed."""
        import numpy

        keys, places, lengths = self._columns(number, footer)
        sought = places | numpy.uint64(_UNCONFIRMED)
        known = lengths | numpy.uint64(number << 32)
        at = numpy.searchsorted(self._keys, keys)
        rows = numpy.arange(len(keys))
        while len(rows):  # one round, but for chunks that were stored more than once
            rows = rows[at[rows] < len(self._keys)]
            rows = rows[self._keys[at[rows]] == keys[rows]]
            right = rows[self._info[at[rows]] == sought[rows]]
            self._info[at[right]] = known[right]
            at = at + 1

    def unconfirmed(self) -> Iterator[tuple[int, int]]:
        """(number of the pack, key) of each row that no footer confirmed."""
        import numpy

        found = self._info >= numpy.uint64(_UNCONFIRMED)
        packs = (self._info[found] ^ numpy.uint64(_UNCONFIRMED)) >> numpy.uint64(32)
        return zip(packs.tolist(), self._keys[found].tolist(), strict=True)

    def look_up(
        self, keys: "NDArray[numpy.uint64]", ends: "NDArray[numpy.uint64]"
    ) -> tuple["NDArray[numpy.uint64]", dict[int, int], set[int]]:
        """What references to chunks find here; `ends` says how far into its chunk each reaches. Other keys are passed
        over.

        Returns the keys that are in no row; key -> length of chunks that are too short; the numbers of adopted packs
        in use.
        """
        import numpy

        inside = (keys >= numpy.uint64(self._low)) & (keys <= numpy.uint64(self._high - 1))
        keys, ends = keys[inside], ends[inside]
        order = numpy.argsort(keys)  # a third of the time: the search then goes through memory in one direction
        keys, ends = keys[order], ends[order]
        at = numpy.searchsorted(self._keys, keys)
        found = at < len(self._keys)
        found[found] = self._keys[at[found]] == keys[found]
        info = self._info[at[found]]
        confirmed = info < numpy.uint64(_UNCONFIRMED)
        lengths = info & numpy.uint64(0xFFFFFFFF)
        short = confirmed & (lengths < ends[found])
        too_short = zip(keys[found][short].tolist(), lengths[short].tolist(), strict=True)
        adopted = info[confirmed & (info >= numpy.uint64(_ADOPTED))]
        numbers = numpy.unique(adopted >> numpy.uint64(32) & numpy.uint64(_PACK)).tolist()
        return numpy.unique(keys[~found]), dict(too_short), set(numbers)

    def _columns(
        self, number: int, footer: Footer
    ) -> tuple["NDArray[numpy.uint64]", "NDArray[numpy.uint64]", "NDArray[numpy.uint64]"]:
        """Keys, places and lengths of the chunks of a pack that are in this table's range."""
        import numpy

        keys = footer_keys(footer)
        counts = numpy.array([len(frame.ids) for frame in footer.frames], dtype=numpy.int64)
        frames = numpy.repeat(numpy.arange(len(counts)), counts)
        slots = numpy.arange(len(keys)) - numpy.repeat(numpy.cumsum(counts) - counts, counts)
        places = (frames << 16 | slots).astype(numpy.uint64) | numpy.uint64(number << 32)
        lengths = numpy.fromiter(
            chain.from_iterable(frame.lengths for frame in footer.frames), dtype=numpy.uint64, count=len(keys)
        )
        inside = (keys >= numpy.uint64(self._low)) & (keys <= numpy.uint64(self._high - 1))
        return keys[inside], places[inside], lengths[inside]


def footer_keys(footer: Footer) -> "NDArray[numpy.uint64]":
    """The key of each chunk of a pack, in the order of frames and slots."""
    import numpy

    ids = b"".join(chain.from_iterable(frame.ids for frame in footer.frames))
    return numpy.frombuffer(ids, dtype=">u8")[::4].astype(numpy.uint64)


def _joined(parts: "list[NDArray[numpy.uint64]]") -> "NDArray[numpy.uint64]":
    import numpy

    return numpy.concatenate(parts) if parts else numpy.empty(0, dtype=numpy.uint64)
