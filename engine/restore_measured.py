"""What plain restores came to, kept in the store to foretell how long a restore onto another deployment takes.

    restores/<deployment>/<group>/<level>/<begun_ns>/plain := a root {format, host, ended_ns, files, bytes, failures}

Rule: nothing relies on it. A restore that is too small to tell anything is not kept, each host keeps its newest one,
and where the store cannot take it (a key that only reads, storage that is full) nothing is said. Refers to no chunk.
"""

import os
import time
from contextlib import suppress

from siltstone.store import Corrupt, NewerFormat, ObjectMissing, Store, StoreError

from .levels import LevelRef
from .restore_notes import RESTORES, RestoreNote, ended_root, note_names, read_ended, read_restores
from .restore_pace import measured
from .restore_tally import RestoreResult

_PLAIN = "/plain"


def remember_pace(store: Store, ref: LevelRef, begun_ns: int, result: RestoreResult) -> None:
    """A restore of a level to a folder or in place has just ended."""
    host = os.uname().nodename
    root = ended_root(result, time.time_ns())
    if result.dry_run or not measured(begun_ns, read_ended(root)).counts:
        return
    with suppress(StoreError):
        store.ring.need("write", "remembering a restore in the store")
        before = [note for note in _plain(store) if note.host == host]
        store.write_root(f"{ref.below(RESTORES)}/{begun_ns}{_PLAIN}", {**root, "host": host})
        for note in before:
            store.backend.delete(note.name + _PLAIN)


def measured_restores(store: Store) -> list[RestoreNote]:
    """All restores that tell of the pace: onto other deployments, and plain ones as if onto a host of the name of the
    one that ran them.
    """
    return [*read_restores(store), *_plain(store)]


def _plain(store: Store) -> list[RestoreNote]:
    found = []
    for ref, begun_ns, name in note_names(store):
        if name.endswith(_PLAIN):
            with suppress(Corrupt, NewerFormat, ObjectMissing, KeyError, TypeError, ValueError):
                root = store.read_root(name)
                host = str(root["host"])
                found.append(RestoreNote(ref, begun_ns, host, host, "", (), read_ended(root)))
    return found
