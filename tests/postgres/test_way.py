"""Ways through an archive, held against a walk that looks at one segment after the other, on random archives."""

import random

import pytest

from siltstone.engine.postgres.archive_catalog import Catalog
from siltstone.engine.postgres.archive_names import open_name, parse_stored_name
from siltstone.engine.postgres.history import Ancestor, History
from siltstone.engine.postgres.wal_names import WalSegment
from siltstone.engine.postgres.way import Way, ways

from .catalogs import SIZE, catalog_of


def plain_walk(catalog: Catalog, target: int, lsn: int) -> tuple[list[WalSegment], WalSegment | None]:
    """The segments that follow a backup's end, one after the other, and the one that is missing before later ones."""
    timelines = catalog.known_timelines
    spans = timelines.spans(target)
    lasts = [
        min(catalog.timelines[span.timeline].last, (span.end or 1 << 60) // SIZE)
        for span in spans
        if span.timeline in catalog.timelines
    ]
    found: list[WalSegment] = []
    first = max(0, lsn - 1) // SIZE
    for number in range(first, max(lasts, default=-1) + 1):
        segment = timelines.segment(target, number, SIZE)
        if catalog.source_of(segment) is not None:
            found.append(segment)
        elif number > first:
            return found, segment
    return found, None


@pytest.mark.parametrize("seed", range(40))
def test_it_is_that_of_a_plain_walk(seed: int) -> None:
    rng = random.Random(seed)
    second = History(2, (Ancestor(1, rng.randrange(1, 12 * SIZE)),))
    third = History(3, (*second.ancestors, Ancestor(2, rng.randrange(second.start, 16 * SIZE))))
    catalog = catalog_of(histories=(second, third))
    for timeline in (1, 2, 3):
        for number in range(20):
            segment = WalSegment(timeline, number)
            name = rng.choice([segment.name(SIZE)] * 9 + [open_name(segment, SIZE, 4096), segment.partial_name(SIZE)])
            if rng.random() < 0.9:
                catalog.add(name, parse_stored_name(name, SIZE))
    for target in (1, 2, 3):
        way = Way(catalog, catalog.known_timelines, target)
        for _ in range(30):
            lsn = rng.randrange(1, 20 * SIZE)
            found, gap = way.after(lsn)
            assert ([way.segment(number) for number in found], gap) == plain_walk(catalog, target, lsn)


def test_where_it_ends() -> None:
    def end(*names: str, histories: tuple[History, ...] = (), target: int = 1) -> int:
        catalog = catalog_of(*names, histories=histories)
        return Way(catalog, catalog.known_timelines, target).end(SIZE + 100)

    whole = [WalSegment(1, number).name(SIZE) for number in range(5)]
    assert end() == SIZE + 100, "the backup's own WAL"
    assert end(*whole) == 5 * SIZE
    assert end(*whole[:3]) == 3 * SIZE
    assert end(*whole[:3], whole[4]) == 3 * SIZE, "a gap"
    assert end(*whole[:3], open_name(WalSegment(1, 3), SIZE, 4096)) == 3 * SIZE + 4096
    assert end(*whole[2:]) == 5 * SIZE, "the segment in which the backup ends is its own"
    assert end(*whole[3:]) == SIZE + 100
    fork = History(2, (Ancestor(1, 3 * SIZE + 77),))
    assert end(*whole[:3], WalSegment(1, 3).partial_name(SIZE), histories=(fork,)) == 3 * SIZE + 77
    own = WalSegment(2, 3).name(SIZE)
    assert end(*whole[:3], WalSegment(1, 3).partial_name(SIZE), own, histories=(fork,), target=2) == 4 * SIZE


def test_where_recovery_can_go() -> None:
    second, third = History(2, (Ancestor(1, 2 * SIZE),)), History(3, (Ancestor(1, 5 * SIZE),))
    names = [WalSegment(timeline, 6).name(SIZE) for timeline in (1, 2, 3)]
    catalog = catalog_of(*names, histories=(second, third))
    assert ways(catalog, 1, SIZE) == [1, 2, 3]
    assert ways(catalog, 1, 3 * SIZE) == [1, 3]
    assert ways(catalog, 2, 3 * SIZE) == [2]
    assert ways(catalog_of(names[1]), 1, SIZE) == [1], "a timeline whose history is lost leads nowhere"
