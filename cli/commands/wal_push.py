"""`silt wal push`: PostgreSQL's archive_command.

Rule: exit code 0 means that the file is durable in the store, whoever put it there; with any other PostgreSQL keeps it
and asks again. What else is ready is archived by a process that this call leaves behind, so that the calls for those
files find it done. It notes each file for `wal_quick` after the store's commit, and only then. It is only for speed:
where it fails, or is killed, the next call does the work itself.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..answer import answer
from ..opening import open_store
from ..options import Options, make_command
from ..wal_quick import WAITED, becomes_archived, detach, hold, lock_of, note, place_of, state_folder, write_notes

if TYPE_CHECKING:
    from siltstone.engine import Pushed
    from siltstone.store import Store


@make_command(
    "push",
    examples="""
    silt wal push pg_wal/000000010000000000000001 --store /mnt/backup/store
    archive_command = 'silt-wal push %p --store /mnt/backup/store --key-file /etc/silt/key'
    """,
)
@click.argument("path", metavar="%p")
@click.option("--system", type=int, metavar="NUMBER", help="The cluster's system identifier, outside a data directory.")
@click.option(WAITED, is_flag=True, hidden=True, help="For silt-wal: somebody was waited for already.")
def push(options: Options, path: str, system: int | None, waited: bool) -> int:
    """Archive a WAL file; PostgreSQL's archive_command.

    %p is its path, below the data directory. What else is ready (pg_wal/archive_status/*.ready) is archived in the
    background, so that the calls for those files that follow have nothing to do; silt-wal, which is 'silt wal', starts
    no Python for them. With --json: {"name", "known"}; known:
    the archive had it already.
    """
    store = open_store(options, needing="postgres.push")
    from siltstone.engine import push as push_wal

    path = os.path.abspath(path)
    pushed = None
    if waited or not becomes_archived(path, store.backend.location):
        pushed = push_wal(store, Path(path), system_identifier=system)
    name, known = os.path.basename(path), pushed is None or pushed.known
    answer(options, {"name": name, "known": known}, [f"{name}: {'was archived already' if known else 'archived'}"])
    try:
        _archive_ahead(store, path, system, [] if pushed is None else [_note(store, os.path.dirname(path), pushed)])
    except OSError:
        pass  # no directory, or no place for notes: the next calls take the long way
    return 0


def _archive_ahead(store: "Store", path: str, system: int | None, lines: list[str]) -> None:
    """Note what was archived, and have a process of its own archive what else is ready. OSError."""
    from siltstone.engine import is_more_ready

    os.makedirs(state_folder(), mode=0o700, exist_ok=True)
    lock = hold(lock_of(path, store.backend.location))
    if lock is None:
        return
    write_notes(place_of(store.backend.location, os.path.dirname(os.path.dirname(path))), lines)
    if not is_more_ready(Path(path)):
        os.close(lock)
        return
    sys.stdout.flush()
    if os.fork():
        os.close(lock)
        return
    try:
        detach()
        _push_ahead(store, path, system, lines)
    finally:
        os._exit(0)


def _push_ahead(store: "Store", path: str, system: int | None, lines: list[str]) -> None:
    from siltstone.engine import push_ahead

    place = place_of(store.backend.location, os.path.dirname(os.path.dirname(path)))
    for pushed in push_ahead(store, Path(path), system_identifier=system):
        lines += [_note(store, os.path.dirname(path), each) for each in pushed]
        write_notes(place, lines)


def _note(store: "Store", folder: str, pushed: "Pushed") -> str:
    return note(os.path.join(folder, pushed.name), pushed.identity, os.path.join(store.backend.location, pushed.object))
