"""A status as text for Prometheus' node exporter (its textfile collector), exposition format 0.0.4.

Rule: pure; names end in their unit, times are seconds since 1970. A metric that has nothing to tell is left out.
"""

from collections.abc import Iterator, Mapping

from .runs import Run
from .status import Status

_HELP = {
    "silt_last_backup_timestamp_seconds": "When the newest level that can be read was begun.",
    "silt_levels": "Levels in the store.",
    "silt_missed_runs": "Scheduled tasks that were not run in time.",
    "silt_run_exit_code": "Exit code of the last run of a task on this host.",
    "silt_run_timestamp_seconds": "When the last run of a task on this host ended.",
    "silt_run_duration_seconds": "How long it took.",
    "silt_wal_gaps": "Gaps in the WAL of a cluster.",
    "silt_wal_newest_timestamp_seconds": "The newest commit in the WAL of a cluster.",
    "silt_store_bytes": "Bytes in packs.",
    "silt_held_bytes": "Bytes in the files of all levels.",
    "silt_verified_ratio": "The part of the store that was read and found intact in the last 30 days.",
    "silt_uncovered_bytes": "Bytes in packs that no parity covers, in a store that has parity.",
    "silt_attention": "Things that somebody should see to.",
}


def metrics_text(status: Status, deployment: str, runs: Mapping[str, Run]) -> str:
    """The whole file."""
    lines: list[str] = []
    told = ""
    for name, labels, value in sorted(_samples(status, deployment, runs)):
        if name != told:
            lines += [f"# HELP {name} {_HELP[name]}", f"# TYPE {name} gauge"]
            told = name
        shown = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels)
        lines.append(f"{name}{{{shown}}} {value!r}" if shown else f"{name} {value!r}")
    return "\n".join(lines) + "\n"


def _samples(
    status: Status, deployment: str, runs: Mapping[str, Run]
) -> Iterator[tuple[str, tuple[tuple[str, str], ...], float]]:
    for each in status.deployments:
        of = (("deployment", each.name),)
        yield "silt_levels", of, each.levels
        yield "silt_missed_runs", of, len(each.missed)
        if each.newest is not None:
            yield "silt_last_backup_timestamp_seconds", of, each.newest.started_ns / 1e9
    for task, run in runs.items():
        of_task = (("deployment", deployment), ("task", task))
        yield "silt_run_exit_code", of_task, run.exit_code
        yield "silt_run_timestamp_seconds", of_task, run.ended
        yield "silt_run_duration_seconds", of_task, run.ended - run.begun
    for archive in status.archives:
        cluster = (("cluster", str(archive.system_identifier)),)
        yield "silt_wal_gaps", cluster, len(archive.gaps)
        newest = [each.newest for each in archive.timelines if each.newest is not None]
        if newest:
            yield "silt_wal_newest_timestamp_seconds", cluster, max(newest) / 1e6
    yield "silt_store_bytes", (), status.store.stored
    yield "silt_held_bytes", (), status.store.held
    yield "silt_verified_ratio", (), status.store.verified
    if status.store.parity:
        yield "silt_uncovered_bytes", (), status.store.uncovered_bytes
    yield "silt_attention", (), len(status.attention)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
