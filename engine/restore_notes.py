"""What the store remembers of restores onto other deployments: who did it, onto what, against which rules, how fast.

    restores/<deployment>/<group>/<level>/<begun_ns>/begun := a root {format, host, onto, configuration, allowed}
    restores/<deployment>/<group>/<level>/<begun_ns>/ended := a root {format, ended_ns, files, bytes, failures}

`onto` is what the destination calls the host, and `allowed` lists [rule, sentence] of the rules that were overridden.
Rule: `begun` is durable before anything is written at the destination, so that an override is on record whatever comes
of it; a restore without `ended` was cut off. Both refer to no chunk, and stay when the level is forgotten. A store that
cannot be written into, or a key that only reads, restores all the same: then nothing is remembered, and that is told.
"""

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from siltstone.store import Corrupt, NewerFormat, NoKey, ObjectMissing, Store, StoreError

from .events import Noted, Report, Warned
from .levels import LevelRef
from .restore_matrix import Refusal
from .restore_tally import RestoreResult

RESTORES = "restores/"
_FORMAT = 1
_BEGUN, _ENDED = "/begun", "/ended"


class Ended(Struct, frozen=True):
    """How a restore ended: `files` and `bytes` were written; `failures` could not be put back."""

    ended_ns: int
    files: int
    bytes: int
    failures: int


class RestoreNote(Struct, frozen=True):
    """A restore onto another deployment. `ended` is None of one that was cut off, or goes on."""

    ref: LevelRef
    begun_ns: int
    host: str
    onto: str
    configuration: str
    allowed: tuple[Refusal, ...]
    ended: Ended | None = None

    @property
    def name(self) -> str:
        """What the names of its roots begin with."""
        return f"{self.ref.below(RESTORES)}/{self.begun_ns}"


def note_begun(
    store: Store, ref: LevelRef, onto: str, configuration: str, allowed: Sequence[Refusal], report: Report
) -> RestoreNote | None:
    """Remember that a restore begins; None where the store cannot take that: a warning, if rules were overridden."""
    made = RestoreNote(ref, time.time_ns(), os.uname().nodename, onto, configuration, tuple(allowed))
    content = {
        "format": _FORMAT,
        "host": made.host,
        "onto": onto,
        "configuration": configuration,
        "allowed": [[refusal.rule, refusal.sentence] for refusal in allowed],
    }
    try:
        store.ring.need("write", "remembering a restore in the store")
        store.write_root(made.name + _BEGUN, content)
    except StoreError as error:
        said = f"this restore is not remembered in the store: {error}"
        report(Warned("unrecorded", "", said) if allowed else Noted(said))
        return None
    return made


def note_ended(store: Store, note: RestoreNote, result: RestoreResult, report: Report) -> None:
    """Remember what a restore came to."""
    try:
        store.write_root(note.name + _ENDED, ended_root(result, time.time_ns()))
    except StoreError as error:
        report(Noted(f"how this restore ended is not remembered in the store: {error}"))


def ended_root(result: RestoreResult, ended_ns: int) -> dict[str, Any]:
    """What a root says of a restore that ended then."""
    return {
        "format": _FORMAT,
        "ended_ns": ended_ns,
        "files": result.files - result.unchanged_files,
        "bytes": result.written_bytes,
        "failures": len(result.failures),
    }


def read_ended(root: Mapping[str, Any]) -> Ended:
    """The other way round. Raises KeyError, TypeError, ValueError."""
    return Ended(*(int(root[key]) for key in ("ended_ns", "files", "bytes", "failures")))


def note_names(store: Store) -> list[tuple[LevelRef, int, str]]:
    """(level, begun_ns, name) of every root here, in the order of names."""
    found = []
    for name in store.root_names(RESTORES):
        words = name.split("/")
        if len(words) == 6 and all(word.isdecimal() for word in words[2:5]):
            found.append((LevelRef(words[1], int(words[2]), int(words[3])), int(words[4]), name))
    return found


def read_restores(store: Store, ref: LevelRef | None = None) -> list[RestoreNote]:
    """The restores that are remembered, of a level or of all, the oldest first. What cannot be read is left out:
    'silt verify' names it.
    """
    names = {name for each, _, name in note_names(store) if ref in (None, each)}
    found = []
    for each, begun_ns, name in note_names(store):
        if name in names and name.endswith(_BEGUN) and (note := _read(store, each, begun_ns, names)):
            found.append(note)
    return sorted(found, key=lambda note: note.begun_ns)


def _read(store: Store, ref: LevelRef, begun_ns: int, names: set[str]) -> RestoreNote | None:
    name = f"{ref.below(RESTORES)}/{begun_ns}"
    try:
        root = store.read_root(name + _BEGUN)
        allowed = tuple(Refusal(str(rule), str(sentence)) for rule, sentence in root["allowed"])
        whence = (str(root["host"]), str(root["onto"]), str(root["configuration"]))
        ended = read_ended(store.read_root(name + _ENDED)) if name + _ENDED in names else None
    except (Corrupt, NewerFormat, NoKey, ObjectMissing, KeyError, TypeError, ValueError):
        return None
    return RestoreNote(ref, begun_ns, *whence, allowed, ended)
