"""`silt sync`: copy levels, groups or everything from one store into another.

Rule: it adds and removes nothing. The exit code is 3 when something that was asked for is not in the target as it is in
the source: a level that cannot be read whole, or another one under the same name.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from ..answer import answer
from ..columns import facts
from ..exits import Exit
from ..figures import count, counted, size
from ..opening import open_store
from ..options import Options, make_command
from ..partner import open_partner, partner_key_file
from ..paths import shown

if TYPE_CHECKING:
    from siltstone.engine import SyncResult

NAMED = 10


@make_command(
    "sync",
    examples="""
    silt sync /mnt/second/store --new                  # makes a copy of the store, with the same keys
    silt sync /mnt/second/store                        # and from then on what is missing there
    silt sync /mnt/second/store latest phantom:0       # a level, and a group
    silt sync /mnt/theirs --partner-key-file their.key # into a store with other keys
    silt sync /mnt/first/store --store /mnt/second/store --dry-run
    """,
)
@click.argument("target")
@click.argument("what", nargs=-1, metavar="[LEVEL|GROUP]...")
@click.option("--new", is_flag=True, help="Make TARGET first, in an empty place: a store of the same id and keys.")
@click.option("--no-wal", is_flag=True, help="Leave archived WAL of PostgreSQL out.")
@click.option("-n", "--dry-run", is_flag=True, help="Tell what would be copied; copy nothing.")
@partner_key_file
def command(
    options: Options,
    target: str,
    what: tuple[str, ...],
    new: bool,
    no_wal: bool,
    dry_run: bool,
    partner_key_file: str | None,
) -> int:
    """Copy into another store what is missing there.

    From the store into the store TARGET; without LEVEL or GROUP, all. Everything is compared with its name or id on the
    way. Copies of one store exchange packs as they are; into a store with other keys contents are stored anew.
    Interrupted, it goes on.

    With --json: "levels" (copied), "parts" (of levels that are not whole), "wal" (files), "there" (before), "packs",
    "bytes" (added), "differing", "failed" (names of roots), "twins" (the stores have one id and the same keys),
    "dry_run".
    """
    from siltstone.engine import sync_stores
    from siltstone.store import make_twin, open_backend

    from ..reporter import make_reporter

    store = open_store(options, needing="sync")
    backend = open_backend(target, create=new and not dry_run)
    if new and not dry_run:
        make_twin(store.backend, backend)
    other = open_partner(options, backend, partner_key_file)
    with make_reporter(options) as reporter:
        result = sync_stores(store, other, what, wal=not no_wal, dry_run=dry_run, report=reporter.report)
    answer(options, _record(result), _lines(result))
    return int(Exit.WARNINGS if result.differing or result.failed else Exit.DONE)


def _record(result: "SyncResult") -> dict[str, Any]:
    names = ("levels", "parts", "wal", "there", "packs", "bytes", "differing", "failed", "twins", "dry_run")
    return {name: getattr(result, name) for name in names}


def _lines(result: "SyncResult") -> Iterator[str]:
    done = "would be copied" if result.dry_run else "copied"
    yield f"{counted(len(result.levels), 'level')} {done}"
    packs = f"{counted(result.packs, 'pack')}, {size(result.bytes)}"
    yield from facts(
        [
            ("levels", _some(result.levels)),
            ("parts", _some(result.parts)),
            ("WAL", counted(result.wal, "file") if result.wal else ""),
            ("added", packs if result.packs else ""),
            ("there", f"{count(result.there)} before" if result.there else ""),
            ("differing", _some(result.differing)),
            ("failed", _some(result.failed)),
        ]
    )


def _some(names: list[str]) -> str:
    more = f", and {count(len(names) - NAMED)} more" if len(names) > NAMED else ""
    return ", ".join(shown(name.removeprefix("backups/").removeprefix("parts/")) for name in names[:NAMED]) + more
