"""`silt wal status`: what WAL is archived, what is missing, what can be reached, and how far ahead the server is.

Rule: a gap is said first of all, and makes the exit code that of warnings. A server that cannot be asked is a line,
not a failure: the store alone tells what can be restored.
"""

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..answer import answer
from ..columns import columns
from ..database import dsn_option, file_option, given_dsn, slot_option
from ..exits import Exit
from ..figures import counted, local_time, lsn_text, size, utc_time
from ..opening import open_store
from ..options import Options, make_command
from ..paths import shown

if TYPE_CHECKING:
    from siltstone.engine import ArchiveStatus, Recoverable, SlotStatus


@make_command(
    "status",
    examples="""
    silt wal status
    silt wal status -c deployment.toml --json
    """,
)
@dsn_option
@file_option
@slot_option
def status(options: Options, dsn: str | None, file: str | None, slot: str) -> int:
    """Show archived WAL, gaps, what can be reached, and the lag.

    With --json: {"clusters": [{"system_identifier", "segment_size", "timelines": [{"timeline", "end", "newest",
    "ranges": [{"first", "last", "segments"}]}], "gaps": [{"timeline", "first", "last", "segments"}], "lost_histories",
    "other_bytes", "reachable": [{"timeline", "level" (the oldest), "levels", "from", "from_lsn", "to" (the last
    commit), "to_lsn"}]}], "server": null or {"system_identifier", "timeline", "lsn", "lag_bytes", "slot": null or
    {"name", "restart_lsn", "active", "wal_status"}}}. The exit code is 3 when there is a gap.
    """
    store = open_store(options, needing="postgres.archive_status")
    from siltstone.engine import archive_status

    clusters = archive_status(store)
    server = _ask(given_dsn(dsn, file), slot)
    record = {"clusters": [_record(each) for each in clusters], "server": _server_record(server, clusters)}
    answer(options, record, _lines(clusters, server))
    return int(Exit.WARNINGS if any(each.gaps or each.lost_histories for each in clusters) else Exit.DONE)


def _ask(dsn: str | None, slot: str) -> "SlotStatus | None":
    from siltstone.engine import EngineError, slot_status

    try:
        return None if dsn is None else slot_status(dsn, slot)
    except EngineError as error:
        print(f"silt: the server cannot be asked: {shown(str(error))}", file=sys.stderr)
        return None


def _record(cluster: "ArchiveStatus") -> dict[str, Any]:
    return {
        "system_identifier": str(cluster.system_identifier),
        "segment_size": cluster.segment_size,
        "timelines": [
            {
                "timeline": each.timeline,
                "end": lsn_text(each.end),
                "newest": None if each.newest is None else utc_time(each.newest * 1000),
                "ranges": [_run_record(run, cluster) for run in each.runs],
            }
            for each in cluster.timelines
        ],
        "gaps": [{"timeline": gap.timeline, **_run_record(gap, cluster)} for gap in cluster.gaps],
        "lost_histories": cluster.lost_histories,
        "other_bytes": cluster.aside,
        "reachable": [
            {
                "timeline": each.timeline,
                "level": each.level,
                "levels": each.count,
                "from": utc_time(each.since_ns),
                "from_lsn": lsn_text(each.start),
                "to": None if each.newest is None else utc_time(each.newest * 1000),
                "to_lsn": lsn_text(each.end),
            }
            for each in cluster.reachable
        ],
    }


def _run_record(run: Any, cluster: "ArchiveStatus") -> dict[str, Any]:
    first, last = cluster.names_of(run)
    return {"first": first, "last": last, "segments": run.last - run.first + 1}


def _server_record(server: "SlotStatus | None", clusters: "list[ArchiveStatus]") -> dict[str, Any] | None:
    if server is None:
        return None
    slot = server.slot
    return {
        "system_identifier": str(server.system_identifier),
        "timeline": server.timeline,
        "lsn": lsn_text(server.lsn),
        "lag_bytes": _lag(server, clusters),
        "slot": slot
        and {
            "name": slot.name,
            "restart_lsn": None if slot.restart_lsn is None else lsn_text(slot.restart_lsn),
            "active": slot.active,
            "wal_status": slot.wal_status,
        },
    }


def _lag(server: "SlotStatus", clusters: "list[ArchiveStatus]") -> int | None:
    for each in clusters:
        if each.system_identifier == server.system_identifier:
            end = each.end_of(server.timeline)
            return None if end is None else max(0, server.lsn - end)
    return None


def _lines(clusters: "list[ArchiveStatus]", server: "SlotStatus | None") -> Iterator[str]:
    if not clusters:
        yield "no WAL in this store yet"
    for cluster in clusters:
        yield f"cluster {cluster.system_identifier}, {size(cluster.segment_size)} a segment"
        yield from _missing(cluster)
        yield from columns(("TIMELINE", "FIRST", "LAST", "END", "NEWEST COMMIT"), _rows(cluster))
        yield from _reached(cluster.reachable)
    if server is not None:
        lag = _lag(server, clusters)
        behind = "not archived yet" if lag is None else f"{size(lag)} of it not archived yet"
        slot = server.slot
        use = "in use" if slot is not None and slot.active else "not in use"
        kept = "no slot" if slot is None else f"slot {slot.name}: {slot.wal_status}, {use}"
        yield f"server at {lsn_text(server.lsn)} of timeline {server.timeline}, {behind}; {kept}"


def _missing(cluster: "ArchiveStatus") -> Iterator[str]:
    for gap in cluster.gaps:
        first, last = cluster.names_of(gap)
        which = f"{first} is" if first == last else f"{first} to {last} are"
        yield f"  GAP: {which} missing; recovery cannot pass it, what follows needs a backup taken after it"
    for name in cluster.lost_histories:
        yield f"  {name} is missing: fetch it from the server's pg_wal, and push it"
    for name in cluster.aside:
        yield f"  {name}: other bytes than the archive's came under this name"


def _rows(cluster: "ArchiveStatus") -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for each in cluster.timelines:
        newest = "" if each.newest is None else local_time(each.newest * 1000)
        for run in each.runs or (None,):
            names = ("", "") if run is None else cluster.names_of(run)
            ends = run is None or run is each.runs[-1]
            rows.append((str(each.timeline), *names, lsn_text(each.end) if ends else "", newest if ends else ""))
    return rows


def _reached(reached: "Sequence[Recoverable]") -> Iterator[str]:
    """Any moment between the two can be restored to; without a commit after the backup, its own end alone."""
    if not reached:
        yield "nothing can be reached: no level has this cluster"
        return
    rows = [
        (
            str(each.timeline),
            local_time(each.since_ns),
            "" if each.newest is None else local_time(each.newest * 1000),
            lsn_text(each.start),
            lsn_text(each.end),
            each.level if each.count == 1 else f"{each.level} and {counted(each.count - 1, 'later one')}",
        )
        for each in reached
    ]
    yield from columns(("TIMELINE", "REACHABLE FROM", "TO", "FROM LSN", "TO LSN", "BY LEVEL"), rows)
