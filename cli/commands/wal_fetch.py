"""`silt wal fetch`: PostgreSQL's restore_command.

Rule: the file appears under its name whole, or not at all. It is not waited for until it lies on the disk: PostgreSQL
asks under a name of no meaning, removes what a crash left there, and syncs a file before it gives it its own name
(durable_rename in KeepFileRestoredFromArchive), so recovery would wait twice. The exit code is NOT_ARCHIVED
only where the store proves that the file is beyond the end of the archive. `start` turns all other failures into codes
that stop recovery, so what is said here may be any.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..exits import Exit
from ..mistake import Mistake
from ..opening import open_store
from ..options import Options, make_command
from ..paths import shown
from ..wal_quick import WAITED, archive_state, detach, lock_spool, place_of, spool_of

if TYPE_CHECKING:
    from siltstone.store import Store


@make_command(
    "fetch",
    examples="""
    silt wal fetch 000000010000000000000001 pg_wal/RECOVERYXLOG --store /mnt/backup/store
    """,
)
@click.argument("name", metavar="%f")
@click.argument("path", metavar="%p")
@click.option("--system", type=int, metavar="NUMBER", help="The cluster's system identifier, outside a data directory.")
@click.option("--only-ahead", is_flag=True, help="Fetch what follows the file into the spool, and not the file.")
@click.option(WAITED, is_flag=True, hidden=True, help="For silt-wal: somebody was waited for already.")
def fetch(options: Options, name: str, path: str, system: int | None, only_ahead: bool, waited: bool) -> int:
    """Fetch a WAL file; PostgreSQL's restore_command.

    %f is its name and %p where it goes. PostgreSQL takes exit codes from 1 to 125 for the end of the archive, so write

    \b
    restore_command = 'silt-wal fetch %f %p || exit $(($? == 44 ? 1 : 255))'

    silt-wal is 'silt wal' that starts no Python for a segment that lies ready.
    44 is said only where it is proved that the archive ends before this file; a gap, a damaged object, a wrong key or a
    store that is away are 200 and more. What the archive lacks and a restored level brought along whole in its pg_wal
    is taken from there. Segments that follow are laid ready in the background.
    """
    store = open_store(options, needing="postgres.spool")
    from siltstone.engine import NotArchived, WalGap, cluster_of, fetch_wal
    from siltstone.store import Corrupt, ObjectMissing

    cluster = cluster_of(Path.cwd()) if system is None else system
    if only_ahead:
        _fill(store, cluster, name)
        return 0
    try:
        record, data = fetch_wal(store, cluster, name)
    except NotArchived as error:
        print(f"silt: {shown(str(error))}", file=sys.stderr)
        return int(Exit.NOT_ARCHIVED)
    except (WalGap, Corrupt, ObjectMissing):
        from siltstone.engine import wal_brought  # with numpy, which takes a fifth of a call

        brought = wal_brought(Path.cwd(), cluster, name)
        if brought is None:
            raise
        _write(brought, path)
        return 0
    _write(data, path)
    if record.name == name and len(name) == 24:
        _fill_in_background(store, cluster, name)
    return 0


def _write(data: bytes | bytearray, path: str) -> None:
    if os.path.isdir(path):
        raise Mistake(f"{shown(path)}: this is a folder", hint="%p is the name that the file gets")
    temporary = f"{path}.silt"
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb", buffering=0) as file:
        file.write(data)
    os.rename(temporary, path)


def _spool(store: "Store", cluster: int) -> str:
    """The spool of this cluster. OSError outside its data directory."""
    spool = spool_of(place_of(store.backend.location, os.getcwd(), str(cluster)))
    os.makedirs(spool, mode=0o700, exist_ok=True)
    return spool


def _fill(store: "Store", cluster: int, name: str) -> None:
    from siltstone.engine import fill_spool

    place = store.backend.location
    fill_spool(store, cluster, name, Path(_spool(store, cluster)), lambda: archive_state(place, cluster))


def _fill_in_background(store: "Store", cluster: int, name: str) -> None:
    """Have a process of its own lay ready what follows. It is only for speed: without a place for it nothing is."""
    try:
        lock = lock_spool(_spool(store, cluster))
    except OSError:
        return
    if lock is None:
        return
    sys.stdout.flush()
    if os.fork():
        os.close(lock)
        return
    try:
        detach()
        _fill(store, cluster, name)
    finally:
        os._exit(0)
