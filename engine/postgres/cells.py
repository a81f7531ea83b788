"""The grid of a database's files: cells of 128 KiB, what is remembered of each, and how a changed one is stored.

    record := cell id (32) | page digest (8) ...      one for each cell of a relation file, in order

A page never shifts inside its file, so cutting by content buys nothing; a fixed grid lets an incremental store the
pages that changed and no more. The digests (pages.Digester) say which pages of a cell changed, and whether any
did. The id is that of the cell's bytes, whole chunk or not, and proves at a restore that one was put together rightly.

Rule: no chain. The extents of a cell lead to chunks directly: to one that it is, to several, some of them partly used
(a patched cell), or to one that it was, with the difference (differences.py). Patching stores whole pages, and reads
nothing of the store; a difference is a fraction of that, and its old chunk has to be read. A cell is patched where a
difference gets long. It is patched anew, over the chunk that it was, where less than LEAST_KEPT of it stayed since, and
where it would take more than MOST_EXTENTS extents, or chunks of more than MOST_HELD cells together; and it is stored
whole where that takes more than half of its pages. So what is kept for it is bounded, and what a restore reads.
Nothing here reads or writes.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from siltstone.store import ChunkId

from ..entry import Extent, pack_extents, unpack_extents
from .grid import DIGEST, ID_SIZE, PAGE, split_records
from .page_digest import changed_pages

MOST_EXTENTS = 12
# Two patches of half of the pages each, or one of nearly all. With half of the cell kept as the least, a burst of
# pgbench that changed 70 % of the pages was stored as if all had changed.
LEAST_KEPT = 1 / 8
MOST_HELD = 2

_FRESH = ChunkId(b"\xff" * ID_SIZE)  # stands for a chunk that is not there yet


class OldCell(NamedTuple):
    """A cell as the base level has it; `packed` are its extents as they stand in rows."""

    id: ChunkId
    digests: bytes
    packed: bytes

    @property
    def extents(self) -> tuple[Extent, ...]:
        """Where its bytes are."""
        return tuple(unpack_extents(self.packed))

    @property
    def origin(self) -> ChunkId | None:
        """The chunk that it was when it was last stored whole: what lies there where it lay. None: all is patched."""
        at, kept = 0, Counter[ChunkId]()
        for extent in self.extents:
            if extent.id is not None and extent.offset == at:
                kept[extent.id] += extent.length
            at += extent.size
        return max(kept, key=kept.__getitem__, default=None)

    @property
    def differs(self) -> bool:
        """Whether it comes from its chunk with a difference."""
        return self.extents[0].is_difference

    @property
    def pages(self) -> int:
        """How many pages it has."""
        return len(self.digests) // DIGEST


def make_record(cell: ChunkId, digests: bytes) -> bytes:
    """What is remembered of a cell."""
    return cell + digests


def parse_records(data: bytes) -> Iterator[tuple[ChunkId, bytes]]:
    """(cell id, digests) of each record; only the last may be of a shorter cell. Raises ValueError."""
    for cell, record in split_records(data):
        yield cell, record[ID_SIZE:]


def pages_to_patch(old: OldCell, new: bytes, differing: Sequence[int] | None = None) -> tuple[bytes, list[int]] | None:
    """Packed extents of what stays of the old cell, and the numbers of the pages to store beside it, by the digests of
    all; None where it is to be stored whole. `differing`: the pages that are not as in its origin, where that was read.
    """
    if len(new) != len(old.digests):
        return None
    if not old.differs:
        pages = changed_pages(old.digests, new)
        if len(pages) <= (1 - LEAST_KEPT) * old.pages and _fits(old.extents, pages, old.pages):
            return old.packed, pages
    if differing is None and not old.differs:
        differing = sorted({*changed_pages(old.digests, new), *_patched_pages(old)})
    if differing is None or old.origin is None or len(differing) > old.pages // 2:
        return None
    origin = [Extent(old.origin, 0, old.pages * PAGE)]
    return (pack_extents(origin), list(differing)) if _fits(origin, differing, old.pages) else None


def _fits(old: Sequence[Extent], pages: Sequence[int], most: int) -> bool:
    patched = patch(old, pages, _FRESH)
    return len(patched) <= MOST_EXTENTS and _held(patched) <= MOST_HELD * most * PAGE


def _patched_pages(old: OldCell) -> Iterator[int]:
    """The pages that do not lie in the origin where they lie in the cell."""
    for extent, page in _by_page(old.extents):
        if extent.id != old.origin or extent.offset != page * PAGE:
            yield page


def patch(old: Sequence[Extent], pages: Sequence[int], fresh: ChunkId, offset: int = 0) -> list[Extent]:
    """The extents of a cell in which these pages (ascending) come from `fresh`, where they lie from `offset` on, one
    behind the other.
    """
    result: list[Extent] = []
    places = {page: offset + place * PAGE for place, page in enumerate(pages)}
    for kept, page in _by_page(old):
        extent = Extent(fresh, places[page], kept.length) if page in places else kept
        last = result[-1] if result else None
        if last and last.id == extent.id and (last.id is None or last.offset + last.length == extent.offset):
            result[-1] = Extent(last.id, last.offset, last.length + extent.length)
        else:
            result.append(extent)
    return result


def _by_page(extents: Iterable[Extent]) -> Iterator[tuple[Extent, int]]:
    """Extents of a page each, with the number of the page."""
    page = 0
    for chunk, offset, length in extents:
        for at in range(0, length, PAGE):
            yield Extent(chunk, offset + at, min(PAGE, length - at)), page
            page += 1


def _held(extents: Iterable[Extent]) -> int:
    """How many bytes the chunks of a cell have together, as far as its extents tell."""
    ends: dict[bytes, int] = {}
    for chunk, offset, length in extents:
        if chunk is not None:
            ends[chunk] = max(ends.get(chunk, 0), offset + length)
    return sum(ends.values())
