"""The packs of a store by number: what counts over all packs keeps 4 or 8 bytes a number instead of a name.

Rule: numbers count from 0 in the order of names and hold for one list only. A pack that an index names and that is not
there has a number, too; its size is then MISSING. Memory: 40 bytes a pack, 16 MB for 400,000 of them.
It is a picture of one moment: packs that are stored later are not in it.
"""

from array import array
from collections.abc import Collection, Iterable, Iterator

from .backend import Backend
from .ids import PackName, is_content_named
from .pack_names import PackNames

MISSING = -1


class PackList:
    """Names and sizes (bytes) of packs; `names[number]` and `sizes[number]`."""

    def __init__(self, listed: Iterable[tuple[PackName, int]], named: Iterable[PackName] = ()) -> None:
        """`listed` are those that are there, sorted by name; `named` those that an index names, in any order."""
        self.sizes = array("q")
        self.names = PackNames.of(self._noted(listed))
        assert len(self.names) == len(self.sizes), "packs were not listed in order"
        missing = [name for name in named if name not in self.names]
        if missing:
            self._add(missing)

    def _noted(self, listed: Iterable[tuple[PackName, int]]) -> Iterator[PackName]:
        for name, size in listed:
            self.sizes.append(size)
            yield name

    def _add(self, missing: Collection[PackName]) -> None:
        names = PackNames.of(sorted({*self.names, *missing}))
        sizes = array("q", [MISSING]) * len(names)
        for name, size in zip(self.names, self.sizes, strict=True):
            number = names.number(name)
            assert number is not None
            sizes[number] = size
        self.names, self.sizes = names, sizes

    def __len__(self) -> int:
        return len(self.names)

    def number(self, name: PackName) -> int | None:
        """The number of a pack, or None when it is not in the list."""
        return self.names.number(name)

    def missing(self) -> list[int]:
        """The numbers of those that are not there."""
        return [number for number, size in enumerate(self.sizes) if size == MISSING]

    @property
    def bytes(self) -> int:
        """The size of all packs together."""
        return sum(size for size in self.sizes if size != MISSING)


def listed_packs(backend: Backend) -> Iterator[tuple[PackName, int]]:
    """(name, size) of every pack in the store, sorted. What lies there under another kind of name is no pack."""
    for info in backend.list("packs/"):
        if is_content_named(info.name):
            yield PackName(info.name.rpartition("/")[2]), info.size
