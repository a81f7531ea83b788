"""`silt wal push`: PostgreSQL's archive_command.

Rule: exit code 0 means that the file is durable in the store, whoever put it there; with any other PostgreSQL keeps it
and asks again. What was archived ahead of its requests is noted for `wal_quick` after the store's commit, and only
then; a note that cannot be written costs time, and nothing else.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..answer import answer
from ..figures import counted
from ..opening import open_store
from ..options import Options, make_command
from ..wal_quick import note, place_of, write_notes

if TYPE_CHECKING:
    from siltstone.engine import Pushed
    from siltstone.store import Store


@make_command(
    "push",
    examples="""
    silt wal push pg_wal/000000010000000000000001 --store /mnt/backup/store
    archive_command = 'silt wal push %p --store /mnt/backup/store --key-file /etc/silt/key'
    """,
)
@click.argument("path", metavar="%p")
@click.option("--system", type=int, metavar="NUMBER", help="The cluster's system identifier, outside a data directory.")
def push(options: Options, path: str, system: int | None) -> int:
    """Archive a WAL file; PostgreSQL's archive_command.

    %p is its path, below the data directory. What else is ready (pg_wal/archive_status/*.ready) is taken along, so that
    the calls for those files that follow have nothing to do. With --json: {"files": [{"name", "known"}]}; known: the
    archive had it already.
    """
    from ..reporter import make_reporter

    store = open_store(options, needing="postgres.push")
    from siltstone.engine import push as push_wal

    with make_reporter(options) as reporter:
        pushed = push_wal(store, Path(path), system_identifier=system, report=reporter.report)
    _take_notes(store, Path(path), pushed)
    new = sum(not each.known for each in pushed)
    record = {"files": [{"name": each.name, "known": each.known} for each in pushed]}
    answer(options, record, [f"{pushed[0].name}: archived; {counted(new, 'new file')} in the archive"])
    return 0


def _take_notes(store: "Store", path: Path, pushed: "list[Pushed]") -> None:
    try:
        place = place_of(store.backend.location, os.path.dirname(os.path.dirname(os.path.abspath(path))))
        folder = os.path.dirname(os.path.abspath(path))
        lines = [
            note(os.path.join(folder, each.name), each.identity, os.path.join(store.backend.location, each.object))
            for each in pushed
        ]
        write_notes(place, lines)
    except OSError:
        pass  # no directory, or no place for notes: the next calls take the long way
