"""The engine: backups. It knows entries, manifests, groups and levels, deployments, restore and verification.

Words: a *deployment* is what is backed up together; a *file set* is named paths of it. An *entry* is one file,
directory, link or special file; its *extents* say which runs of which chunks are its content. A *manifest* is every
entry of one file set of a level. A full backup opens a *group* at *level* 0; each incremental adds a level, which
restores by itself.

The engine never prints and never reads the command line: it reports events. This module is the layer's front door; what
it names is loaded when it is first asked for, since no command needs all of it and a start costs what it imports.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .archive import cat, write_tar
    from .backup import BackupResult, back_up
    from .browse import list_entries
    from .browse_diff import Change, diff
    from .browse_find import Found, FoundVersion, find
    from .database_info import DatabaseInfo
    from .deployment import Deployment, FileSet, ResolvedSet, Roots, quick_deployment, resolve_deployment
    from .deployment_file import load_deployment, parse_deployment
    from .entry import Entry, Extent
    from .errors import ConfigError, EngineError, LevelNotFound, NothingSelected, SourceError, TargetError, TargetFull
    from .events import Event, Noted, Progress, Report, Warned, show_path
    from .export import Exported, export_level
    from .levels import Level, LevelRef, SetInfo, list_levels, resolve
    from .manifest import entries, extents_of
    from .postgres.archive_errors import NotArchived, OtherBytes, WalGap
    from .postgres.archive_read import fetch_wal
    from .postgres.archive_status import ArchiveStatus, SlotStatus, TimelineStatus, archive_status, slot_status
    from .postgres.finding import Finding
    from .postgres.lsn import format_lsn
    from .postgres.push import Pushed, cluster_of, push
    from .postgres.reach import Unreachable, level_before, reachable
    from .postgres.readiness import check_cluster
    from .postgres.recovery import Recovery
    from .postgres.restore_cluster import restore_cluster
    from .postgres.spool import fill_spool
    from .postgres.stream_service import StreamEvent, WalStream
    from .postgres.wal_times import Moment, moments_near
    from .presets import PRESETS, starting_file
    from .restore import restore_level
    from .restore_tally import RestoreResult
    from .selection import Selection
    from .tar_import import Source, import_archive, sources_of
    from .verify import verify_store
    from .verify_result import Budget, Coverage, Damage, Stretch, VerifyResult

_FROM = {
    "archive": ("cat", "write_tar"),
    "backup": ("BackupResult", "back_up"),
    "browse": ("list_entries",),
    "browse_diff": ("Change", "diff"),
    "browse_find": ("Found", "FoundVersion", "find"),
    "database_info": ("DatabaseInfo",),
    "deployment": ("Deployment", "FileSet", "ResolvedSet", "Roots", "quick_deployment", "resolve_deployment"),
    "deployment_file": ("load_deployment", "parse_deployment"),
    "entry": ("Entry", "Extent"),
    "errors": (
        "ConfigError",
        "EngineError",
        "LevelNotFound",
        "NothingSelected",
        "SourceError",
        "TargetError",
        "TargetFull",
    ),
    "events": ("Event", "Noted", "Progress", "Report", "Warned", "show_path"),
    "export": ("Exported", "export_level"),
    "levels": ("Level", "LevelRef", "SetInfo", "list_levels", "resolve"),
    "manifest": ("entries", "extents_of"),
    "postgres.lsn": ("format_lsn",),
    "postgres.reach": ("Unreachable", "level_before", "reachable"),
    "postgres.recovery": ("Recovery",),
    "postgres.restore_cluster": ("restore_cluster",),
    "postgres.finding": ("Finding",),
    "postgres.readiness": ("check_cluster",),
    "postgres.archive_errors": (
        "NotArchived",
        "OtherBytes",
        "WalGap",
    ),
    "postgres.push": (
        "Pushed",
        "cluster_of",
        "push",
    ),
    "postgres.archive_read": ("fetch_wal",),
    "postgres.spool": ("fill_spool",),
    "postgres.archive_status": (
        "ArchiveStatus",
        "SlotStatus",
        "TimelineStatus",
        "archive_status",
        "slot_status",
    ),
    "postgres.stream_service": (
        "StreamEvent",
        "WalStream",
    ),
    "postgres.wal_times": (
        "Moment",
        "moments_near",
    ),
    "presets": ("PRESETS", "starting_file"),
    "restore": ("restore_level",),
    "restore_tally": ("RestoreResult",),
    "selection": ("Selection",),
    "tar_import": ("Source", "import_archive", "sources_of"),
    "verify": ("verify_store",),
    "verify_result": ("Budget", "Coverage", "Damage", "Stretch", "VerifyResult"),
}
_MODULE_OF = {name: module for module, names in _FROM.items() for name in names}

__all__ = [
    "PRESETS",
    "ArchiveStatus",
    "BackupResult",
    "Budget",
    "Change",
    "ConfigError",
    "Coverage",
    "Damage",
    "DatabaseInfo",
    "Deployment",
    "EngineError",
    "Entry",
    "Event",
    "Exported",
    "Extent",
    "FileSet",
    "Finding",
    "Found",
    "FoundVersion",
    "Level",
    "LevelNotFound",
    "LevelRef",
    "Moment",
    "NotArchived",
    "Noted",
    "NothingSelected",
    "OtherBytes",
    "Progress",
    "Pushed",
    "Recovery",
    "Report",
    "ResolvedSet",
    "RestoreResult",
    "Roots",
    "Selection",
    "SetInfo",
    "SlotStatus",
    "Source",
    "SourceError",
    "StreamEvent",
    "Stretch",
    "TargetError",
    "TargetFull",
    "TimelineStatus",
    "Unreachable",
    "VerifyResult",
    "WalGap",
    "WalStream",
    "Warned",
    "archive_status",
    "back_up",
    "cat",
    "check_cluster",
    "cluster_of",
    "diff",
    "entries",
    "export_level",
    "extents_of",
    "fetch_wal",
    "fill_spool",
    "find",
    "format_lsn",
    "import_archive",
    "level_before",
    "list_entries",
    "list_levels",
    "load_deployment",
    "moments_near",
    "parse_deployment",
    "push",
    "quick_deployment",
    "reachable",
    "resolve",
    "resolve_deployment",
    "restore_cluster",
    "restore_level",
    "show_path",
    "slot_status",
    "sources_of",
    "starting_file",
    "verify_store",
    "write_tar",
]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'siltstone.engine' has no attribute '{name}'")
    value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value
