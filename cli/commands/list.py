"""`silt list`: the groups and levels of a store.

Rule: every level that is there is listed, a damaged one too, with what is wrong about it. The order is by deployment,
group and level.
"""

import json
from typing import TYPE_CHECKING

import click

from ..columns import columns
from ..exits import Exit
from ..figures import count, duration, local_time, size
from ..opening import open_store
from ..options import Options, make_command

if TYPE_CHECKING:
    from siltstone.engine import Level

HEADER = ("LEVEL", "TIME", "TYPE", "FILES", "SIZE", "ADDED", "DURATION", "NAME")
RIGHT = frozenset({"FILES", "SIZE", "ADDED", "DURATION"})


@make_command(
    "list",
    examples="""
    silt list
    silt list phantom                # of one deployment
    silt list --json
    """,
)
@click.argument("deployment", required=False)
def command(options: Options, deployment: str | None) -> int:
    """List the levels of the store.

    DEPLOYMENT: only its levels. FILES and SIZE are what the level holds, ADDED is what it brought into the store. With
    --json: one array of levels.
    """
    from siltstone.engine import list_levels

    from ..records import level_record

    found = [level for level in list_levels(open_store(options)) if deployment in (None, level.deployment)]
    if options.json:
        print(json.dumps([level_record(level) for level in found]))
    elif not found:
        print("no backups yet" if deployment is None else f"no backups of {deployment}")
    else:
        several = len({level.deployment for level in found}) > 1
        for line in columns(HEADER, [_row(level, several) for level in found], right=RIGHT):
            print(line)
    return int(Exit.DAMAGE if any(level.damage for level in found) else Exit.DONE)


def _row(level: "Level", with_deployment: bool) -> tuple[str, ...]:
    spec = f"{level.deployment}:{level.ref}" if with_deployment else str(level.ref)
    if level.damage:
        return (spec, "damaged", "", "", "", "", "", level.tar_name)
    files = sum(files.files for files in level.sets)
    held = sum(files.bytes for files in level.sets)
    took = (level.finished_ns - level.started_ns) / 1e9
    started = local_time(level.started_ns)
    added = level.stats.get("stored_bytes", 0)
    return (spec, started, level.kind, count(files), size(held), size(added), duration(took), level.tar_name)
