"""`silt backup`: back a deployment up as a new level.

Rule: what is backed up comes from one place: a deployment file, or the paths on the command line. The exit code is 3
when the level was committed and something in it is not as it should be; any other code but 0 means that there is no
new level.
"""

import os
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import click

from ..answer import answer
from ..columns import facts
from ..compression import IN_WORDS, check_compression
from ..deploying import deployment_from_file, deployment_from_paths
from ..exits import Exit
from ..figures import counted
from ..mistake import Mistake
from ..opening import Opening
from ..options import Options, make_command
from ..settings import load_settings
from ..summary import summary

if TYPE_CHECKING:
    from siltstone.engine import BackupResult, Deployment


@make_command(
    "backup",
    examples="""
    silt backup -c deployment.toml                 # continues the newest group, or opens the first
    silt backup -c deployment.toml --type full     # opens the next group
    silt backup -c deployment.toml --dry-run
    silt backup -c deployment.toml --config-only
    silt backup -c deployment.toml --part files@node2
    silt backup /etc /home --name laptop --exclude '*.tmp'
    """,
)
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("-c", "--config", "file", metavar="FILE", help="The deployment file.")
@click.option("-D", "definitions", multiple=True, metavar="NAME=VALUE", help="Replace a variable of the file; repeat.")
@click.option(
    "--type",
    "kind",
    type=click.Choice(["auto", "full", "incr", "diff"]),
    default="auto",
    show_default=True,
    help="full opens a group; incr adds a level, diff one relative to level 0; auto: incr, or full if there is none.",
)
@click.option("--config-only", is_flag=True, help="Only configuration, as levels of deployment NAME.config.")
@click.option(
    "--part", "parts", multiple=True, metavar="SET@HOST", help="Only this part, of those of this host; repeat."
)
@click.option(
    "--host", metavar="NAME", help="What the deployment file calls this host, where its address does not say."
)
@click.option("-n", "--dry-run", is_flag=True, help="Read, and tell what would be stored; store nothing.")
@click.option("--compression", metavar="NAME", help=f"Of what this backup adds, instead of the store's: {IN_WORDS}.")
@click.option("--name", metavar="NAME", help="With PATHs: the deployment's name instead of the host's.")
@click.option("--exclude", multiple=True, metavar="RULE", help="With PATHs: leave out, as in a .gitignore; repeat.")
def command(
    options: Options,
    paths: tuple[str, ...],
    file: str | None,
    definitions: tuple[str, ...],
    kind: Literal["auto", "full", "incr", "diff"],
    config_only: bool,
    parts: tuple[str, ...],
    host: str | None,
    dry_run: bool,
    compression: str | None,
    name: str | None,
    exclude: tuple[str, ...],
) -> int:
    """Back up a deployment, or PATHs, as a new level.

    In a deployment of several hosts each sends its parts into the same level, which is there when all are.

    With --json the result is the level and "dry_run"; a dry run has its name, "stats" and "warnings" only. In "stats":
    files, directories, others, bytes; new, changed, unchanged, gone (entries); read_bytes, new_bytes (not known to the
    store before), stored_bytes (what that became in the store). "forgotten": the levels that the deployment's
    [retention] does not keep, now that there is a new one. "parts": those that this host stored of a level to which
    others send theirs; while some are "missing", the result has the level's name, "stats" and "warnings" only.
    """
    check_compression(compression)
    opening = Opening(options)
    if paths:
        of_file = {"-c": file, "-D": definitions, "--config-only": config_only, "--part": parts, "--host": host}
        _refuse(of_file, "with paths")
        deployment = deployment_from_paths(paths, name, exclude)
    else:
        _refuse({"--name": name, "--exclude": exclude}, "without paths")
        deployment = deployment_from_file(file, definitions, load_settings(os.environ))
    if config_only:
        from siltstone.engine import configuration_of

        deployment = configuration_of(deployment)
    from siltstone.engine import host_here

    here = host_here(deployment, os.uname().nodename, host or "")
    back_up = partial(_back_up, kind=kind, dry_run=dry_run, compression=compression, here=here, parts=parts)
    return back_up(options, opening, deployment)


def _refuse(given: Mapping[str, object], where: str) -> None:
    for option, value in given.items():
        if value:
            raise Mistake(f"{option} has no meaning {where}", hint="the file says it all, or the command line does")


def _back_up(
    options: Options,
    opening: Opening,
    deployment: "Deployment",
    **how: Any,
) -> int:
    from siltstone.engine import back_up

    from ..reporter import make_reporter
    from ..state import state_folder

    store = opening.store()
    with make_reporter(options) as reporter:
        keep_in = str(state_folder(os.environ) / "levels")
        result = back_up(store, deployment, report=reporter.report, keep_in=keep_in, **how)
    answer(options, _record(result), _lines(result))
    return int(Exit.WARNINGS if result.warnings else Exit.DONE)


def _record(result: "BackupResult") -> dict[str, Any]:
    from ..records import level_record, name_record

    parts: dict[str, Any] = {}
    if result.parts:
        parts = {"parts": list(map(str, result.parts)), "missing": list(map(str, result.missing))}
    if result.level is not None:
        forgotten = [name_record(ref) for ref in result.forgotten]
        return {**level_record(result.level), "dry_run": False, "forgotten": forgotten, **parts}
    plain = {"stats": result.stats, "warnings": result.warnings, "dry_run": result.dry_run}
    return {**name_record(result.ref), **plain, **parts}


def _lines(result: "BackupResult") -> Iterator[str]:
    kind = f"({result.level.kind})" if result.level else "waits for other parts:" if result.missing else "would be"
    yield f"{result.ref.deployment}:{result.ref} {kind} {result.ref.tar_name}"
    yield from facts(summary(result.stats, stored=not result.dry_run))
    if result.missing:
        yield f"missing {', '.join(map(str, result.missing))}: the level is there when they are"
    if result.forgotten:
        yield f"{counted(len(result.forgotten), 'level')} forgotten, as [retention] says; see 'silt list --forgotten'"
    if result.warnings:
        yield f"done with {counted(result.warnings, 'warning')}"
