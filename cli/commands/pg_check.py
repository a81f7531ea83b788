"""`silt pg check`: is this cluster ready to be backed up and archived, and if not, what mends it?

Rule: what is found is the answer of this command, so it is told on stdout, and warnings and faults with --quiet, too.
It opens no store, and changes nothing without --mend. A table goes to a terminal, one line a finding into a pipe.
"""

import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from ..database import slot_option
from ..deploying import deployment_to_look_at
from ..exits import Exit
from ..figures import counted
from ..mistake import Mistake
from ..options import Options, make_command
from ..paths import shown
from ..settings import load_settings

if TYPE_CHECKING:
    from siltstone.engine import Finding

BAD = ("warning", "fault")
NARROW = 60  # columns: a sentence in fewer than that is hard to read, and the terminal may fold it itself


@make_command(
    "check",
    with_store=False,
    examples="""
    silt pg check                                     # the cluster of deployment.toml here
    silt pg check -c /etc/silt/app.toml
    silt pg check --dsn 'host=db.example user=backup'
    silt pg check --json
    silt pg check --dsn 'host=/run/postgresql user=postgres' --mend
    """,
)
@click.option("-c", "--config", "file", metavar="FILE", help="The deployment file whose [postgres] is meant.")
@click.option("-D", "definitions", multiple=True, metavar="NAME=VALUE", help="Replace a variable of the file; repeat.")
@click.option("--dsn", metavar="DSN", help="The cluster, in libpq's words. No password: others see the command line.")
@slot_option
@click.option("--mend", is_flag=True, help="Run what mends warnings and faults, as the role of the dsn; then check.")
def command(
    options: Options, file: str | None, definitions: tuple[str, ...], dsn: str | None, slot: str, mend: bool
) -> int:
    """Check whether a cluster is ready to be backed up.

    Each finding is ok, a note, a warning (backups work; something may be lost or fail later) or a fault (they do not
    work), with the command that mends it. The exit code is 3 with warnings and 8 with a fault. Without -c and --dsn:
    deployment.toml here, else the one that the settings name.

    With --json: {"ready" (no fault), "findings": [{"what", "state", "sentence", "mend", "restart" (what mends it counts
    from the server's next start)}]}.
    """
    from siltstone.engine import check_cluster

    place = _dsn(file, definitions, dsn)
    findings = check_cluster(place, slot=slot)
    if mend:
        _run_mends(options, place, findings)
        findings = check_cluster(place, slot=slot)
    states = {finding.state for finding in findings}
    _tell(options, findings)
    return int(Exit.NOT_READY if "fault" in states else Exit.WARNINGS if "warning" in states else Exit.DONE)


def _run_mends(options: Options, dsn: str, findings: "Sequence[Finding]") -> None:
    from siltstone.engine import mend_cluster

    for command_run in mend_cluster(dsn, findings):
        if not (options.quiet or options.json):
            print(f"run: {shown(command_run)}")


def _dsn(file: str | None, definitions: tuple[str, ...], dsn: str | None) -> str:
    if dsn is not None:
        if file or definitions:
            raise Mistake("--dsn names a cluster, and so does a deployment file", hint="give one of the two")
        return dsn
    deployment = deployment_to_look_at(file, definitions, load_settings(os.environ), "give --dsn, or -c FILE")
    if deployment.database is None:
        raise Mistake(
            f"{shown(str(deployment.source))}: it names no PostgreSQL cluster",
            hint='add [postgres] with dsn = "host=... user=...", or give --dsn',
        )
    return deployment.database.dsn


def _tell(options: Options, findings: "Sequence[Finding]") -> None:
    if options.json:
        from ..answer import answer

        answer(options, _record(findings), ())
        return
    told = [finding for finding in findings if finding.state in BAD] if options.quiet else findings
    width = shutil.get_terminal_size().columns
    on_terminal = sys.stdout.isatty()
    for line in table(told, width) if on_terminal else map(_line, told):
        print(line)
    if on_terminal and not options.quiet:
        print(verdict(findings))


def _record(findings: "Sequence[Finding]") -> dict[str, Any]:
    names = ("what", "state", "sentence", "mend", "restart")
    return {
        "ready": all(finding.state != "fault" for finding in findings),
        "findings": [{name: getattr(finding, name) for name in names} for finding in findings],
    }


def table(findings: "Sequence[Finding]", width: int) -> Iterator[str]:
    """State, name and sentence in columns, folded to the width; below each what mends it, never folded."""
    name_width = max((len(finding.what) for finding in findings), default=0)
    indent = " " * (len("warning") + name_width + 4)
    for finding in findings:
        room = max(NARROW, width - len(indent))
        first, *rest = textwrap.wrap(shown(finding.sentence), room, break_long_words=False, break_on_hyphens=False)
        yield f"{finding.state:7}  {finding.what:{name_width}}  {first}"
        yield from (indent + line for line in rest)
        if mend := _mend(finding):
            yield f"{indent}-> {mend}"


def verdict(findings: "Sequence[Finding]") -> str:
    """The whole in one line."""
    numbers = {state: sum(finding.state == state for finding in findings) for state in BAD}
    told = ", ".join(counted(number, state) for state, number in reversed(numbers.items()) if number)
    return "ready" if not told else f"not ready: {told}" if numbers["fault"] else f"ready, with {told}"


def _line(finding: "Finding") -> str:
    mend = _mend(finding)
    return f"{finding.state}: {finding.what}: {shown(finding.sentence)}" + (f" -> {mend}" if mend else "")


def _mend(finding: "Finding") -> str:
    """What mends it, on one line: it is to be copied."""
    parts = [shown(finding.mend), "restart the server" if finding.restart else ""]
    return " then ".join(filter(None, parts))
