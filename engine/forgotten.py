"""Levels that were forgotten, and may be undeleted for a while: what lies in the store of them.

    forgotten/<deployment>/<group>/<level>/<forgotten_ns> := the bytes of the root, sealed as backups/... as before
    absent/<deployment>/<group>/<level> := a root {format, forgotten_ns, until_ns, host, reason}

Forgetting copies the root, notes that its absence is meant, and then deletes `backups/...`; undeleting commits what it
says again, and then deletes note and copy. Rule: the copy is durable before the root is deleted, and the root
before the copy; and who did not put the root back deletes no copy. A crash in between leaves both, and then the level
is simply there: every reader looks at `backups/` first. What is left over does no harm, and goes with its window.

A copy is a root like any other for whoever collects garbage, until `until_ns` has passed; then it is removed, and the
note stays: it keeps the level's number taken for ever, and tells verification that nothing was lost. Times are those of
the host that forgets. It is no protection from who deletes objects in the storage itself.
"""

import os
import time
from contextlib import suppress
from typing import Any

from msgspec import Struct

from siltstone.store import Corrupt, Inherited, NewerFormat, NoKey, ObjectExists, ObjectMissing, Store

from .errors import EngineError, LevelNotFound
from .keep_rules import WINDOW_NS
from .levels import ABSENT, Level, LevelRef, level_refs, read_level, read_level_or_damage
from .manifest import manifest_chunks

FORGOTTEN = "forgotten/"
NO_END_NS = (1 << 63) - 1
_FORMAT = 1


class Copy(Struct, frozen=True, order=True):
    """A root that was forgotten, by its name. Times in nanoseconds since 1970."""

    ref: LevelRef
    forgotten_ns: int

    @property
    def name(self) -> str:
        return f"{self.ref.below(FORGOTTEN)}/{self.forgotten_ns}"


class Absence(Struct, frozen=True):
    """Why a level is not there, and until when it can be had again."""

    ref: LevelRef
    forgotten_ns: int
    until_ns: int
    host: str
    reason: str


def copies(store: Store) -> list[Copy]:
    """Every copy of a forgotten root, sorted; of levels that are there after all, too."""
    found = []
    for name in store.root_names(FORGOTTEN):
        parts = name.split("/")
        if len(parts) == 5 and all(part.isdecimal() for part in parts[2:]):
            found.append(Copy(LevelRef(parts[1], int(parts[2]), int(parts[3])), int(parts[4])))
    return sorted(found)


def read_absence(store: Store, ref: LevelRef) -> Absence | None:
    """The note of a level that was forgotten; None where there is none that can be read."""
    try:
        root = store.read_root(ref.below(ABSENT))
        return Absence(ref, int(root["forgotten_ns"]), int(root["until_ns"]), str(root["host"]), str(root["reason"]))
    except (ObjectMissing, Corrupt, NewerFormat, NoKey, KeyError, TypeError, ValueError):
        return None


def until_ns(store: Store, copy: Copy) -> int:
    """Until when a copy is a root: as its note says, whoever asks and whatever the settings of his host; without a note
    for the usual window. A note that cannot be read may have said any time: the copy stays.
    """
    note = read_absence(store, copy.ref)
    if note is not None:
        return note.until_ns
    return NO_END_NS if copy.ref in level_refs(store, ABSENT) else copy.forgotten_ns + WINDOW_NS


class ForgottenLevel(Struct, frozen=True):
    """A level that can be undeleted, and why it is not there."""

    level: Level
    absence: Absence


def forgotten_levels(store: Store) -> list[ForgottenLevel]:
    """Every level that is not there and can be undeleted, sorted."""
    there, now = set(level_refs(store)), time.time_ns()
    newest = {copy.ref: copy for copy in copies(store) if copy.ref not in there}
    found = []
    for ref, copy in sorted(newest.items()):
        absence = read_absence(store, ref)
        if absence is None:
            absence = Absence(ref, copy.forgotten_ns, until_ns(store, copy), "", "")
        if absence.until_ns < now:
            continue
        try:
            found.append(ForgottenLevel(read_level_or_damage(store, ref, copy.name), absence))
        except ObjectMissing:
            continue  # collected, or undeleted, meanwhile
    return found


