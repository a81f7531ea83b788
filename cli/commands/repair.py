"""`silt repair`: put right what can be put right from what is left of a store.

Rule: the whole plan is told before anything is changed; without --yes it is asked for on a terminal, and elsewhere
nothing is changed. What cannot be mended is told with what else helps, and makes the exit code 4.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ..answer import answer
from ..exits import Exit
from ..figures import counted
from ..opening import open_with
from ..options import Options, make_command
from ..partner import open_partner, partner_key_file
from ..paths import shown
from ..secret import has_terminal

if TYPE_CHECKING:
    from siltstone.store import Remedy

    _Plan = Sequence[Remedy]


@make_command(
    "repair",
    examples="""
    silt repair --dry-run                    # what is wrong, and what would be done
    silt repair --yes
    silt repair --from /mnt/second/store     # what is damaged here may be whole there
    silt repair --key-file recovery.txt      # with what 'silt key export' wrote: keys/ and config may be lost
    """,
)
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("-y", "--yes", is_flag=True, help="Do it without asking.")
@click.option("--from", "place", metavar="STORE", help="Another store with the same levels, to take from.")
@partner_key_file
def command(options: Options, dry_run: bool, yes: bool, place: str | None, partner_key_file: str | None) -> int:
    """Repair a store from what is left of it.

    The config comes back from any key, the index from the packs, packs from parity or from another store. Nothing is
    deleted that was not replaced. It knows of damaged packs what 'silt verify' and 'silt scrub' found, and reads no
    contents to find more: run one of them first. With --json: {"remedies": [{"object", "wrong", "action", "advice",
    "done"}], "dry_run"}; "action" is empty where nothing can be done.
    """
    from siltstone.engine import apply_remedies, plan_repair
    from siltstone.store import open_backend, recover

    from ..reporter import make_reporter

    recovered = open_with(options, recover)
    partner = open_partner(options, open_backend(place), partner_key_file) if place else None
    plan = list(plan_repair(recovered, partner))
    can = [remedy for remedy in plan if remedy.apply is not None]
    if not options.json:
        for line in _lines(plan):
            print(line)
    done: _Plan = ()
    if can and not dry_run and _agreed(options, yes=yes):
        with make_reporter(options, at_once=True) as reporter:
            failed = apply_remedies(can, reporter.report)
        done = [remedy for remedy in can if remedy not in failed]
    answer(options, _record(plan, done, dry_run=dry_run), _summary(plan, can, done, dry_run=dry_run))
    return int(Exit.DAMAGE if len(done) < len(plan) else Exit.DONE)


def _agreed(options: Options, *, yes: bool) -> bool:
    if yes or options.json or options.quiet or not has_terminal():
        return yes
    return click.confirm("Do this?")


def _lines(plan: "_Plan") -> list[str]:
    lines = []
    for remedy in plan:
        lines.append(f"{shown(remedy.object)}: {shown(remedy.wrong)}")
        if remedy.action:
            lines.append(f"  will: {remedy.action}")
        if remedy.advice:
            lines.append(f"  {'' if remedy.action else 'cannot be mended here: '}{shown(remedy.advice)}")
    return lines


def _summary(plan: "_Plan", can: "_Plan", done: "_Plan", *, dry_run: bool) -> list[str]:
    if not plan:
        return ["nothing to repair was found; 'silt verify --read-data all' reads every byte as well"]
    if done or not can:
        return [f"{counted(len(done), 'repair')} done, {len(plan) - len(done)} left as found"]
    return ["nothing was changed" + ("" if dry_run else ": give --yes to have it done")]


def _record(plan: "_Plan", done: "_Plan", *, dry_run: bool) -> dict[str, Any]:
    fields = ("object", "wrong", "action", "advice")
    remedies = [{**{name: getattr(one, name) for name in fields}, "done": one in done} for one in plan]
    return {"remedies": remedies, "dry_run": dry_run}
