"""Pins: levels that nobody forgets until they are unpinned.

    pins/<deployment>/<group>/<level> := a root {format, pinned_ns, host, note}

Rule: the name alone pins, so that a pin that is damaged, or cannot be read by this host's keys, still does. It is
created exclusively, and a level has one pin at most. It does not protect from who removes objects from the storage
itself, and a level that is forgotten at the very moment of pinning may be gone all the same: it is undeleted then.
"""

import os
import time

from msgspec import Struct

from siltstone.store import Corrupt, NewerFormat, NoKey, ObjectExists, ObjectMissing, Store

from .errors import EngineError
from .levels import LevelRef, level_refs

PINS = "pins/"
_FORMAT = 1


class Pin(Struct, frozen=True):
    """A pinned level. `pinned_ns` is 0 and `note` says what is wrong where the pin cannot be read."""

    ref: LevelRef
    note: str
    pinned_ns: int
    host: str


def pin_level(store: Store, ref: LevelRef, note: str = "") -> Pin:
    """Pin a level that is there. Raises EngineError when it is pinned already."""
    store.ring.need("manage", "pinning a level")
    made = Pin(ref, note, time.time_ns(), os.uname().nodename)
    content = {"format": _FORMAT, "pinned_ns": made.pinned_ns, "host": made.host, "note": note}
    try:
        store.write_root(ref.below(PINS), content)
    except ObjectExists:
        raise EngineError(
            f"level {ref} is pinned already", hint=f"'silt unpin {ref}' first, to change the note"
        ) from None
    return made


def unpin_level(store: Store, ref: LevelRef) -> None:
    """Remove a level's pin. Raises EngineError when there is none, NoKey."""
    store.ring.need("manage", "unpinning a level")
    try:
        store.backend.delete(ref.below(PINS))
    except ObjectMissing:
        raise EngineError(f"level {ref} is not pinned", hint="'silt list' shows pins") from None


def pinned_refs(store: Store) -> list[LevelRef]:
    """The pinned levels by name, sorted."""
    return level_refs(store, PINS)


def read_pins(store: Store) -> dict[LevelRef, Pin]:
    """Every pin with what it says."""
    found = {}
    for ref in pinned_refs(store):
        try:
            root = store.read_root(ref.below(PINS))
            found[ref] = Pin(ref, str(root["note"]), int(root["pinned_ns"]), str(root["host"]))
        except (Corrupt, NewerFormat, KeyError, TypeError, ValueError) as error:
            found[ref] = Pin(ref, f"(the pin cannot be read: {error})", 0, "")
        except NoKey:
            found[ref] = Pin(ref, "(sealed)", 0, "")
        except ObjectMissing:
            continue  # unpinned meanwhile
    return found