def forget_level(store: Store, ref: LevelRef, reason: str, window_ns: int = WINDOW_NS) -> Absence:
    """Forget a level. Raises LevelNotFound, StoreError."""
    now = time.time_ns()
    try:
        root = store.backend.get(ref.name)
    except ObjectMissing:
        raise LevelNotFound(f"there is no level {ref}", hint="'silt list' shows what there is") from None
    absence = Absence(ref, now, now + window_ns, os.uname().nodename, reason)
    try:
        store.backend.put(Copy(ref, now).name, [root])
    except ObjectExists:
        pass  # somebody else does the same at the same nanosecond, with the same bytes
    _note(store, absence)
    _delete(store, ref.name)
    return absence


def note_absence(store: Store, ref: LevelRef, reason: str) -> None:
    """Note that a level is not there and cannot be had again. Raises StoreError."""
    now = time.time_ns()
    _note(store, Absence(ref, now, now, os.uname().nodename, reason))


def _note(store: Store, absence: Absence) -> None:
    content = {
        "format": _FORMAT,
        "forgotten_ns": absence.forgotten_ns,
        "until_ns": absence.until_ns,
        "host": absence.host,
        "reason": absence.reason,
    }
    name = absence.ref.below(ABSENT)
    try:
        store.write_root(name, content)
    except ObjectExists:
        _delete(store, name)  # of an attempt that was cut off: the level is still there, and nothing relies on it
        with suppress(ObjectExists):  # another host forgets the same level
            store.write_root(name, content)


def undelete_level(store: Store, ref: LevelRef) -> bool:
    """Put a forgotten level back; False when it was there already. Raises LevelNotFound when it is too late,
    EngineError when its name is another level's by now, StoreError.
    """
    mine = [copy for copy in copies(store) if copy.ref == ref]
    # A session: what collects garbage meanwhile waits for its end, and then sees the root; which is created anew, so
    # that it is void if the session was given up.
    with store.writer() as session:
        root = _read(store, mine[-1].name, ref) if mine else None
        there = _there(store, ref)
        if there is None:
            if root is None or until_ns(store, mine[-1]) < time.time_ns():
                raise _too_late(store, ref)
            copy = mine[-1]
            level = read_level(store, ref, copy.name)
            try:
                session.commit(ref.name, root, Inherited(copy.name, lambda: manifest_chunks(store, level)))
            except ObjectExists:
                there = _there(store, ref)
        if root is not None and there not in (None, root):
            raise EngineError(
                f"{ref.name} is taken by another level than the one that was forgotten",
                hint=f"forget level {ref} first, if that one is to go",
            )
        if there is None:
            _tidy_up(store, ref, mine)
    return there is None


def _tidy_up(store: Store, ref: LevelRef, mine: list[Copy]) -> None:
    """Remove note and copies, now that the level is back. Only then: of a level that was there all the time, another
    host may be about to remove the root, and trust in the copy that it made.
    """
    note = read_absence(store, ref)
    if note is None or note.forgotten_ns <= mine[-1].forgotten_ns:  # else it was forgotten again meanwhile
        _delete(store, ref.below(ABSENT))
    for copy in mine:
        _delete(store, copy.name)


def _there(store: Store, ref: LevelRef) -> dict[str, Any] | None:
    """What the root of a level says; nothing where it is damaged or another one's."""
    try:
        return _read(store, ref.name, ref)
    except Corrupt:
        return {}


def _read(store: Store, name: str, ref: LevelRef) -> dict[str, Any] | None:
    try:
        return store.read_root(name, written_as=ref.name)
    except ObjectMissing:
        return None


def _delete(store: Store, name: str) -> None:
    try:
        store.backend.delete(name)
    except ObjectMissing:
        pass  # another host did


def _too_late(store: Store, ref: LevelRef) -> LevelNotFound:
    if read_absence(store, ref) is None:
        return LevelNotFound(
            f"no level {ref} was forgotten", hint="'silt list --forgotten' shows what can be undeleted"
        )
    return LevelNotFound(
        f"level {ref} was forgotten too long ago to be undeleted", hint="'silt list --forgotten' shows what can be"
    )
