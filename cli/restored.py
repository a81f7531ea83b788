"""What a restore did, for --json: the same members, wherever it went.

Rule: members are added, never renamed or removed, within one major version.
"""

from typing import TYPE_CHECKING, Any

from .paths import path_record, shown

if TYPE_CHECKING:
    from siltstone.engine import RestoreResult


def result_record(result: "RestoreResult") -> dict[str, Any]:
    """What a restore did, for --json."""
    problems = [
        {"kind": each.kind, "reason": shown(each.reason), **path_record(each.first), "count": each.count}
        for each in result.problems
    ]
    return {
        "files": result.files,
        "bytes": result.bytes,
        "unchanged_files": result.unchanged_files,
        "written_bytes": result.written_bytes,
        "skipped": result.skipped,
        "failures": [{**path_record(path), "reason": shown(reason)} for path, reason in result.failures],
        "damaged": result.damaged,
        "problems": problems,
        "warnings": result.warnings,
        "dry_run": result.dry_run,
    }
