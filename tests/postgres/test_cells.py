"""How a cell that changed is stored: which pages go where, until it costs more than storing it whole."""

import random

from siltstone.engine.entry import Extent, pack_extents, unpack_extents
from siltstone.engine.postgres.cells import MOST_EXTENTS, MOST_HELD, OldCell, pages_to_patch, patch
from siltstone.engine.postgres.grid import CELL, PAGE, PAGES
from siltstone.store import ChunkId


class Model:
    """A cell, day after day, beside the chunks that it is made of: each page a number, each chunk a list of these."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.chunks: dict[bytes, list[int]] = {}
        self.stored = 0
        self.pages = [chance.randrange(2**63) for _ in range(PAGES)]
        self.cell = self.whole()

    def whole(self) -> OldCell:
        return self._made(pack_extents([Extent(self._chunk(self.pages), 0, CELL)]))

    def change(self, count: int) -> list[int]:
        pages = sorted(self._chance.sample(range(PAGES), count))
        for page in pages:
            self.pages[page] = self._chance.randrange(2**63)
        return pages

    def store(self, differing: list[int] | None = None) -> bool:
        """As cell_store does; whether it was patched."""
        patching = pages_to_patch(self.cell, self.digests(), differing)
        if patching is None:
            self.cell = self.whole()
            return False
        kept, pages = patching
        chunk = self._chunk([self.pages[page] for page in pages])
        self.cell = self._made(pack_extents(patch(tuple(unpack_extents(kept)), pages, chunk)))
        return True

    def differ(self, origin: ChunkId) -> None:
        """It is a difference from that chunk."""
        packed = pack_extents([Extent(origin, 1 << 31, 100), Extent(origin, 0, CELL)])
        self.cell = self._made(packed)

    def digests(self) -> bytes:
        return b"".join(page.to_bytes(8, "little") for page in self.pages)

    def read(self) -> list[int]:
        found: list[int] = []
        for chunk, offset, length in self.cell.extents:
            assert chunk is not None
            found += self.chunks[chunk][offset // PAGE : (offset + length) // PAGE]
        return found

    def held(self) -> int:
        """Pages of chunks, as far as the extents tell: what lies in a chunk behind the last one is not known."""
        ends: dict[ChunkId | None, int] = {}
        for chunk, offset, length in self.cell.extents:
            ends[chunk] = max(ends.get(chunk, 0), (offset + length) // PAGE)
        return sum(ends.values())

    def _made(self, packed: bytes) -> OldCell:
        return OldCell(ChunkId(bytes(32)), self.digests(), packed)

    def _chunk(self, pages: list[int]) -> ChunkId:
        chunk = ChunkId(self._chance.randbytes(32))
        self.chunks[chunk] = list(pages)
        self.stored += len(pages)
        return chunk


def test_every_day_the_cell_is_what_it_is_and_what_is_held_for_it_is_bounded() -> None:
    chance = random.Random(11)
    for _ in range(300):
        model = Model(chance)
        for _ in range(12):
            model.change(chance.choice((1, 1, 2, 3, 8, 16)))
            model.store()
            assert model.read() == model.pages
            assert len(model.cell.extents) <= MOST_EXTENTS
            assert model.held() <= MOST_HELD * PAGES


def test_what_changes_in_few_pages_again_and_again_is_patched_anew_over_its_chunk() -> None:
    """Not stored whole: two pages that change each day cost two, and now and then what changed since."""
    model = Model(random.Random(5))
    places = (3, 9, 12)
    for day in range(40):
        model.pages[places[day % 3]] = day
        assert model.store()
        assert model.read() == model.pages
    assert model.stored <= PAGES + 40 + 10 * len(places)


def test_a_difference_that_got_long_becomes_a_patch() -> None:
    model = Model(random.Random(6))
    (origin,) = (extent.id for extent in model.cell.extents)
    assert origin is not None
    first = model.change(2)
    model.differ(origin)
    then = model.change(3)
    differing = sorted({*first, *then})
    assert model.store(differing)
    assert model.read() == model.pages
    assert model.cell.extents[0].id == origin or differing[0] == 0
    assert model.stored == PAGES + len(differing)


def test_without_its_chunk_or_with_most_of_it_changed_it_is_stored_whole() -> None:
    for changed, known in ((2, False), (PAGES // 2 + 1, True), (PAGES, True)):
        model = Model(random.Random(7))
        (origin,) = (extent.id for extent in model.cell.extents)
        assert origin is not None
        model.differ(origin)
        pages = model.change(changed)
        assert not model.store(pages if known else None)
        assert model.read() == model.pages
