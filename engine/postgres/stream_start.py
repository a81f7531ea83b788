"""Where to stream from: behind what the archive has, else from what the slot keeps, else from where the server is.

Rule: pure. The archive is believed only on the way that leads to the server's own timeline; where a timeline was left
before the end of what is archived of it, the stream goes on with the next one, at the switch.
"""

from itertools import pairwise

from .archive_catalog import Catalog
from .history import History, Timelines
from .slots import Slot
from .wal_sink import Position


def start_position(catalog: Catalog, history: History, server: Position, slot: Slot | None, *, skip: bool) -> Position:
    """Where to begin. `history` is that of the server's timeline; `skip`: what follows the archive's end is gone.

    Raises Malformed when the server's history contradicts an archived one.
    """
    timelines = Timelines([*catalog.histories.values(), history])
    spans = timelines.spans(server.timeline)
    following = {span.timeline: after for span, after in pairwise(spans)}
    for span in [] if skip else reversed(spans):
        files = catalog.timelines.get(span.timeline)
        if files is None or not files.whole:
            continue
        lsn = (max(files.whole) + 1) * catalog.size
        if span.end is None or lsn < span.end:
            return Position(span.timeline, lsn)
        return Position(following[span.timeline].timeline, span.end)
    lsn = server.lsn if slot is None or slot.restart_lsn is None else slot.restart_lsn
    return Position(timelines.at(server.timeline, lsn), lsn)
