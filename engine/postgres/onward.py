"""Whether WAL leads on from the end of a base backup: is the way to later moments in the archive, or on its way there?

Rule: a level restores to its backup's end by itself, with the WAL that it brings: missing_wal() proves that it is all
there. What comes after needs an archive that goes on where the backup ends. Whether it does is told and refuses
nothing: a backup that reaches one moment is better than none. Where nothing archives at all that is a note, for it may
be meant; where an archive is there and does not join the backup it is a warning.

Any physical slot counts as one that brings WAL here, and any archiving of the server's: what they serve cannot be seen.
"""

from collections.abc import Collection, Iterator, Sequence

from siltstone.store import NoKey, Store

from ..events import Event, Noted, Warned
from .archive_catalog import Catalog, read_catalog
from .connection import Connection
from .errors import Malformed
from .facts import ServerFacts
from .lsn import format_lsn, parse_lsn
from .slots import Slot
from .taken import Taken
from .wal_names import WalSegment, segment_at
from .way import Way

_SLOTS = (
    "SELECT slot_name, restart_lsn, active, wal_status FROM pg_catalog.pg_replication_slots"
    " WHERE slot_type = 'physical' AND NOT temporary ORDER BY slot_name"
)
_ALONE = "'silt wal stream --create-slot' or 'silt wal push' as archive_command make later moments reachable"
_AGAIN = "take a full backup once WAL is archived without a gap: see 'silt wal status' and 'silt pg check'"


def check_onward(store: Store, connection: Connection, facts: ServerFacts, taken: Taken) -> list[Event]:
    """What is to be said of the way on from the end of a backup. Raises PostgresError, StoreError."""
    slots = [
        Slot(name or "", None if lsn is None else parse_lsn(lsn), active == "t", status)
        for name, lsn, active, status in connection.query(_SLOTS)
    ]
    ((mode,),) = connection.query("SHOW archive_mode")
    archiving = mode == "always" or (mode == "on" and not facts.in_recovery)
    try:
        catalog = read_catalog(store, facts.system_identifier)
        return list(onward(catalog, taken.timeline, taken.stop_lsn, slots, archiving=archiving))
    except Malformed as error:
        return [Warned("wal", "wal", f"whether WAL leads on from this backup cannot be told: {error}")]
    except NoKey:
        return [Noted("whether WAL leads on from this backup cannot be told: the key of this host reads nothing")]


def onward(
    catalog: Catalog, timeline: int, stop_lsn: int, slots: Sequence[Slot], *, archiving: bool
) -> Iterator[Event]:
    """The same, from values. Raises Malformed where histories contradict each other."""
    way = Way(catalog, catalog.known_timelines, timeline)
    found, gap = way.after(stop_lsn)
    if gap is not None:
        name = gap.name(catalog.size)
        yield Warned("wal", name, f"no moment after this backup can be reached: the archive lacks it; {_AGAIN}")
        return
    # The first byte that is neither in the backup nor archived.
    following = max((max(0, stop_lsn - 1) // catalog.size + 1) * catalog.size, way.end(stop_lsn) if found else 0)
    keeping = [slot for slot in slots if slot.restart_lsn is not None and not slot.lost]
    if archiving or any(slot.restart_lsn is not None and slot.restart_lsn <= following for slot in keeping):
        return
    end = format_lsn(stop_lsn)
    if keeping:
        slot = min(keeping, key=lambda each: each.restart_lsn or 0)
        what = f"keeps WAL from {format_lsn(slot.restart_lsn or 0)} on, and {format_lsn(following)} is not archived"
        yield Warned("wal", slot.name, f"no moment after this backup can be reached: the slot {what}; {_AGAIN}")
    elif catalog.timelines:
        what = f"nothing adds to the archive, which ends before {format_lsn(following)}"
        yield Warned("wal", end, f"no moment after this backup can be reached: {what}; {_ALONE}")
    else:
        yield Noted(f"WAL is not archived: this level can be restored to {end}, and no further; {_ALONE}")


def missing_wal(names: Collection[bytes], timeline: int, start_lsn: int, stop_lsn: int, size: int) -> list[str]:
    """The segments that a backup needs to be consistent and that are not among these names."""
    segment, last = wal_of(timeline, start_lsn, stop_lsn, size)
    missing = []
    while segment <= last:
        name = segment.name(size)
        if name.encode("ascii") not in names:
            missing.append(name)
        segment = segment.next()
    return missing


def wal_of(timeline: int, start_lsn: int, stop_lsn: int, size: int) -> tuple[WalSegment, WalSegment]:
    """The first and the last segment that make a backup consistent."""
    return segment_at(timeline, start_lsn, size), segment_at(timeline, max(start_lsn, stop_lsn - 1), size)
