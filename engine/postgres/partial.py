"""Two `.partial` of one segment: do they hold the same WAL?

At a promotion the stream stores the segment up to where its timeline was left, and the new primary pushes its own file,
which may hold more: what it had received beyond. That is void, and differs.

Rule: the WAL up to the place where the timeline was left counts, as the archived histories tell it. Where none tells it
yet, the new bytes must be there already, from the start on. If this said no to a harmless difference, PostgreSQL would
push that file for ever, and nothing behind it.
"""

from siltstone.store import Store

from .archive_catalog import read_catalog
from .archive_read import content
from .archive_record import ArchivedFile


def same_partial(store: Store, known: ArchivedFile, data: memoryview) -> bool:
    """Whether the archived one holds the same WAL as these used bytes. Raises StoreError."""
    left = _left_at(store, known)
    if left is None and len(data) > known.used:
        return False
    end = len(data) if left is None else left
    return bytes(content(store, known)[:end]) == bytes(data[:end]).ljust(end, b"\0")


def _left_at(store: Store, known: ArchivedFile) -> int | None:
    """How many bytes of the segment belong to its timeline, if an archived history says so."""
    histories = read_catalog(store, known.system_identifier).histories.values()
    forks = (each for history in histories for each in history.ancestors)
    places = [fork.left - known.start for fork in forks if fork.timeline == known.timeline]
    inside = [place for place in places if 0 < place <= known.size]
    return max(inside, default=None)
