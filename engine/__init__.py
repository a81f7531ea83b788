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
    from .amount import parse_amount
    from .archive import cat, write_tar
    from .backup import BackupResult, back_up
    from .browse import list_entries
    from .browse_diff import Change, diff
    from .browse_find import Found, find
    from .config_only import configuration_of
    from .config_tables import LevelTables
    from .database_info import DatabaseInfo
    from .deployment import Deployment, FileSet, ResolvedSet, quick_deployment, resolve_deployment
    from .deployment_check import check_deployment
    from .deployment_file import load_deployment, parse_deployment
    from .entry import Entry, Extent
    from .errors import ConfigError, EngineError, LevelNotFound, NothingSelected, SourceError, TargetError, TargetFull
    from .events import Event, Noted, Progress, Report, Warned
    from .export import Exported, export_level
    from .forgetting import Judgement, carry_out, judge_by_name, judge_by_rules, undelete
    from .forgotten import ForgottenLevel, forgotten_levels
    from .garbage import Collected, Limits, collect
    from .hooks import HookFailed
    from .hosts import Part, Topology
    from .keep_rules import WINDOW_NS, KeepRules, Retention
    from .level_cost import Costs, costs
    from .level_hosts import by_host, hosts_of, of_each_host, of_host, tar_name_of
    from .levels import Level, LevelRef, SetInfo, level_refs, list_levels
    from .manifest import entries, extents_of
    from .metrics import metrics_text
    from .notify import Message, tell
    from .onto import DatabaseStep, OntoPlan, Step, plan_onto
    from .onto_restore import NotAllowed, check_allowed, full_of, level_for_onto, restore_onto
    from .parts import Incomplete, discard, incomplete_levels
    from .pins import Pin, pin_level, pinned_refs, read_pins, unpin_level
    from .postgres.archive_errors import NotArchived, OtherBytes, WalGap
    from .postgres.archive_read import fetch_wal
    from .postgres.archive_status import ArchiveStatus, SlotStatus, archive_status, slot_status
    from .postgres.brought import wal_brought
    from .postgres.config_read import SETTINGS
    from .postgres.config_write import SettingChange, compare_settings, write_settings, write_tables
    from .postgres.control import cluster_of
    from .postgres.finding import Finding
    from .postgres.lsn import format_lsn
    from .postgres.mending import mend_cluster
    from .postgres.push import Pushed, is_more_ready, push, push_ahead
    from .postgres.reach import Unreachable, level_before, reachable
    from .postgres.readiness import check_cluster
    from .postgres.recoverable import Recoverable
    from .postgres.recovery import Recovery
    from .postgres.restore_cluster import restore_cluster
    from .postgres.spool import fill_spool
    from .postgres.stream_service import StreamEvent, WalStream
    from .postgres.table_name import TableName, parse_table_name
    from .postgres.wal_pruning import ClusterWal, prune_wal, wal_outlook
    from .postgres.wal_times import Moment, moments_near
    from .presets import PRESETS, starting_file
    from .protect import protect_store
    from .read_plan import Reading, parse_shard
    from .repair import apply_remedies, plan_repair
    from .resolving import resolve, resolve_ref
    from .restore import restore_level
    from .restore_matrix import RULES, Nature, Refusal, judge
    from .restore_measured import measured_restores, remember_pace
    from .restore_notes import RestoreNote, read_restores
    from .restore_pace import Expected, expected_times
    from .restore_tally import RestoreResult
    from .runs import Run, read_runs, remember, replace_text
    from .schedule import TASKS, Schedule
    from .scrub import ScrubResult, scrub_store
    from .selection import Selection
    from .span import parse_span, span_text
    from .status import DeploymentStatus, Status, StoreFigures, read_status
    from .sync import SyncResult, sync_stores
    from .tar_import import import_archive, sources_of
    from .tar_name import parse_tar_name
    from .timers import Caller, cron_lines, unit_names, units
    from .topology import configuration_name, host_here, parts_of
    from .verify import verify_store
    from .verify_result import Budget, Damage, Shortened, Stretch, VerifyResult

