"""`silt restore`: put a level, or what paths and globs select of it, back on the disk.

Rule: where it goes is always said: --to a folder, under the original paths, or --in-place. When everything that could
be put back was, and something could not, the exit code is 4 if that is for damage in the store, else 3.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from ..answer import answer
from ..columns import facts
from ..exits import Exit
from ..figures import count, duration, rate, size
from ..mistake import Mistake
from ..opening import Opening
from ..options import Options, make_command
from ..paths import shown
from ..recovering import recovery_of, with_command
from ..restored import result_record
from ..selecting import absolute_path, selection_of

if TYPE_CHECKING:
    from siltstone.engine import Level, Recovery, RestoreResult


@make_command(
    "restore",
    examples="""
    silt restore latest --to /tmp/out
    silt restore 0/1 /opt/phantom/apps '*.pem' --to /tmp/out
    silt restore 0/1 --set vault --in-place --dry-run
    silt restore 0/1 /srv/app --to /srv/app2 --base /srv/app
    silt restore latest --in-place --verify
    silt restore latest --database --to /srv/pg --tablespace /mnt/fast=/srv/fast
    silt restore latest --to /srv/pg --until '2026-11-20 14:03:07+00' --dry-run
    silt restore latest --onto new-cluster.toml --dry-run
    silt restore latest --onto new-cluster.toml --until '2026-11-20 14:03:07+00'
    """,
)
@click.argument("level")
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("--to", metavar="DIR", help="Restore below this folder, each file under its original path.")
@click.option("--in-place", is_flag=True, help="Restore to where it came from; what is right already is left alone.")
@click.option("--onto", metavar="FILE", help="Restore onto the deployment that this file describes: this host's share.")
@click.option("--allow", "allowed", multiple=True, metavar="RULE", help="With --onto: although this rule is broken.")
@click.option("-D", "definitions", multiple=True, metavar="NAME=VALUE", help="With --onto: replace a variable of FILE.")
@click.option("--host", metavar="NAME", help="Only what this host had; with --onto, what FILE calls this host.")
@click.option("--set", "set_name", metavar="NAME", help="Only this file set.")
@click.option("--base", metavar="DIR", help="With --to: put what lies below DIR directly into the folder.")
@click.option("--database", is_flag=True, help="With --to or --onto: only the database, as a data directory to start.")
@click.option("--tablespace", "tablespaces", multiple=True, metavar="OLD=NEW", help="Where a tablespace goes.")
@click.option("--until", metavar="MOMENT", help="Recover the database to a moment, to 'latest' or 'immediate'.")
@click.option("--until-lsn", metavar="LSN", help="Recover the database to a place in the WAL.")
@click.option("--until-xid", metavar="XID", help="Recover the database to the end of a transaction.")
@click.option("--until-name", metavar="NAME", help="Recover the database to a named restore point.")
@click.option("--exclusive", is_flag=True, help="With --until: stop just before.")
@click.option("--timeline", metavar="NUMBER", help="With --until: along this timeline, and not the newest.")
@click.option("--keep-archiving", is_flag=True, help="Leave archive_mode as it was; else it is off.")
@click.option("-n", "--dry-run", is_flag=True, help="Tell what would be written; write nothing.")
@click.option("--numeric-ids", is_flag=True, help="Keep the numbers of owners, whatever their names are on this host.")
@click.option("--verify", "read_back", is_flag=True, help="Read back and compare everything that was written.")
def command(
    options: Options,
    level: str,
    paths: tuple[str, ...],
    to: str | None,
    in_place: bool,
    onto: str | None,
    allowed: tuple[str, ...],
    definitions: tuple[str, ...],
    host: str | None,
    set_name: str | None,
    base: str | None,
    database: bool,
    tablespaces: tuple[str, ...],
    until: str | None,
    until_lsn: str | None,
    until_xid: str | None,
    until_name: str | None,
    exclusive: bool,
    timeline: str | None,
    keep_archiving: bool,
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
    targets = {"time": until, "lsn": until_lsn, "xid": until_xid, "name": until_name}
    recovery = recovery_of(targets, timeline, exclusive=exclusive)
    same: dict[str, Any] = {"verify": read_back, "numeric_ids": numeric_ids, "dry_run": dry_run}
    if onto is not None:
        elsewhere = {"PATH": paths, "--to": to, "--in-place": in_place, "--base": base, "--tablespace": tablespaces}
        _refuse_with_onto(elsewhere, set_name, {"--until": recovery, "--keep-archiving": keep_archiving})
        from ..onto import Onto, restore_onto_file

        asked = Onto(level, onto, definitions, allowed, host or "", set_name, database, recovery)
        return restore_onto_file(options, asked, keep_archiving=keep_archiving, **same)
    if allowed or definitions:
        raise Mistake("--allow and -D have no meaning without --onto", hint="leave them out")
    if bool(to) == in_place:
        raise Mistake("say where to restore to", hint="--to DIR, --in-place or --onto FILE")
    if base and in_place:
        raise Mistake("--base has no meaning with --in-place", hint="leave it out, or restore --to a folder")
    database = database or recovery is not None
    others = {"PATH": paths, "--set": set_name, "--base": base, "--in-place": in_place}
    _refuse_mixed(database, {"--tablespace": tablespaces, "--keep-archiving": keep_archiving}, others)
    opening = Opening(options)
    target = absolute_path(to) if to else None
    restore: Callable[..., RestoreResult]
    if database and target:
        from siltstone.engine import restore_cluster

        moves = dict(map(_move, tablespaces))
        restore = partial(restore_cluster, target=target, tablespaces=moves, keep_archiving=keep_archiving, **same)
        return _restore(options, opening, level, restore, to, recovery, dry_run=dry_run)
    from siltstone.engine import restore_level

    chosen, below = selection_of(paths, set_name, host), absolute_path(base) if base else None
    restore = partial(restore_level, target=target, selection=chosen, base=below, **same)
    return _restore(options, opening, level, restore, to, dry_run=dry_run)


def _refuse_with_onto(given: Mapping[str, object], set_name: str | None, of_databases: Mapping[str, object]) -> None:
    for option, value in given.items():
        if value:
            raise Mistake(f"{option} has no meaning with --onto", hint="where things go is what its FILE says")
    for option, value in of_databases.items():
        if value and set_name is not None:
            raise Mistake(f"{option} has no meaning with --set", hint="it is about the database: leave one of them out")


def _refuse_mixed(database: bool, of_databases: Mapping[str, object], of_files: Mapping[str, object]) -> None:
    for option, given in (of_files if database else of_databases).items():
        if given and database:
            raise Mistake(f"{option} has no meaning with --database", hint="a database is restored as a whole")
        if given:
            raise Mistake(f"{option} has no meaning without --database", hint="it is about the database of a level")


def _restore(
    options: Options,
    opening: Opening,
    level: str,
    restore: "Callable[..., RestoreResult]",
    to: str | None,
    recovery: "Recovery | None" = None,
    *,
    dry_run: bool,
) -> int:
    from siltstone.engine import remember_pace, resolve

    from ..records import name_record
    from ..reporter import make_reporter

    store = opening.store()
    with nullcontext() if dry_run else store.reading():  # a dry run writes nothing, and no lease either
        if recovery is not None:
            from siltstone.engine import level_before, reachable

            found = level_before(store, level, recovery)
            recovery = with_command(reachable(store, found, recovery), store, found, options.key_file)
            restore = partial(restore, recovery=recovery)
        else:
            found = resolve(store, level)
        begun, begun_ns = time.monotonic(), time.time_ns()
        with make_reporter(options) as reporter:
            result = restore(store, found, report=reporter.report)
        remember_pace(store, found.ref, begun_ns, result)
    seconds = time.monotonic() - begun
    answer(
        options,
        {**name_record(found), **result_record(result), "duration": seconds},
        _lines(found, result, to, seconds),
    )
    return int(Exit.DAMAGE if result.damaged else Exit.WARNINGS if result.warnings else Exit.DONE)


def _move(text: str) -> tuple[bytes, bytes]:
    old, equals, new = text.partition("=")
    if not (equals and old and new):
        raise Mistake(f"--tablespace {text}: this is not OLD=NEW", hint="for example /mnt/fast=/srv/fast")
    return absolute_path(old), absolute_path(new)


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
