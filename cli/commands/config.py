"""`silt config`: deployment files: one to start from, whether one is right, what it stands for on this disk.

Rule: `check` reads the file, and tries what this host can reach of it; `show` looks at the disk too; neither opens a
store. A file is written only where
none is. The settings file of the user (store, keys, defaults) is another one: `siltstone.cli.settings`.
"""

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from ..answer import answer
from ..deploying import HERE, deployment_to_look_at
from ..exits import Exit
from ..figures import counted, duration
from ..keeping import retention_lines, retention_record
from ..mistake import Mistake
from ..options import Options, examples_text, make_command
from ..paths import path_record, shown
from ..settings import load_settings

if TYPE_CHECKING:
    from siltstone.engine import Deployment, FileSet, Finding, ResolvedSet

PRESETS = ("phantom",)
EXAMPLES = """
silt config new
silt config check deployment.toml
silt config show deployment.toml -D PHANTOM_HOME=/home/phantom
"""


@click.group("config", epilog=examples_text(EXAMPLES))
def command() -> None:
    """Deployment files: what is backed up together.

    Defaults of your own stand in another file, ~/.config/silt/config.toml (or SILT_CONFIG): store, key_file,
    passphrase_command, compression (for 'silt init'), deployment (for 'silt backup', and for these), each
    a text.
    """


_file = click.argument("file", required=False)
_definitions = click.option(
    "-D", "definitions", multiple=True, metavar="NAME=VALUE", help="Replace a variable of the file; repeat."
)