# Module -> names.
_FROM = {
    "amount": "parse_amount",
    "archive": "cat write_tar",
    "backup": "BackupResult back_up",
    "browse": "list_entries",
    "browse_diff": "Change diff",
    "browse_find": "Found find",
    "config_only": "configuration_of",
    "config_tables": "LevelTables",
    "database_info": "DatabaseInfo",
    "deployment": "Deployment FileSet ResolvedSet quick_deployment resolve_deployment",
    "deployment_check": "check_deployment",
    "deployment_file": "load_deployment parse_deployment",
    "entry": "Entry Extent",
    "errors": "ConfigError EngineError LevelNotFound NothingSelected SourceError TargetError TargetFull",
    "events": "Event Noted Progress Report Warned",
    "export": "Exported export_level",
    "forgetting": "Judgement carry_out judge_by_name judge_by_rules undelete",
    "forgotten": "ForgottenLevel forgotten_levels",
    "garbage": "Collected Limits collect",
    "hooks": "HookFailed",
    "hosts": "Part Topology",
    "keep_rules": "WINDOW_NS KeepRules Retention",
    "level_cost": "Costs costs",
    "level_hosts": "by_host hosts_of of_each_host of_host tar_name_of",
    "levels": "Level LevelRef SetInfo level_refs list_levels",
    "manifest": "entries extents_of",
    "metrics": "metrics_text",
    "notify": "Message tell",
    "onto": "DatabaseStep OntoPlan Step plan_onto",
    "onto_restore": "NotAllowed check_allowed full_of level_for_onto restore_onto",
    "parts": "Incomplete discard incomplete_levels",
    "pins": "Pin pin_level pinned_refs read_pins unpin_level",
    "postgres.archive_errors": "NotArchived OtherBytes WalGap",
    "postgres.archive_read": "fetch_wal",
    "postgres.archive_status": "ArchiveStatus SlotStatus archive_status slot_status",
    "postgres.brought": "wal_brought",
    "postgres.config_read": "SETTINGS",
    "postgres.config_write": "SettingChange compare_settings write_settings write_tables",
    "postgres.control": "cluster_of",
    "postgres.finding": "Finding",
    "postgres.lsn": "format_lsn",
    "postgres.mending": "mend_cluster",
    "postgres.push": "Pushed is_more_ready push push_ahead",
    "postgres.reach": "Unreachable level_before reachable",
    "postgres.readiness": "check_cluster",
    "postgres.recoverable": "Recoverable",
    "postgres.recovery": "Recovery",
    "postgres.restore_cluster": "restore_cluster",
    "postgres.spool": "fill_spool",
    "postgres.stream_service": "StreamEvent WalStream",
    "postgres.table_name": "TableName parse_table_name",
    "postgres.wal_pruning": "ClusterWal prune_wal wal_outlook",
    "postgres.wal_times": "Moment moments_near",
    "presets": "PRESETS starting_file",
    "protect": "protect_store",
    "read_plan": "Reading parse_shard",
    "repair": "apply_remedies plan_repair",
    "resolving": "resolve resolve_ref",
    "restore": "restore_level",
    "restore_matrix": "RULES Nature Refusal judge",
    "restore_measured": "measured_restores remember_pace",
    "restore_notes": "RestoreNote read_restores",
    "restore_pace": "Expected expected_times",
    "restore_tally": "RestoreResult",
    "runs": "Run read_runs remember replace_text",
    "schedule": "TASKS Schedule",
    "scrub": "ScrubResult scrub_store",
    "selection": "Selection",
    "span": "parse_span span_text",
    "status": "DeploymentStatus Status StoreFigures read_status",
    "sync": "SyncResult sync_stores",
    "tar_import": "import_archive sources_of",
    "tar_name": "parse_tar_name",
    "timers": "Caller cron_lines unit_names units",
    "topology": "configuration_name host_here parts_of",
    "verify": "verify_store",
    "verify_result": "Budget Damage Shortened Stretch VerifyResult",
}
_MODULE_OF = {name: module for module, names in _FROM.items() for name in names.split()}

