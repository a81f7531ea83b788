"""The errors of Siltstone, one small tree.

Rule: an error carries one sentence that names the thing, and a hint that says what to do. Corrupt never looks like
missing: `Corrupt` is damage, `ObjectMissing` is absence, and no code turns one into the other.
It does not print and knows no exit codes; the cli has one table for those.
"""


class SiltError(Exception):
    """Anything the user or the world did wrong. `hint` says what to do about it, or is empty."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class StoreError(SiltError):
    """Something about the store."""


class NotAStore(StoreError):
    """There is no store at that place."""


class NewerFormat(StoreError):
    """The store, or an object in it, was written in a format newer than this program knows."""


class NoKey(StoreError):
    """A key is needed and none was given, or this host's keys cannot read."""


class WrongKey(StoreError):
    """The passphrase or key file opens none of the store's keys."""


class ObjectMissing(StoreError):
    """An object that was asked for is not in the store."""

    def __init__(self, name: str, *, hint: str = "") -> None:
        super().__init__(f"{name}: no such object in the store", hint=hint)
        self.name = name


class VoidRoot(ObjectMissing):
    """A root of a session that had been given up before it was created: it is as if it were not there."""


class SessionOvertaken(StoreError):
    """Garbage collection went on without this session, or removed what it relied on: nothing was committed."""


class ObjectExists(StoreError):
    """An object was to be created and its name is taken."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name}: the object exists already")
        self.name = name


class Corrupt(StoreError):
    """Stored bytes are not the bytes that were stored. `name` is the object, `frame` the frame of a pack if known."""

    def __init__(self, name: str, what: str, *, frame: int | None = None, hint: str = "") -> None:
        place = f"{name}, frame {frame}" if frame is not None else name
        super().__init__(f"{place}: {what}", hint=hint or "run 'silt verify --read-data all' to see what is concerned")
        self.name = name
        self.frame = frame


class BackendError(StoreError):
    """The storage under the store refused or failed."""


class StoreFull(BackendError):
    """The storage under the store has no room left."""


class ObjectLocked(BackendError):
    """The storage refuses to delete an object: it is under a lock or a retention rule, or this key may not delete."""
