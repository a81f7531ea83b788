"""What becomes of archived WAL, and from where to where recovery gets, before and after: for people and as JSON.

Rule: a window is told for every level with a database and each timeline that recovery can take from it. A window that
goes does so with its level; what stays is as wide afterwards as it was. It decides nothing.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .columns import columns
from .figures import count, counted, local_time, lsn_text, utc_time

if TYPE_CHECKING:
    from siltstone.engine import ClusterWal

HEADER = ("LEVEL", "TIMELINE", "RECOVERS FROM", "TO", "LAST COMMIT", "")


def wal_lines(outlook: "Sequence[ClusterWal]") -> Iterator[str]:
    """A table for each cluster."""
    for cluster in outlook:
        plan = cluster.plan
        files = counted(len(plan.needed) + len(plan.may_go), "file")
        yield ""
        yield f"WAL of cluster {cluster.system_identifier}: {count(len(plan.may_go))} of {files} would go"
        rows = [
            (
                each.level,
                str(each.timeline),
                lsn_text(each.start),
                lsn_text(each.end),
                _moment(commit),
                _fate(each in plan.after),
            )
            for each, commit in cluster.commits.items()
        ]
        yield from (f"  {line}" for line in columns(HEADER, rows))


def _moment(microseconds: int | None) -> str:
    return "" if microseconds is None else local_time(microseconds * 1000)


def _fate(stays: bool) -> str:
    return "stays" if stays else "goes"


def wal_records(outlook: "Sequence[ClusterWal]") -> list[dict[str, Any]]:
    """The same for "wal" of `silt forget --dry-run --json`."""
    return [
        {
            "system_identifier": cluster.system_identifier,
            "files": len(cluster.plan.needed) + len(cluster.plan.may_go),
            "may_go": len(cluster.plan.may_go),
            "windows": [
                {
                    "level": each.level,
                    "timeline": each.timeline,
                    "start_lsn": lsn_text(each.start),
                    "end_lsn": lsn_text(each.end),
                    "last_commit": None if commit is None else utc_time(commit * 1000),
                    "stays": each in cluster.plan.after,
                }
                for each, commit in cluster.commits.items()
            ],
        }
        for cluster in outlook
    ]
