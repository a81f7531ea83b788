"""Whether recovery can reach a moment from a level, told before anything is written.

Rule: the archive has to lead without a gap from the end of the level's backup to the moment, and a little further: a
server knows that it reached a time only by a commit after it. What cannot be reached is refused with the nearest
moments that can. A target before the backup's end is refused, too: a server would not stop there but run on.

The timeline is named by its number, so that a branch that appears later changes nothing.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from siltstone.store import Store

from ..database_info import DatabaseInfo
from ..errors import EngineError
from ..levels import Level, list_levels
from ..resolving import resolve
from .archive_catalog import Catalog, read_catalog
from .archive_read import read_commit_index
from .archive_record import ArchivedFile, read_record
from .history import Timelines
from .lsn import format_lsn, parse_lsn
from .recovery import Recovery
from .wal_names import WalSegment
from .way import Way, ways

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ARCHIVE = "'silt wal status' shows what is archived"


class Unreachable(EngineError):
    """Recovery could not get to that moment from that level."""


class _Way(Struct, frozen=True):
    """Segments that follow each other, archived; `gap` is the one that is missing before later ones."""

    segments: list[WalSegment]
    gap: WalSegment | None


def reachable(store: Store, level: Level, recovery: Recovery) -> Recovery:
    """The target with its timeline's number, once it is proved that it can be reached. Raises Unreachable, EngineError
    for a value that is none, StoreError.
    """
    info = level.database
    assert info is not None, "a level with a database"
    if recovery.kind == "immediate":
        return replace(recovery, timeline="current")
    catalog = read_catalog(store, info.system_identifier)
    timelines = catalog.known_timelines
    timeline = _timeline(catalog, info, recovery.timeline)
    way = _way(catalog, timelines, info, timeline)
    if recovery.kind == "latest":
        if way.gap is not None:
            raise _beyond_gap(store, catalog, way, "the newest WAL")
    elif recovery.kind == "lsn":
        _check_lsn(store, catalog, way, info, parse_lsn(recovery.value))
    elif recovery.kind == "time":
        moment = moment_of(recovery.value)
        _check_time(store, catalog, way, level, moment)
        recovery = replace(recovery, value=moment.isoformat(sep=" "))  # with its zone: the server may be in another
    else:
        _check_named(store, catalog, way, info, recovery)
    return replace(recovery, timeline=str(timeline))


def level_before(store: Store, spec: str, recovery: Recovery) -> Level:
    """The level that a user's words name. For 'latest' and a moment: the newest whose database was whole by then.

    Raises LevelNotFound, EngineError for a level without a database.
    """
    found = resolve(store, spec)
    if recovery.kind == "time" and spec.rpartition(":")[2] == "latest":
        moment = moment_of(recovery.value)
        for level in reversed(list_levels(store)):
            ended = _EPOCH + timedelta(microseconds=level.finished_ns // 1000)
            if level.deployment == found.deployment and level.database is not None and ended <= moment:
                return level
        raise Unreachable(f"no level with a database was finished before {_shown(moment)}", hint="see 'silt list'")
    if found.database is None:
        raise EngineError(f"level {found.ref} holds no database", hint="'silt show' says what a level holds")
    return found


def moment_of(text: str) -> datetime:
    """A moment as ISO 8601 writes it; without a zone it is one of this host's. Raises EngineError."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        hint = "write it as '2026-11-20 14:03:07+00'"
        raise EngineError(f"'{text}' is no moment", hint=hint) from None


def _timeline(catalog: Catalog, info: DatabaseInfo, wanted: str) -> int:
    """The number of the timeline that recovery follows: the wanted one, or the newest that it can get to."""
    open_to = ways(catalog, info.timeline, info.stop_lsn)
    if wanted.isdecimal():
        if int(wanted) not in open_to:
            names = ", ".join(map(str, open_to)) or str(info.timeline)
            raise Unreachable(f"timeline {wanted} cannot be reached from that level", hint=f"these can: {names}")
        return int(wanted)
    return max(open_to, default=info.timeline)


