"""`silt import`: tar files of the old tool, or of `silt export`, as levels of a store.

Rule: the files are taken in the order of their groups and levels, whatever the order in which they are named; what
cannot be is said before the first is read. Each becomes a level by itself: those that came before a failure stay.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..answer import answer
from ..columns import facts
from ..exits import Exit
from ..figures import count, size
from ..opening import Opening
from ..options import Options, make_command

if TYPE_CHECKING:
    from siltstone.engine import Level


@make_command(
    "import",
    examples="""
    silt import /opt/phantom/data/backup/phantom_backup_group_*.tar
    silt import phantom_backup_group_0_level_0-11_22_2026-03h_00m_12s.tar
    silt import export/*.tar --name phantom-old
    """,
)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--name", metavar="NAME", help="The deployment that they become levels of, instead of the one they name.")
@click.option("--whole", is_flag=True, help="Each file stands for itself: nothing of the level before it is taken.")
def command(options: Options, files: tuple[str, ...], name: str | None, whole: bool) -> int:
    """Make levels of tar files that hold older backups.

    A file is named NAME_backup_group_G_level_N.tar, with or without a time behind the level. A level above 0 is
    complete in itself, as every level is: what its file does not hold comes from the level before. 'silt export' gives
    back the same bytes.

    With --json the result is "levels", each as 'silt show' has it, and "warnings".
    """
    opening = Opening(options)
    from siltstone.engine import import_archive, sources_of

    from ..records import level_record
    from ..reporter import make_reporter

    store = opening.store()
    sources = sources_of(store, [Path(file) for file in files], deployment=name, whole=whole)
    with make_reporter(options) as reporter:
        levels = [import_archive(store, source, report=reporter.report) for source in sources]
    answer(options, {"levels": list(map(level_record, levels)), "warnings": reporter.warnings}, _lines(levels))
    return int(Exit.WARNINGS if reporter.warnings else Exit.DONE)


def _lines(levels: "list[Level]") -> Iterator[str]:
    for level in levels:
        yield f"{level.deployment}:{level.ref} ({level.kind}) imported"
        stats = level.stats
        held = f"{count(stats['files'])} files, {size(stats['bytes'])}"
        yield from facts([("tree", held), ("read", size(stats["read_bytes"])), ("stored", size(stats["stored_bytes"]))])
