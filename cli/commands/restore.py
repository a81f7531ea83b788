"""`silt restore`: put a level, or what paths and globs select of it, back on the disk.

Rule: where it goes is always said: --to a folder, under the original paths, or --in-place. When everything that could
be put back was, and something could not, the exit code is 4 if that is for damage in the store, else 3.
"""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from ..answer import answer
from ..columns import facts
from ..exits import Exit
from ..figures import count, duration, rate, size
from ..mistake import Mistake
from ..opening import open_store
from ..options import Options, make_command
from ..paths import path_record, shown
from ..selecting import absolute_path, selection_of

if TYPE_CHECKING:
    from siltstone.engine import Level, RestoreResult


@make_command(
    "restore",
    examples="""
    silt restore latest --to /tmp/out
    silt restore 0/1 /opt/phantom/apps '*.pem' --to /tmp/out
    silt restore 0/1 --set vault --in-place --dry-run
    silt restore 0/1 /srv/app --to /srv/app2 --base /srv/app
    silt restore latest --in-place --verify
    """,
)
@click.argument("level")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("--to", metavar="DIR", help="Restore below this folder, each file under its original path.")
@click.option("--in-place", is_flag=True, help="Restore to where it came from; what is right already is left alone.")
@click.option("--set", "set_name", metavar="NAME", help="Only this file set.")
@click.option("--base", metavar="DIR", help="With --to: put what lies below DIR directly into the folder.")
@click.option("-n", "--dry-run", is_flag=True, help="Tell what would be written; write nothing.")
@click.option("--numeric-ids", is_flag=True, help="Keep the numbers of owners, whatever their names are on this host.")
@click.option("--verify", "read_back", is_flag=True, help="Read back and compare everything that was written.")
def command(
    options: Options,
    level: str,
    paths: tuple[str, ...],
    to: str | None,
    in_place: bool,
    set_name: str | None,
    base: str | None,
    dry_run: bool,
    numeric_ids: bool,
    read_back: bool,
) -> int:
    """Restore a level, or the PATHs of it.

    A PATH is a path of the level, or a glob: *, ?, [abc], ** for any folders. It selects all that lies below it. One
    that does not begin with '/' may begin at any folder: '*.pem', 'ssl/certs'.

    With --json the result has the level's names and "files" and "bytes" (in place), "unchanged_files" (were there
    already), "written_bytes", "skipped" (entries not below --base), "failures": [{"path", "reason"}], "damaged"
    (whether some of these are for damage in the store), "problems" (what could not be put back): [{"kind", "reason",
    "path" (the first), "count"}], "warnings", "duration", "dry_run".
    """
    if bool(to) == in_place:
        raise Mistake("say where to restore to", hint="either --to DIR or --in-place")
    if base and in_place:
        raise Mistake("--base has no meaning with --in-place", hint="leave it out, or restore --to a folder")
    selection = selection_of(paths, set_name)
    target = absolute_path(to) if to else None

    from ..records import name_record
    from ..reporter import make_reporter

    store = open_store(options, needing="restore")

    from siltstone.engine import resolve, restore_level

    found = resolve(store, level)
    begun = time.monotonic()
    with make_reporter(options) as reporter:
        result = restore_level(
            store,
            found,
            target=target,
            selection=selection,
            base=absolute_path(base) if base else None,
            dry_run=dry_run,
            verify=read_back,
            numeric_ids=numeric_ids,
            report=reporter.report,
        )
    seconds = time.monotonic() - begun
    answer(options, {**name_record(found), **_record(result), "duration": seconds}, _lines(found, result, to, seconds))
    return int(Exit.DAMAGE if result.damaged else Exit.WARNINGS if result.warnings else Exit.DONE)


def _record(result: "RestoreResult") -> dict[str, Any]:
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


def _lines(level: "Level", result: "RestoreResult", to: str | None, seconds: float) -> Iterator[str]:
    where = f"to {shown(to)}" if to else "in place"
    written, verb = result.written_bytes, "would be" if result.dry_run else "was"
    speed = f", {rate(written / seconds)}" if written and not result.dry_run else ""
    yield f"{level.deployment}:{level.ref} {verb} restored {where}"
    yield from facts(
        [
            ("files", f"{count(result.files)}, {size(result.bytes)}"),
            ("unchanged", f"{count(result.unchanged_files)} were right already" if result.unchanged_files else ""),
            ("to write" if result.dry_run else "written", f"{size(written)} in {duration(seconds)}{speed}"),
            ("skipped", f"{count(result.skipped)} not below the base" if result.skipped else ""),
            ("failed", count(len(result.failures)) if result.failures else ""),
            ("warnings", count(result.warnings) if result.warnings else ""),
        ]
    )
