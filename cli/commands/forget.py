"""`silt forget`: levels and groups go, by name or by rules.

Rule: what goes was named, or is not kept by a rule that was given; there is no question, since cron has no answer and
`silt undelete` has one. The exit code is 3 where a damaged level was among those that were judged.
"""

import os
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import click

from ..answer import answer
from ..deploying import deployment_from_file
from ..exits import Exit
from ..figures import counted, local_time
from ..judgement import judgement_lines, judgement_records
from ..judgement_wal import wal_lines, wal_records
from ..keeping import default_window, keep_options, rules_given
from ..mistake import Mistake
from ..opening import open_store
from ..options import Options, make_command
from ..settings import load_settings

if TYPE_CHECKING:
    from siltstone.engine import Judgement, LevelRef, Retention
    from siltstone.store import Store


@make_command(
    "forget",
    examples="""
    silt forget 0                                     # a group
    silt forget 0/3 app:1/2                           # levels
    silt forget --keep-daily 14 --keep-monthly 12 --dry-run
    silt forget -c deployment.toml                    # by its [retention], as after a backup
    """,
)
@click.argument("what", nargs=-1, metavar="[GROUP | GROUP/LEVEL]...")
@keep_options
@click.option("--deployment", metavar="NAME", help="With rules: judge this deployment alone.")
@click.option("-c", "--config", "file", metavar="FILE", help="The deployment file whose [retention] is applied.")
@click.option(
    "--undelete-window", metavar="SPAN", help="How long it can be undeleted; else as [retention], the settings, or 7d."
)
@click.option("-n", "--dry-run", is_flag=True, help="Draw what would stay and go, why, and what it costs.")
def command(
    options: Options,
    what: tuple[str, ...],
    deployment: str | None,
    file: str | None,
    undelete_window: str | None,
    dry_run: bool,
    **keep: Any,
) -> int:
    """Forget levels: by name, or all that no rule keeps.

    A level stays when any rule keeps it, each counted by itself; pinned levels and the newest one stay anyway. Without
    names and rules the [retention] of the deployment file says what stays. Room is made when garbage is collected,
    after the undelete window. A level of which hosts have not sent all parts is forgotten by its name alone, and for
    good.

    With --json: "dry_run"; "levels" (deployment, group, level, tar, "stays", "reasons"); "groups" (deployment, group,
    "levels", "staying"); "forgotten", the levels that were; "wal_removed", how many WAL files no level needed any more.
    With --dry-run "own_bytes" of each (stored bytes that only it uses), "free_bytes", and "wal" (cluster by cluster
    "files", "may_go", and "windows": from where to where recovery gets).
    """
    retention, deployment = _retention(what, keep, deployment, file)
    store = open_store(options, needing="forgetting")
    window = _window(undelete_window, retention)
    if (unfinished := _unfinished(store, what)) and not dry_run:
        return _discard(options, store, unfinished)
    judged = _judge(store, what, retention, deployment)
    if dry_run:
        return _draw(options, store, judged)
    return _forget(options, store, judged, window)


def _unfinished(store: "Store", what: tuple[str, ...]) -> "list[LevelRef]":
    """The levels that words name, where all of them name levels that are not whole."""
    from siltstone.engine import incomplete_levels

    known: dict[str, LevelRef] = {}
    for each in incomplete_levels(store) if what else ():
        known |= {str(each.ref): each.ref, f"{each.ref.deployment}:{each.ref}": each.ref}
    return [known[word] for word in what] if all(word in known for word in what) else []


def _discard(options: Options, store: "Store", unfinished: "list[LevelRef]") -> int:
    from siltstone.engine import discard

    from ..records import name_record

    gone = [ref for ref in unfinished if discard(store, ref)]
    record = {"dry_run": False, "forgotten": [name_record(ref) for ref in gone]}
    answer(options, record, [f"{ref.deployment}:{ref}, which was incomplete, was forgotten" for ref in gone])
    return int(Exit.DONE)


def _retention(
    what: Sequence[str], keep: dict[str, Any], deployment: str | None, file: str | None
) -> "tuple[Retention | None, str | None]":
    """The rules, and the deployment that they are for; None and None where names say what goes."""
    from siltstone.engine import Retention

    rules = rules_given(keep)
    if what and (rules or deployment or file):
        raise Mistake("levels are named, or rules are given, not both", hint="leave the names or the options out")
    if what:
        return None, None
    if rules:
        if file:
            raise Mistake("-c has no meaning with --keep options", hint="the file's rules apply, or those given here")
        return Retention(rules), deployment
    if deployment:
        raise Mistake("--deployment has no meaning without --keep options", hint="a file judges its own deployment")
    settings = load_settings(os.environ)
    if not (file or settings.get("deployment")):
        raise Mistake("nothing says what is to be forgotten", hint=_WAYS)
    found = deployment_from_file(file, (), settings)
    if found.retention is None:
        raise Mistake(f"{found.source}: it has no [retention], and nothing here says what goes", hint=_WAYS)
    return found.retention, found.name


_WAYS = "name groups or levels, give --keep options, or -c FILE with [retention] in it"


def _window(given: str | None, retention: "Retention | None") -> int:
    """What is nearest: the command line, the deployment file, the settings."""
    from siltstone.engine import WINDOW_NS, parse_span

    if given is not None:
        return parse_span(given)
    said = retention.window_ns if retention else None
    said = default_window(load_settings(os.environ)) if said is None else said
    return WINDOW_NS if said is None else said


def _judge(
    store: "Store", what: Sequence[str], retention: "Retention | None", deployment: str | None
) -> "list[Judgement]":
    from siltstone.engine import judge_by_name, judge_by_rules

    if retention is None:
        return judge_by_name(store, what)
    return judge_by_rules(store, retention.rules, deployment)


def _draw(options: Options, store: "Store", judged: "list[Judgement]") -> int:
    from siltstone.engine import costs, incomplete_levels, list_levels, wal_outlook

    from ..reporter import make_reporter

    going = {each.ref for each in judged if not each.stays}
    with make_reporter(options) as reporter:
        # Levels that wait for parts stay, and hold what they share with the others.
        levels = [*list_levels(store), *(each.level for each in incomplete_levels(store) if each.level)]
        known = costs(store, levels, going, reporter.report)
        outlook = wal_outlook(store, levels, going)
    record = {"dry_run": True, **judgement_records(judged, known), "forgotten": [], "wal": wal_records(outlook)}
    answer(options, record, chain(judgement_lines(judged, known), wal_lines(outlook)))
    return _code(judged)


def _forget(options: Options, store: "Store", judged: "list[Judgement]", window: int) -> int:
    from siltstone.engine import carry_out, prune_wal

    from ..records import name_record
    from ..reporter import make_reporter

    with make_reporter(options) as reporter:
        done = carry_out(store, judged, window, reporter.report)
        files = prune_wal(store, reporter.report)
    record = {"forgotten": [name_record(each.ref) for each in done], "wal_removed": files}
    answer(options, {"dry_run": False, **judgement_records(judged, None), **record}, _lines(done, window))
    return _code(judged)


def _lines(done: "list[Judgement]", window: int) -> Iterator[str]:
    import time

    if not done:
        yield "nothing was forgotten: all levels stay"
        return
    until = local_time(time.time_ns() + window)
    yield f"{counted(len(done), 'level')} forgotten; 'silt undelete' brings them back until {until}"


def _code(judged: "list[Judgement]") -> int:
    return int(Exit.WARNINGS if any(each.level.damage for each in judged) else Exit.DONE)
