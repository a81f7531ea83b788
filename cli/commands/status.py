"""`silt status`: one screen: is all well with the backups, and if not, what to do first.

Rule: what needs somebody comes last, each with the command to begin with, and makes the exit code that of warnings. The
store alone is enough; with a deployment file its schedule is held against what is there.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..answer import answer
from ..columns import columns, facts
from ..deploying import deployment_of_status
from ..exits import Exit
from ..figures import count, counted, local_time, lsn_text, share, size, time_left, utc_time
from ..opening import open_store
from ..options import Options, make_command
from ..paths import shown
from ..settings import load_settings
from ..state import state_folder

if TYPE_CHECKING:
    from siltstone.engine import ArchiveStatus, DeploymentStatus, Status, StoreFigures


@make_command(
    "status",
    examples="""
    silt status
    silt status -c deployment.toml || mail -s 'look at the backups' ops@example.org
    silt status -c deployment.toml --metrics /var/lib/node_exporter/textfile/silt.prom
    """,
)
@click.option("-c", "--config", "file", metavar="FILE", help="The deployment file: its schedule is asked, too.")
@click.option("--metrics", metavar="FILE", help="Write the figures for Prometheus into this file, as well.")
def command(options: Options, file: str | None, metrics: str | None) -> int:
    """Show whether all is well: backups, WAL, verification, room.

    The exit code is 3 when something needs somebody. Without -c the deployment of the settings is taken, if there is
    one.

    With --json: {"deployments": [{"deployment", "levels", "groups", "newest" (a level, or null), "damaged": [...],
    "missed": [{"task", "due"}]}], "wal": [{"system_identifier", "timelines": [{"timeline", "end", "newest"}], "gaps"}],
    "store": {"packs", "stored_bytes", "held_bytes", "grown_bytes" (in 30 days), "verified" (0 to 1, in 30 days),
    "free_bytes", "parity" (as 2/16, or null), "uncovered", "uncovered_bytes" (packs that no parity covers)},
    "restores" (onto other deployments, in 30 days; as in 'show --json', with "deployment", "group", "level", "tar"),
    "waiting" (levels of which parts are missing, as in 'list --json'), "attention": [{"what", "command"}]}.
    """
    from datetime import datetime

    from siltstone.engine import metrics_text, read_runs, read_status, replace_text

    deployment = deployment_of_status(file, load_settings(os.environ))
    store = open_store(options, needing="status")
    runs = read_runs(state_folder(os.environ), deployment.name) if deployment else {}
    status = read_status(store, datetime.now().astimezone(), deployment=deployment, runs=runs)
    if metrics:
        replace_text(Path(metrics), metrics_text(status, deployment.name if deployment else "", runs))
    answer(options, _record(status), _lines(status, store.backend.location))
    return int(Exit.WARNINGS if status.attention else Exit.DONE)


def _record(status: "Status") -> dict[str, Any]:
    from ..records import incomplete_record, name_record
    from ..restores import restore_record

    figures = status.store
    return {
        "deployments": [_deployment_record(each) for each in status.deployments],
        "wal": [_archive_record(each) for each in status.archives],
        "store": {
            "packs": figures.packs,
            "stored_bytes": figures.stored,
            "held_bytes": figures.held,
            "grown_bytes": figures.grown,
            "verified": figures.verified,
            "free_bytes": figures.free,
            "parity": figures.parity or None,
            "uncovered": figures.uncovered,
            "uncovered_bytes": figures.uncovered_bytes,
        },
        "restores": [{**name_record(each.ref), **restore_record(each)} for each in status.restores],
        "waiting": [incomplete_record(each) for each in status.waiting],
        "attention": [{"what": shown(each.what), "command": each.command} for each in status.attention],
    }


def _deployment_record(each: "DeploymentStatus") -> dict[str, Any]:
    from ..records import level_record

    return {
        "deployment": each.name,
        "levels": each.levels,
        "groups": each.groups,
        "newest": level_record(each.newest) if each.newest else None,
        "damaged": each.damaged,
        "missed": [{"task": task, "due": due.isoformat()} for task, due in each.missed],
    }


def _archive_record(archive: "ArchiveStatus") -> dict[str, Any]:
    return {
        "system_identifier": str(archive.system_identifier),
        "timelines": [
            {
                "timeline": each.timeline,
                "end": lsn_text(each.end),
                "newest": None if each.newest is None else utc_time(each.newest * 1000),
            }
            for each in archive.timelines
        ],
        "gaps": len(archive.gaps),
    }


def _parity(figures: "StoreFigures") -> str:
    if not figures.uncovered:
        return figures.parity
    left = f"{counted(figures.uncovered, 'pack')}, {size(figures.uncovered_bytes)}, without it until 'silt protect'"
    return f"{figures.parity}; {left} or 'silt gc'" if figures.parity else ""


def _lines(status: "Status", location: str) -> Iterator[str]:
    from ..restores import restore_lines

    rows = []
    for each in status.deployments:
        newest = each.newest
        last = ("", "nothing yet", "", "")
        if newest is not None:
            age = time_left(max(0, time.time() - newest.started_ns / 1e9))
            last = (str(newest.ref), local_time(newest.started_ns), age, newest.kind)
        rows.append((each.name, count(each.groups), count(each.levels), *last))
    if rows:
        header = ("DEPLOYMENT", "GROUPS", "LEVELS", "NEWEST", "BEGUN", "AGE", "KIND")
        yield from columns(header, rows, right=frozenset({"GROUPS", "LEVELS", "AGE"}))
    for waiting in status.waiting:
        missing = ", ".join(map(str, waiting.missing)) or "somebody who makes it whole"
        yield f"{waiting.ref.deployment}:{waiting.ref} waits for {missing}"
    for archive in status.archives:
        end = archive.timelines[-1]
        commit = "" if end.newest is None else f", newest commit {local_time(end.newest * 1000)}"
        where = f"{lsn_text(end.end)} of timeline {end.timeline}"
        yield f"WAL of cluster {archive.system_identifier} up to {where}{commit}"
    figures = status.store
    yield f"store {shown(location)}"
    less = max(0, figures.held - figures.stored)
    saved = f"{size(figures.held)} in files of all levels, {share(less, figures.held)} saved"
    yield from facts(
        [
            ("stored", f"{size(figures.stored)} in {counted(figures.packs, 'pack')}"),
            ("held", saved if figures.held else ""),
            ("grown", f"{size(figures.grown)} in 30 days"),
            ("parity", _parity(figures)),
            ("room", "" if figures.free is None else f"{size(figures.free)} left"),
            ("verified", f"{share(figures.verified, 1)} read and intact in 30 days"),
        ]
    )
    for note in status.restores:
        first, *others = restore_lines(note)
        yield f"{note.ref.deployment}:{note.ref} was {first}"
        yield from others
    if not status.attention:
        yield "all is well"
    for each_attention in status.attention:
        yield f"ATTENTION: {shown(each_attention.what)}"
        yield f"  {each_attention.command}"
