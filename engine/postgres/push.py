"""WAL that PostgreSQL wants archived: the file that it asks for, and ahead of its requests those it will ask for next.

Rule: the server says what is ready in `pg_wal/archive_status/*.ready`; histories go first, then segments in their
order. The file that was asked for is archived when push() returns, or an error is raised. push_ahead() works through
the rest, batch by batch, as long as anything is ready that it has not tried: a fault of one is said when the server
asks for it itself. Nothing in the data directory is written.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

from siltstone.store import Store

from ..errors import SourceError
from .archive import Outcome, archive_batches, archive_files
from .control import PATH_HINT, cluster_of
from .incoming import Identity, Incoming, incoming_file

# So much becomes durable together: the first of a backlog is archived soon, and a flush is a small part of the work.
BATCH: Final = 96 << 20


class Pushed(Struct, frozen=True):
    """A file that is archived now. `identity` is that of the file on the disk, before its bytes were read."""

    name: str
    object: str
    identity: Identity
    known: bool


def push(store: Store, path: Path, *, system_identifier: int | None = None) -> Pushed:
    """Archive a WAL file.

    Raises SourceError when it cannot be read, Malformed or OtherBytes when it is refused, StoreError.
    """
    system = cluster_of(path.absolute().parent.parent) if system_identifier is None else system_identifier
    try:
        asked = incoming_file(path)
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}", hint=PATH_HINT) from None
    (outcome,) = archive_files(store, system, [asked])
    if outcome.error is not None:
        raise outcome.error
    return _pushed(asked, outcome)


def is_more_ready(path: Path) -> bool:
    """Whether the server waits for more than this file."""
    return bool(_ready(path.absolute().parent, {path.name}))


def push_ahead(store: Store, path: Path, *, system_identifier: int | None = None) -> Iterator[list[Pushed]]:
    """Archive what else is ready beside a file: each time what is archived now. Raises SourceError, StoreError."""
    folder = path.absolute().parent
    system = cluster_of(folder.parent) if system_identifier is None else system_identifier
    batch: list[Incoming] = []

    def batches() -> Iterator[list[Incoming]]:
        tried = {path.name}
        while names := _ready(folder, tried):
            batch[:] = _batch(folder, names)
            tried.update(names[: max(1, len(batch))])
            yield batch

    for outcomes in archive_batches(store, system, batches()):
        files = {file.name: file for file in batch}
        yield [_pushed(files[outcome.name], outcome) for outcome in outcomes if outcome.error is None]


def _ready(folder: Path, tried: set[str]) -> list[str]:
    """The names of what is ready and was not tried yet, in the order in which the server asks for it."""
    try:
        names = {name.removesuffix(".ready") for name in os.listdir(folder / "archive_status") if name[-6:] == ".ready"}
    except OSError:
        return []
    return sorted(names - tried, key=lambda name: (not name.endswith(".history"), name))


def _batch(folder: Path, names: Sequence[str]) -> list[Incoming]:
    """The first files, of BATCH bytes or one."""
    files: list[Incoming] = []
    size = 0
    for name in names:
        try:
            file = incoming_file(folder / name)
        except OSError:
            break  # archived and recycled meanwhile, or it will be said when it is asked for
        if files and size + file.size > BATCH:
            break
        files.append(file)
        size += file.size
    return files


def _pushed(file: Incoming, outcome: Outcome) -> Pushed:
    return Pushed(file.name, outcome.object, file.identity, outcome.known)
