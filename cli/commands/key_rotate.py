"""`silt key rotate`: new reader keys for all later backups.

Rule: it tells which keys have the new pair and which do not, before as with --dry-run and after.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from ..answer import answer
from ..figures import counted
from ..opening import unlocked
from ..options import Options, make_command
from ..paths import shown
from ..secret import read_key_file

if TYPE_CHECKING:
    from siltstone.store import KeyObject


@make_command(
    "rotate",
    examples="""
    silt key remove 3f9a && silt key rotate  # whoever had that key reads nothing that is written from now on
    silt key rotate --also /root/db1.key     # this key file is renewed too
    silt key rotate --dry-run                # which keys would be outdated
    """,
)
@click.option("--also", "others", multiple=True, metavar="FILE", help="A key file that is to be renewed too; repeat.")
@click.option("-n", "--dry-run", is_flag=True, help="Say which keys would be outdated, and do nothing.")
def command(options: Options, others: tuple[str, ...], dry_run: bool) -> int:
    """Seal all later backups to new reader keys.

    Every key that is renewed still opens what was written before. A key whose secret is not given here keeps the keys
    that it has, opens what was written before, and is outdated: add it anew, with its owner, and remove the old one.
    So are copies made by 'silt key export'. With --json: {"generation", "renewed", "outdated" (arrays of ids),
    "dry_run"}.
    """
    from siltstone.store import KeyCopy, rotate_keys

    store, opener = unlocked(options)
    first = [] if opener is None or isinstance(opener, KeyCopy) else [opener]
    result = rotate_keys(store, [*first, *map(read_key_file, others)], dry_run=dry_run)
    record = {
        "generation": result.generation,
        "renewed": [key.id for key in result.renewed],
        "outdated": [key.id for key in result.outdated],
        "dry_run": dry_run,
    }
    would = "would be" if dry_run else "are"
    lines = [
        f"{counted(len(result.renewed), 'key')} {would} renewed, to generation {result.generation}",
        *_listed(result.outdated, f"{would} outdated (opens what was written before)"),
        "Copies made by 'silt key export' do not open what is written from now on: export them anew.",
    ]
    answer(options, record, lines)
    return 0


def _listed(keys: "Sequence[KeyObject]", what: str) -> list[str]:
    return [f"  {key.id} ({shown(key.label)}) {what}" for key in keys]
