"""`silt list`: the groups and levels of a store.

Rule: every level that is there is listed, a damaged one too, with what is wrong about it, and one that the key does not
open by its name; those that were forgotten and can be undeleted only where they are asked for. The order is by
deployment, group and level.
"""

import json
from typing import TYPE_CHECKING

import click

from ..columns import columns
from ..exits import Exit
from ..figures import count, duration, local_time, size
from ..opening import Opening
from ..options import Options, make_command
from ..paths import shown

if TYPE_CHECKING:
    from siltstone.engine import Incomplete, Level, Pin
    from siltstone.store import Store

HEADER = ("LEVEL", "TIME", "TYPE", "FILES", "SIZE", "ADDED", "DURATION", "NAME")
RIGHT = frozenset({"FILES", "SIZE", "ADDED", "DURATION"})


@make_command(
    "list",
    examples="""
    silt list
    silt list phantom                # of one deployment
    silt list --forgotten            # what can be undeleted
    silt list --json
    """,
)
@click.argument("deployment", required=False)
@click.option("--forgotten", is_flag=True, help="List the levels that were forgotten and can be undeleted.")
def command(options: Options, deployment: str | None, forgotten: bool) -> int:
    """List the levels of the store.

    DEPLOYMENT: only its levels. FILES and SIZE are what the level holds, ADDED is what it brought into the store. With
    --json: one array of levels, each with "pin" (null, or "note", "pinned", "host"); forgotten ones with "forgotten",
    "until" and "reason" instead. Levels of which hosts have not sent all parts yet come last, with "parts" and
    "missing".
    """
    opening = Opening(options)
    from siltstone.engine import incomplete_levels, list_levels, read_pins

    from ..records import incomplete_record, level_record, pin_record

    store = opening.store()
    if forgotten:
        return _list_forgotten(options, store, deployment)
    unfinished = incomplete_levels(
        store, deployment
    )  # first: what becomes whole meanwhile is then listed twice, at worst
    found = list_levels(store, deployment)
    unfinished = [each for each in unfinished if each.ref not in {level.ref for level in found}]
    pins = read_pins(store)
    if options.json:
        levels = [{**level_record(level), "pin": pin_record(pins.get(level.ref))} for level in found]
        print(json.dumps([*levels, *map(incomplete_record, unfinished)]))
    elif not found and not unfinished:
        print("no backups yet" if deployment is None else f"no backups of {deployment}")
    else:
        several = len({level.deployment for level in found}) > 1
        if found:
            _print(HEADER, [(_row(level, several), _pinned(pins.get(level.ref))) for level in found], "PINNED")
        for each in unfinished:
            print(_incomplete(each))
    return int(Exit.DAMAGE if any(level.damage for level in found) else Exit.DONE)


def _list_forgotten(options: Options, store: "Store", deployment: str | None) -> int:
    from siltstone.engine import forgotten_levels

    from ..records import forgotten_record

    every = forgotten_levels(store)
    found = [each for each in every if deployment in (None, each.level.deployment)]
    if options.json:
        print(json.dumps([forgotten_record(each) for each in found]))
    elif not found:
        print("nothing that was forgotten can be undeleted")
    else:
        several = len({each.level.deployment for each in found}) > 1
        rows = [
            (_row(each.level, several), f"{local_time(each.absence.until_ns)}, {shown(each.absence.reason)}")
            for each in found
        ]
        _print(HEADER, rows, "UNTIL, WHY FORGOTTEN")
    return int(Exit.DONE)


def _print(header: tuple[str, ...], rows: "list[tuple[tuple[str, ...], str]]", more: str) -> None:
    """The table; with one more column where any row has something there."""
    if any(last for _, last in rows):
        header, cells = (*header, more), [(*row, last) for row, last in rows]
    else:
        cells = [row for row, _ in rows]
    for line in columns(header, cells, right=RIGHT):
        print(line)


def _incomplete(each: "Incomplete") -> str:
    there = ", ".join(map(str, each.there))
    missing = f"missing {', '.join(map(str, each.missing))}" if each.level else "which cannot be read"
    return f"{each.ref.deployment}:{each.ref} is incomplete: {missing}; there: {there}"


def _pinned(pin: "Pin | None") -> str:
    return "" if pin is None else shown(pin.note) or "yes"


def _row(level: "Level", with_deployment: bool) -> tuple[str, ...]:
    spec = f"{level.deployment}:{level.ref}" if with_deployment else str(level.ref)
    if level.damage or level.sealed:
        return (spec, "damaged" if level.damage else "sealed", "", "", "", "", "", level.tar_name)
    files = sum(files.files for files in level.sets)
    held = sum(files.bytes for files in level.sets)
    took = (level.finished_ns - level.started_ns) / 1e9
    started = local_time(level.started_ns)
    added = level.stats.get("stored_bytes", 0)
    return (spec, started, level.kind, count(files), size(held), size(added), duration(took), level.tar_name)