@make_command(
    "new",
    with_store=False,
    examples="""
    silt config new                                # writes deployment.toml here
    silt config new /etc/silt/app.toml
    silt config new --preset phantom -             # to stdout
    """,
)
@click.argument("file", default=HERE)
@click.option("--preset", type=click.Choice(PRESETS), help="Begin with the file sets of a known product.")
def new_file(options: Options, file: str, preset: str | None) -> int:
    """Write a deployment file to start from.

    FILE is deployment.toml here unless it is named; '-' is stdout. With --json: {"deployment_file"}.
    """
    from siltstone.engine import starting_file

    text = starting_file(preset)
    if file == "-":
        sys.stdout.write(text)
        return 0
    try:
        with open(file, "x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise Mistake(f"{file}: the file exists already", hint="name another one, or '-' for stdout") from None
    said = f"{shown(file)}: written; edit it, then 'silt config check {shown(file)}'"
    answer(options, path_record(file, "deployment_file"), [said])
    return 0


@make_command(
    "check",
    with_store=False,
    examples="""
    silt config check deployment.toml
    silt config check deployment.toml --offline    # the file alone
    """,
)
@_file
@_definitions
@click.option("--offline", is_flag=True, help="Read the file alone: look at no disk and ask no database.")
@click.option("--host", metavar="NAME", help="What the file calls this host, where its address does not say.")
def check_file(
    options: Options, file: str | None, definitions: tuple[str, ...], offline: bool, host: str | None
) -> int:
    """Check a deployment file.

    Without FILE: deployment.toml here, else the one that the settings name. Every mistake is named by line and key.
    Then this host's part of it is tried: paths that can be read, shares that are mounted, a database that answers, a
    store that is not on the same device. The exit code is 8 with a fault: a backup would not work.

    With --json: as 'silt config show', but for "found", "missing" and "unmatched"; and "findings": [{"what", "state",
    "sentence", "mend"}].
    """
    deployment = deployment_to_look_at(file, definitions, load_settings(os.environ))
    findings = [] if offline else _findings(deployment, host or "")
    sets = counted(len(deployment.file_sets), "file set")
    said = f"{shown(str(deployment.source))}: right; deployment {deployment.name}, {sets}"
    lines = [f"{each.state}: {each.what}: {shown(each.sentence)}" for each in findings]
    answer(
        options, {**_deployment_record(deployment), "findings": list(map(_finding_record, findings))}, [said, *lines]
    )
    return int(Exit.NOT_READY if any(each.state == "fault" for each in findings) else Exit.DONE)


def _findings(deployment: "Deployment", host: str) -> "list[Finding]":
    from siltstone.engine import check_deployment, host_here

    store = os.environ.get("SILT_STORE") or load_settings(os.environ).get("store")
    return check_deployment(deployment, host_here(deployment, os.uname().nodename, host), store or None)


def _finding_record(finding: "Finding") -> dict[str, str]:
    return {"what": finding.what, "state": finding.state, "sentence": shown(finding.sentence), "mend": finding.mend}


@make_command(
    "show",
    with_store=False,
    examples="""
    silt config show deployment.toml
    silt config show deployment.toml -D PHANTOM_HOME=/home/phantom --json
    """,
)
@_file
@_definitions
def show_file(options: Options, file: str | None, definitions: tuple[str, ...]) -> int:
    """Show what a deployment file stands for.

    Its variables, its file sets with their rules, and which of their paths are on this disk now. Without FILE:
    deployment.toml here, else the one that the settings name.

    With --json: {"name", "version", "privilege", "configuration", "os", "hosts": [{"name", "address", "role"}],
    "parts": [set@host] (where hosts are named), "variables", "file_sets": [{"name", "exclude", "one_file_system",
    "skip": {"sockets", "caches", "changed_within" (seconds), "patterns"}, "paths", "found", "missing", "unmatched"}]},
    each of the last four a list of {"path"}; and "retention": null, or {"keep_groups", "keep_last", "keep_hourly",
    "keep_daily", "keep_weekly", "keep_monthly", "keep_yearly", "keep_within", "minimum_age", "undelete_window"}, spans
    in seconds.
    """
    from siltstone.engine import resolve_deployment

    deployment = deployment_to_look_at(file, definitions, load_settings(os.environ))
    resolved = resolve_deployment(deployment)
    record = _deployment_record(deployment)
    for row, each in zip(record["file_sets"], resolved, strict=True):
        row.update(found=_paths(each.roots.found), missing=_paths(each.roots.missing))
        row["unmatched"] = _paths(each.roots.unmatched)
    answer(options, record, _lines(deployment, resolved))
    return 0


def _deployment_record(deployment: "Deployment") -> dict[str, Any]:
    return {
        "name": deployment.name,
        "version": deployment.version,
        "privilege": deployment.privilege,
        **_topology_record(deployment),
        "variables": dict(deployment.variables),
        "file_sets": [_set_record(each) for each in deployment.file_sets],
        "retention": retention_record(deployment.retention),
    }


def _topology_record(deployment: "Deployment") -> dict[str, Any]:
    from siltstone.engine import configuration_name, parts_of

    topology = deployment.topology
    return {
        "configuration": configuration_name(deployment),
        "os": topology.os,
        "hosts": [{"name": each.name, "address": each.address, "role": each.role} for each in topology.hosts],
        "parts": [str(part) for part in parts_of(deployment)] if topology.hosts else [],
    }


def _set_record(file_set: "FileSet") -> dict[str, Any]:
    skip = file_set.skip
    return {
        "name": file_set.name,
        "exclude": file_set.exclude,
        "one_file_system": skip.one_file_system,
        "skip": {
            "sockets": skip.sockets,
            "caches": skip.caches,
            "changed_within": skip.changed_within_ns / 1e9,
            "patterns": skip.patterns,
        },
        "paths": _paths(file_set.paths),
    }


def _paths(paths: tuple[bytes, ...]) -> list[dict[str, str]]:
    return [path_record(path) for path in paths]


def _lines(deployment: "Deployment", resolved: "tuple[ResolvedSet, ...]") -> Iterator[str]:
    yield " ".join(filter(None, ["deployment", deployment.name, deployment.version, deployment.privilege]))
    topology = _topology_record(deployment)
    yield " ".join(filter(None, ["topology", topology["configuration"], topology["os"]]))
    yield from (f"  {each['role']} {each['name']} ({shown(each['address'])})" for each in topology["hosts"])
    if topology["parts"]:
        yield f"  parts {' '.join(topology['parts'])}"
    for name, value in deployment.variables.items():
        yield f"  {name} = {shown(value)}"
    for each in resolved:
        yield ""
        yield f"file set {each.file_set.name}"
        yield from (f"  {shown(path)}" for path in each.roots.found)
        yield from (f"  {shown(path)}  (not there)" for path in each.roots.missing)
        yield from (f"  {shown(path)}  (matches nothing)" for path in each.roots.unmatched)
        yield from (f"  without {shown(rule)}" for rule in each.file_set.exclude)
        yield from (f"  {line}" for line in _rule_lines(each.file_set))
    if deployment.retention is not None:
        yield ""
        yield "retention"
        yield from (f"  {line}" for line in retention_lines(deployment.retention))


def _rule_lines(file_set: "FileSet") -> Iterator[str]:
    skip = file_set.skip
    if skip.one_file_system:
        yield "one file system: what is mounted below is not entered"
    skipped = [
        "sockets" if skip.sockets else "",
        "caches" if skip.caches else "",
        f"files changed within {duration(skip.changed_within_ns / 1e9)}" if skip.changed_within_ns else "",
        f"files named {' '.join(map(shown, skip.patterns))}" if skip.patterns else "",
    ]
    if any(skipped):
        yield f"skips {', '.join(filter(None, skipped))}"


command.add_command(new_file)
command.add_command(check_file)
command.add_command(show_file)
