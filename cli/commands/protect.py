"""`silt protect`: parity over the packs, from which lost and damaged ones are rebuilt.

Rule: it needs no key. Damage that it meets makes the exit code 4: what is damaged is in no stripe, or can be rebuilt
now and perhaps not for long.
"""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from ..answer import answer
from ..columns import facts
from ..exits import Exit
from ..figures import count, counted, size
from ..opening import store_place
from ..options import Options, make_command
from ..settings import load_settings

if TYPE_CHECKING:
    from siltstone.store import Protection


@make_command(
    "protect",
    examples="""
    silt protect --parity 2/16      # any 2 of 16 packs may be lost; an eighth more space
    silt protect                    # cover the packs that came since; after each backup, say
    silt protect --parity none      # delete all parity
    """,
)
@click.option("--parity", metavar="N/OF", help="So many parity objects for so many packs; needed the first time alone.")
@click.option("-n", "--dry-run", is_flag=True, help="Tell how many packs are covered; write nothing.")
def command(options: Options, parity: str | None, dry_run: bool) -> int:
    """Cover packs with parity, against loss and damage.

    'silt repair' rebuilds from it what is lost or damaged. A store that has parity keeps its N/OF until another is
    given, which covers everything anew. It needs no key and can run where the storage is. With --json: "parity",
    "packs", "covered", "stripes", "parity_bytes", "written", "lost", "damaged", "dry_run".
    """
    from siltstone.engine import protect_store
    from siltstone.store import open_backend, read_config, remove_parity

    from ..reporter import make_reporter

    backend = open_backend(store_place(options, load_settings(os.environ)))
    read_config(backend)
    if parity == "none":
        removed = 0 if dry_run else remove_parity(backend)
        answer(options, {"removed": removed}, [f"{counted(removed, 'parity object')} deleted"])
        return int(Exit.DONE)
    with make_reporter(options) as reporter:
        result = protect_store(backend, parity, dry_run=dry_run, report=reporter.report)
    answer(options, _record(result, dry_run=dry_run), _lines(result, dry_run=dry_run))
    return int(Exit.DAMAGE if result.damaged or result.lost else Exit.DONE)


def _record(result: "Protection", *, dry_run: bool) -> dict[str, Any]:
    numbers = ("packs", "covered", "stripes", "parity_bytes", "written")
    return {
        "parity": str(result.policy),
        **{name: getattr(result, name) for name in numbers},
        "lost": sorted(result.lost),
        "damaged": [{"object": fault.object, "error": fault.error} for fault in result.damaged],
        "dry_run": dry_run,
    }


def _lines(result: "Protection", *, dry_run: bool) -> Iterator[str]:
    yield f"{count(result.covered)} of {counted(result.packs, 'pack')} covered"
    todo = f"{counted(result.changes, 'stripe')} to write" if dry_run and result.changes else ""
    there = f"{counted(result.stripes, 'stripe')}, {size(result.parity_bytes)}" if result.stripes else ""
    yield from facts(
        [
            ("parity", str(result.policy)),
            ("there", there),
            ("written", size(result.written) if result.written else ""),
            ("to do", todo),
            ("lost", counted(len(result.lost), "pack") if result.lost else ""),
            ("damaged", counted(len(result.damaged), "object") if result.damaged else ""),
        ]
    )
