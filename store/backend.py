"""Where objects live: the role of a backend, the names of objects, and which backend a location means.

Rule: an object is created exclusively, is durable when `put` returns, whole under its name or not there, and never
changed; only leases, and what is damaged, are replaced. A name is reported as taken only when what bears it is durable
too, so that `ObjectExists` may be relied on like a `put` of one's own.

What is not promised: folders (they exist only as the beginnings of names, and a name that was ever a folder's must not
become an object's, nor the other way), an order between the calls of different threads, and a list that is one moment's
picture.
"""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from .errors import BackendError

if TYPE_CHECKING:
    from .bandwidth import Bandwidth

Buffer = bytes | bytearray | memoryview

# Large reads are quickest at offsets, of lengths, and into addresses that are multiples of this.
BLOCK = 4096

# A leading dot is kept for temporaries and for what file servers put in folders (.nfs0001, .snapshot); lost+found, at
# the top of many file systems, is no name either. 255 bytes: the longest file name that Linux file systems have.
PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,254}")
_NAME = re.compile(rf"{PART.pattern}(?:/{PART.pattern})*")
_PREFIX = re.compile(rf"(?:{PART.pattern}/)*")
_LONGEST = 1024  # of an S3 key, in bytes
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://")

OBJECT_STORES = ("s3://", "gs://", "az://")
PLACES = "a directory, local or mounted, or an object store: s3://, gs:// or az://, the bucket, and a prefix"


class ObjectInfo(Struct, frozen=True):
    """An object as it is listed: its full name, and its size in bytes."""

    name: str
    size: int


class Backend(Protocol):
    """A place for objects, safe to share between threads and between any number of processes and hosts.

    Every call may raise BackendError: the storage refused or failed, or the name is not an object name. A BackendError
    out of a change leaves open whether the change took place; an object is whole in any case.
    """

    @property
    def location(self) -> str:
        """The place as the user names it."""
        ...

    @property
    def remote(self) -> bool:
        """Whether each call takes a network's time: then more of them run at once, and what was read is cached."""
        ...

    def holds_conditions(self) -> bool:
        """Whether `put` is exclusive and `replace` refuses a stale copy also where several writers ask at the same
        moment. Asks the storage, with a few objects of its own. Where this does not hold, a store takes backups all
        the same, and nothing may be removed from it while others write.
        """
        ...

    def put(self, name: str, pieces: Sequence[Buffer]) -> None:
        """Create the object from the pieces, one behind the other. Raises ObjectExists, StoreFull.

        Over a network an answer may be lost: an object that is there and has these very bytes may count as created.
        """
        ...

    def replace(self, name: str, pieces: Sequence[Buffer]) -> None:
        """Create or overwrite, atomically and durably: readers see the old object or the new one.

        For leases, and for a repair: right bytes in the place of damaged ones.
        """
        ...

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """`length` bytes from `offset`, or all that follow; fewer where the object ends. Raises ObjectMissing."""
        ...

    def read(self, name: str, offset: int, room: memoryview) -> memoryview:
        """As many bytes from `offset` as `room` takes, fewer only where the object ends: in `room`, or where a network
        brought them, since a copy of each byte costs what opening it does. Raises ObjectMissing.
        """
        ...

    def end(self, name: str, length: int) -> tuple[bytes, int]:
        """The last `length` bytes, or all where there are fewer, and the object's size. Raises ObjectMissing."""
        ...

    def view(self, name: str) -> memoryview:
        """The whole object, read-only, mapped rather than read where possible. Raises ObjectMissing.

        The view outlives a deletion of the object. Storage that fails under a mapping kills the process (SIGBUS), so
        this is for index segments; packs are read by read.
        """
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose name starts with `prefix` (a folder with its '/', or ''), sorted by name.

        What is created or deleted meanwhile may be listed or not; everything else is listed exactly once.
        """
        ...

    def size(self, name: str) -> int:
        """The object's size in bytes. Raises ObjectMissing."""
        ...

    def delete(self, name: str) -> None:
        """Remove the object, durably. Raises ObjectMissing, and ObjectLocked where the storage keeps it."""
        ...

    def remove_stale(self, older_than_seconds: float = 86400) -> int:
        """Drop what killed writers left half written that long ago, and return how many pieces of it there were.

        It walks the whole store. A writer that is still alive behind such a piece gets a BackendError from its call.
        """
        ...

    def free_space(self) -> int | None:
        """Bytes that can still be stored, or None where nobody knows."""
        ...


def open_backend(location: str, *, create: bool = False, bandwidth: "Bandwidth | None" = None) -> Backend:
    """The backend that a location means: a directory, which `create` makes where it is missing, or an object store,
    which keeps to `bandwidth`.

    Raises NotAStore if there is no such directory, BackendError if it cannot be used.
    """
    if not location:
        raise BackendError("the store's location is empty", hint=f"name {PLACES}")
    scheme = _SCHEME.match(location)
    if scheme is None:
        from .directory import DirectoryBackend

        return DirectoryBackend(location, create=create)
    if scheme[0] not in OBJECT_STORES:
        raise BackendError(f"{location}: nothing here stores to {scheme[0]}", hint=f"name {PLACES}")
    from .object_store import ObjectBackend

    return ObjectBackend(location, bandwidth)


def is_name(text: str) -> bool:
    """Whether the text is an object name."""
    return _NAME.fullmatch(text) is not None and len(text) <= _LONGEST


def check_name(name: str) -> str:
    """The name itself if it is an object name, which every backend asks before anything else. Raises BackendError."""
    return _checked(_NAME, name, "not an object name")


def check_prefix(prefix: str) -> str:
    """The prefix itself if it is '' or a folder ending in '/'. Raises BackendError."""
    return _checked(_PREFIX, prefix, "not a folder of objects")


def _checked(pattern: re.Pattern[str], text: str, complaint: str) -> str:
    if pattern.fullmatch(text) is None or len(text) > _LONGEST:
        hint = "each part of a name starts with a letter, a digit or '_', and holds these, '.' and '-'"
        raise BackendError(f"{text!r}: {complaint}", hint=hint)
    return text
