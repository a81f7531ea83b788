"""Catalogs of archives that do not exist, by the names in them."""

from siltstone.engine.postgres.archive_catalog import Catalog
from siltstone.engine.postgres.archive_names import parse_stored_name
from siltstone.engine.postgres.history import History
from siltstone.engine.postgres.wal_names import WalSegment, history_name

SIZE = 16 << 20


def segment(timeline: int, number: int) -> str:
    return WalSegment(timeline, number).name(SIZE)


def whole(timeline: int, *numbers: int) -> list[str]:
    return [segment(timeline, number) for number in numbers]


def catalog_of(*names: str, histories: tuple[History, ...] = ()) -> Catalog:
    """The archive of cluster 1 with these objects, and these histories."""
    made = Catalog(1, SIZE)
    for name in (*names, *(history_name(each.timeline) for each in histories)):
        made.add(name, parse_stored_name(name, SIZE))
    made.histories = {each.timeline: each for each in histories}
    return made
