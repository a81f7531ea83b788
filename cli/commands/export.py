"""`silt export`: levels as tar files under the names of the old tool.

Rule: a file appears under its name only when it is whole, and none that is there is replaced unless that is said. What
is on stdout is the answer; the archive goes into files (`silt tar` writes to stdout).
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..answer import answer
from ..exits import Exit
from ..figures import count, duration, rate, size
from ..mistake import Mistake
from ..opening import Opening
from ..options import Options, make_command

if TYPE_CHECKING:
    from siltstone.engine import Exported


@make_command(
    "export",
    examples="""
    silt export 0/1                                # phantom_backup_group_0_level_1.tar in this folder
    silt export 0/0 0/1 0/2 --incremental --to /mnt/usb
    tar --incremental --xattrs --xattrs-include='*' -xpf phantom_backup_group_0_level_1.tar -C /
    """,
)
@click.argument("levels", nargs=-1, required=True, metavar="LEVEL...")
@click.option("--to", metavar="DIR", default=".", show_default=True, help="The folder for the files.")
@click.option("--host", metavar="NAME", help="Only what this host had.")
@click.option("--incremental", is_flag=True, help="Of a level above 0, only what changed since the level before it.")
@click.option("--replace", is_flag=True, help="Replace files that are there already.")
def command(
    options: Options, levels: tuple[str, ...], to: str, host: str | None, incremental: bool, replace: bool
) -> int:
    """Write levels as tar files that plain tar restores.

    The same level gives the same bytes each time. A level that was imported gives back the file that it was imported
    from. Files written with --incremental are for GNU tar: extract them in order, level 0 first, with --incremental.
    Of a level of several hosts each gets a file of its own: app.node2_backup_group_0_level_1.tar.

    With --json the result is "files": [{"file", "deployment", "group", "level", "tar", "host" (empty where there is
    one), "bytes", "members" (null of what was imported), "incremental", "duration"}] and "warnings".
    """
    opening = Opening(options)
    from siltstone.engine import by_host, export_level, resolve, tar_name_of

    from ..reporter import make_reporter

    folder = Path(to)
    if not folder.is_dir():
        raise Mistake(f"{to}: there is no such folder", hint="make it, or name another with --to")
    store = opening.store()
    found = [each for level in levels for each in by_host(resolve(store, level), host)]
    written: list[tuple[str, str, Exported, float]] = []
    with make_reporter(options) as reporter:
        for name, level in found:
            path = os.path.join(to, tar_name_of(level.ref, name))
            begun = time.monotonic()
            done = export_level(
                store, level, Path(path), incremental=incremental, replace=replace, report=reporter.report
            )
            written.append((path, name, done, time.monotonic() - begun))
    records = [_record(*each) for each in written]
    answer(options, {"files": records, "warnings": reporter.warnings}, _lines(written))
    return int(Exit.WARNINGS if reporter.warnings else Exit.DONE)


def _record(path: str, host: str, done: "Exported", seconds: float) -> dict[str, Any]:
    from ..records import name_record

    return {
        "file": path,
        **name_record(done.ref),
        "host": host,
        "bytes": done.bytes,
        "members": done.members,
        "incremental": done.incremental,
        "duration": seconds,
    }


def _lines(written: "list[tuple[str, str, Exported, float]]") -> Iterator[str]:
    for path, _, done, seconds in written:
        what = "as it was imported" if done.members is None else f"{count(done.members)} members"
        speed = f", {rate(done.bytes / seconds)}" if seconds else ""
        yield f"{path}: {what}, {size(done.bytes)} in {duration(seconds)}{speed}"