def _way(catalog: Catalog, timelines: Timelines, info: DatabaseInfo, timeline: int) -> _Way:
    """What is archived from the backup's end on."""
    way = Way(catalog, timelines, timeline)
    numbers, gap = way.after(info.stop_lsn)
    return _Way([way.segment(number) for number in numbers], gap)


def _records(store: Store, catalog: Catalog, way: _Way) -> Iterator[ArchivedFile]:
    for segment in way.segments:
        name = catalog.source_of(segment)
        assert name is not None, "_way() saw it"
        yield read_record(store, catalog.system_identifier, name)


def _check_lsn(store: Store, catalog: Catalog, way: _Way, info: DatabaseInfo, lsn: int) -> None:
    if lsn < info.stop_lsn:
        raise Unreachable(
            f"{format_lsn(lsn)} is before the end of that level's backup, {format_lsn(info.stop_lsn)}",
            hint="choose an older level",
        )
    end = info.stop_lsn
    if way.segments:
        last = way.segments[-1]
        end = last.end(catalog.size)
        name = catalog.source_of(last)
        if name is not None and name != last.name(catalog.size):  # what was stored of it while it was open
            end = read_record(store, catalog.system_identifier, name).end
    if lsn >= end:
        said = f"; {way.gap.name(catalog.size)} is missing" if way.gap else ""
        raise Unreachable(f"the archive leads to {format_lsn(end)}, and no further{said}", hint=_ARCHIVE)


def _check_time(store: Store, catalog: Catalog, way: _Way, level: Level, moment: datetime) -> None:
    ended = _EPOCH + timedelta(microseconds=level.finished_ns // 1000)
    if moment < ended:
        raise Unreachable(
            f"{_shown(moment)} is before the end of that level's backup, {_shown(ended)}", hint="choose an older level"
        )
    wanted = (moment - _EPOCH) // timedelta(microseconds=1)
    newest: int | None = None
    for record in _records(store, catalog, way):
        if record.times is not None:
            newest = record.times[1]
            if newest > wanted:
                return
    if way.gap is not None:
        raise _beyond_gap(store, catalog, way, _shown(moment))
    until = "no commit after the backup is archived"
    if newest is not None:
        until = f"the last commit in the archive is of {_shown(_EPOCH + timedelta(microseconds=newest))}"
    raise Unreachable(f"{_shown(moment)} cannot be reached: {until}", hint="--until latest goes as far as it can")


def _check_named(store: Store, catalog: Catalog, way: _Way, info: DatabaseInfo, recovery: Recovery) -> None:
    for record in _records(store, catalog, way):
        index = read_commit_index(store, record)
        if index is None:
            continue
        if recovery.kind == "name":
            lsns = [point.lsn for point in index.restore_points if point.name == recovery.value]
        else:
            lsns = [each.lsn for each in index.of_xid(_xid(recovery.value))]
        if any(lsn >= info.stop_lsn for lsn in lsns):
            return
    if way.gap is not None:
        raise _beyond_gap(store, catalog, way, recovery.value)
    what = "restore point" if recovery.kind == "name" else "transaction"
    raise Unreachable(f"no {what} {recovery.value} is archived after that level's backup", hint=_ARCHIVE)


def _xid(text: str) -> int:
    if not text.isdecimal():
        raise EngineError(f"'{text}' is no transaction's number")
    return int(text) & 0xFFFFFFFF


def _beyond_gap(store: Store, catalog: Catalog, way: _Way, what: str) -> Unreachable:
    assert way.gap is not None, "where there is a gap"
    times = [record.times[1] for record in _records(store, catalog, way) if record.times]
    before = f"the last commit before it is of {_shown(_EPOCH + timedelta(microseconds=times[-1]))}" if times else ""
    message = f"{what} cannot be reached: {way.gap.name(catalog.size)} is missing in the archive"
    return Unreachable(message, hint=before or "choose a level behind the gap")


def _shown(moment: datetime) -> str:
    return moment.astimezone().isoformat(sep=" ", timespec="seconds")
