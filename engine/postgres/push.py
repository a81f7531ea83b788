"""WAL that PostgreSQL wants archived: the file that it asks for, and those it will ask for next, in one session.

Rule: the server says what is ready in `pg_wal/archive_status/*.ready`; histories go first, then segments in their
order, AHEAD bytes at most, so that one call of archive_command never takes for ever. The file that was asked for is
archived when this returns, or an error is raised; a fault of another is a warning now, and an error when it is asked
for itself. Nothing in the data directory is written.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from siltstone.store import Store

from ..errors import SourceError
from ..events import Report, Warned
from .archive import Outcome, archive_files
from .control import PATH
from .incoming import Identity, Incoming, incoming_file

AHEAD: Final = 1 << 30

_SYSTEM = struct.Struct("=Q")
_HINT = "give the path as PostgreSQL does (%p), from inside the data directory; or its number with --system"


@dataclass(frozen=True, slots=True)
class Pushed:
    """A file that is archived now. `identity` is that of the file on the disk, before its bytes were read."""

    name: str
    object: str
    identity: Identity
    known: bool


def push(store: Store, path: Path, *, system_identifier: int | None = None, report: Report) -> list[Pushed]:
    """Archive a WAL file and what is ready behind it: what is archived now, the file that was asked for first.

    Raises SourceError when it cannot be read, Malformed or OtherBytes when it is refused, StoreError.
    """
    system = cluster_of(path.absolute().parent.parent) if system_identifier is None else system_identifier
    try:
        asked = incoming_file(path)
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}", hint=_HINT) from None
    files = [asked, *_ahead(path, AHEAD - asked.size)]
    outcomes = archive_files(store, system, files)
    if outcomes[0].error is not None:
        raise outcomes[0].error
    for outcome in outcomes[1:]:
        if outcome.error is not None:
            report(Warned("refused", outcome.name, str(outcome.error)))
    return [_pushed(file, outcome) for file, outcome in zip(files, outcomes, strict=True) if outcome.error is None]


def cluster_of(data: Path) -> int:
    """The system identifier of a data directory. Raises SourceError.

    These are the first bytes of pg_control and never change, so they may be read while a server writes the file.
    """
    control = data / os.fsdecode(PATH)
    try:
        with control.open("rb") as file:
            return int(_SYSTEM.unpack(file.read(_SYSTEM.size))[0])
    except (OSError, struct.error) as error:
        raise SourceError(f"{control}: cannot tell which cluster this is: {error}", hint=_HINT) from None


def _ahead(path: Path, room: int) -> list[Incoming]:
    """What else is ready, as far as there is room for it."""
    folder = path.absolute().parent
    try:
        ready = [name.removesuffix(".ready") for name in os.listdir(folder / "archive_status") if name[-6:] == ".ready"]
    except OSError:
        return []
    files: list[Incoming] = []
    for name in sorted(ready, key=lambda name: (not name.endswith(".history"), name)):
        if name == path.name:
            continue
        try:
            file = incoming_file(folder / name)
        except OSError:
            continue  # archived and recycled meanwhile, or it will be said when it is asked for
        room -= file.size
        if room < 0:
            break
        files.append(file)
    return files


def _pushed(file: Incoming, outcome: Outcome) -> Pushed:
    return Pushed(file.name, outcome.object, file.identity, outcome.known)
