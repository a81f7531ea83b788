"""What `--json` says: the engine's values as plain objects.

Every object has a "type". Sizes are bytes, durations seconds, times ISO-8601 in UTC with microseconds ("...Z"). A path
that is not UTF-8 carries "path_hex", its exact bytes, beside a readable "path".

    progress  phase, files, bytes (read), new_bytes, current, total_files, total_bytes (null: not known yet)
    warning   kind, path, message
    note      message
    error     on stderr, see `failure`
    result    the last line of a command; its other members are documented where the command is

A level, wherever one is told, is

    deployment, group, level (numbers), tar (its tar name)
    kind (full | incr | diff), parent (the level number it was compared with, or null), host
    started, finished, duration, product_version, privilege
    configuration (of its topology; null of an imported level)
    file_sets: [{name, host (empty where hosts have no names), roots: [{path}], entries, files, bytes}],
    stats: {name: number}, warnings (how many)
    database (null, or: system_identifier, version_num, timeline, start_lsn, stop_lsn, data_checksums, from_standby,
    data_directory: {path}, tablespaces: [{oid, path}])
    damage (why its root cannot be read; then there is nothing else beside its name)
    sealed (true: the key that was given does not open its root; likewise)

and where it may be pinned, or was forgotten, also

    pin (null, or: note, pinned, host)
    forgotten, until (times), reason

and where parts of it are missing, also

    parts, missing: [set@host]

Rule: members are added, never renamed or removed, within one major version.
"""

from typing import TYPE_CHECKING, Any

from siltstone.engine import DatabaseInfo, Event, Level, LevelRef, Noted, Progress, SetInfo, Warned, format_lsn

from .figures import utc_time
from .paths import path_record, shown

if TYPE_CHECKING:
    from siltstone.engine import ForgottenLevel, Incomplete, Pin

Record = dict[str, Any]


def event_record(event: Event) -> Record:
    """An event of the engine."""
    if isinstance(event, Progress):
        return {
            "type": "progress",
            "phase": event.phase,
            "files": event.files,
            "bytes": event.bytes,
            "new_bytes": event.new_bytes,
            **path_record(event.current, "current"),
            "total_files": event.total_files,
            "total_bytes": event.total_bytes,
        }
    if isinstance(event, Warned):
        return {"type": "warning", "kind": event.kind, **path_record(event.path), "message": shown(event.message)}
    assert isinstance(event, Noted)
    return {"type": "note", "message": shown(event.message)}


def name_record(ref: LevelRef | Level) -> Record:
    """What names a level."""
    return {"deployment": ref.deployment, "group": ref.group, "level": ref.level, "tar": ref.tar_name}


def level_record(level: Level) -> Record:
    """A level as it stands in `list --json`, and in the results of other commands."""
    if level.damage:
        return {**name_record(level), "damage": shown(level.damage)}
    if level.sealed:
        return {**name_record(level), "sealed": True}
    return {
        **name_record(level),
        "kind": level.kind,
        "parent": level.parent,
        "host": level.host,
        "started": utc_time(level.started_ns),
        "finished": utc_time(level.finished_ns),
        "duration": (level.finished_ns - level.started_ns) / 1e9,
        "product_version": level.product_version,
        "privilege": level.privilege,
        "configuration": level.origin.configuration if level.origin else None,
        "file_sets": [_set_record(files) for files in level.sets],
        "stats": level.stats,
        "warnings": len(level.warnings),
        "database": _database_record(level.database) if level.database else None,
    }


def pin_record(pin: "Pin | None") -> Record | None:
    """What a pin says."""
    return None if pin is None else {"note": shown(pin.note), "pinned": utc_time(pin.pinned_ns), "host": pin.host}


def forgotten_record(each: "ForgottenLevel") -> Record:
    """A level that can be undeleted."""
    times = {"forgotten": utc_time(each.absence.forgotten_ns), "until": utc_time(each.absence.until_ns)}
    return {**level_record(each.level), **times, "reason": shown(each.absence.reason)}


def _database_record(info: DatabaseInfo) -> Record:
    return {
        "system_identifier": info.system_identifier,
        "version_num": info.version_num,
        "timeline": info.timeline,
        "start_lsn": format_lsn(info.start_lsn),
        "stop_lsn": format_lsn(info.stop_lsn),
        "data_checksums": info.data_checksums,
        "from_standby": info.from_standby,
        "data_directory": path_record(info.data_directory),
        "tablespaces": [{"oid": oid, **path_record(location)} for oid, location in info.tablespaces],
    }


def _set_record(files: SetInfo) -> Record:
    roots = [path_record(root) for root in files.roots]
    counts = {"entries": files.entries, "files": files.files, "bytes": files.bytes}
    return {"name": files.name, "host": files.host, "roots": roots, **counts}


def incomplete_record(each: "Incomplete") -> Record:
    """A level of which parts are missing."""
    level = level_record(each.level) if each.level else {"damage": "no part of it can be read"}
    parts = {"parts": [str(part) for part in each.there], "missing": [str(part) for part in each.missing]}
    return {**level, **name_record(each.ref), **parts}