__all__ = [
    "PRESETS",
    "RULES",
    "SETTINGS",
    "TASKS",
    "WINDOW_NS",
    "ArchiveStatus",
    "BackupResult",
    "Budget",
    "Caller",
    "Change",
    "ClusterWal",
    "Collected",
    "ConfigError",
    "Costs",
    "Damage",
    "DatabaseInfo",
    "DatabaseStep",
    "Deployment",
    "DeploymentStatus",
    "EngineError",
    "Entry",
    "Event",
    "Expected",
    "Exported",
    "Extent",
    "FileSet",
    "Finding",
    "ForgottenLevel",
    "Found",
    "HookFailed",
    "Incomplete",
    "Judgement",
    "KeepRules",
    "Level",
    "LevelNotFound",
    "LevelRef",
    "LevelTables",
    "Limits",
    "Message",
    "Moment",
    "Nature",
    "NotAllowed",
    "NotArchived",
    "Noted",
    "NothingSelected",
    "OntoPlan",
    "OtherBytes",
    "Part",
    "Pin",
    "Progress",
    "Pushed",
    "Reading",
    "Recoverable",
    "Recovery",
    "Refusal",
    "Report",
    "ResolvedSet",
    "RestoreNote",
    "RestoreResult",
    "Retention",
    "Run",
    "Schedule",
    "ScrubResult",
    "Selection",
    "SetInfo",
    "SettingChange",
    "Shortened",
    "SlotStatus",
    "SourceError",
    "Status",
    "Step",
    "StoreFigures",
    "StreamEvent",
    "Stretch",
    "SyncResult",
    "TableName",
    "TargetError",
    "TargetFull",
    "Topology",
    "Unreachable",
    "VerifyResult",
    "WalGap",
    "WalStream",
    "Warned",
    "apply_remedies",
    "archive_status",
    "back_up",
    "by_host",
    "carry_out",
    "cat",
    "check_allowed",
    "check_cluster",
    "check_deployment",
    "cluster_of",
    "collect",
    "compare_settings",
    "configuration_name",
    "configuration_of",
    "costs",
    "cron_lines",
    "diff",
    "discard",
    "entries",
    "expected_times",
    "export_level",
    "extents_of",
    "fetch_wal",
    "fill_spool",
    "find",
    "forgotten_levels",
    "format_lsn",
    "full_of",
    "host_here",
    "hosts_of",
    "import_archive",
    "incomplete_levels",
    "is_more_ready",
    "judge",
    "judge_by_name",
    "judge_by_rules",
    "level_before",
    "level_for_onto",
    "level_refs",
    "list_entries",
    "list_levels",
    "load_deployment",
    "measured_restores",
    "mend_cluster",
    "metrics_text",
    "moments_near",
    "of_each_host",
    "of_host",
    "parse_amount",
    "parse_deployment",
    "parse_shard",
    "parse_span",
    "parse_table_name",
    "parse_tar_name",
    "parts_of",
    "pin_level",
    "pinned_refs",
    "plan_onto",
    "plan_repair",
    "protect_store",
    "prune_wal",
    "push",
    "push_ahead",
    "quick_deployment",
    "reachable",
    "read_pins",
    "read_restores",
    "read_runs",
    "read_status",
    "remember",
    "remember_pace",
    "replace_text",
    "resolve",
    "resolve_deployment",
    "resolve_ref",
    "restore_cluster",
    "restore_level",
    "restore_onto",
    "scrub_store",
    "slot_status",
    "sources_of",
    "span_text",
    "starting_file",
    "sync_stores",
    "tar_name_of",
    "tell",
    "undelete",
    "unit_names",
    "units",
    "unpin_level",
    "verify_store",
    "wal_brought",
    "wal_outlook",
    "write_settings",
    "write_tables",
    "write_tar",
]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'siltstone.engine' has no attribute '{name}'")
    value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value
