"""A cache on this host of what was read from a remote store: index segments, footers, and the frames of manifests.

    <folder>/<store id>/<first two letters>/<name>  :=  bytes | BLAKE3 of them (32)

Rule: it holds copies of sealed objects that never change, so nothing in it needs to be renewed, and nothing depends on
it: any file, or all of it, may be deleted at any time, and any number of processes share it. What does not have its
hash is no copy. An error of the local disk makes it smaller, and fails nobody.

It is kept under `limit` bytes by dropping what was not used for longest; between two looks it may pass that by a
sixteenth. Nothing is synced: after a power loss a file may be short, which its hash tells.
"""

import mmap
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress

from blake3 import blake3
from msgspec import Struct

from .backend import Buffer

_HASH = 32
_TEMPORARY = ".new-"


class CachePlace(Struct, frozen=True):
    """Where the caches of all stores lie, and how many bytes each of them may hold."""

    folder: str
    limit: int


class LocalCache:
    """The cache of one store. For any thread."""

    def __init__(self, place: CachePlace, store_id: bytes) -> None:
        self._folder = os.path.join(place.folder, store_id.hex())
        self._limit = place.limit
        self._unseen = place.limit // 16  # bytes that were kept since the last look; the first one is taken at once
        self._lock = threading.Lock()

    def get(self, name: str) -> memoryview | None:
        """The copy of that name, mapped; None where there is no sound one."""
        path = self._path(name)
        try:
            with open(path, "rb") as file:
                data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            if blake3(data[:-_HASH]).digest() != data[-_HASH:]:
                os.unlink(path)
                return None
            os.utime(path)  # what was used lately stays
        except (OSError, ValueError):  # ValueError: an empty file has no map
            return None
        return data[:-_HASH]

    def keep(self, name: str, pieces: Sequence[Buffer]) -> None:
        """Take a copy. Where that fails there is none."""
        path = self._path(name)
        temporary = os.path.join(os.path.dirname(path), f"{_TEMPORARY}{os.urandom(8).hex()}")
        hasher = blake3()
        for piece in pieces:
            hasher.update(piece)
        try:
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.writelines([*pieces, hasher.digest()])
                size = file.tell()
            os.rename(temporary, path)
        except OSError:
            with suppress(OSError):
                os.unlink(temporary)
            return
        with self._lock:
            self._unseen += size
            full = self._unseen * 16 > self._limit
            if full:
                self._unseen = 0
        if full:
            self._shrink()

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name[:2], name)

    def _shrink(self) -> None:
        """Drop what was not used for longest, until a fifth is free."""
        found = sorted(_files(self._folder))
        total = sum(size for _, size, _ in found)
        if total <= self._limit:
            return
        for _, size, path in found:
            if total <= self._limit * 4 // 5:
                return
            with suppress(OSError):
                os.unlink(path)
            total -= size


def _files(folder: str) -> Iterator[tuple[int, int, str]]:
    """(when it was last used, size, path) of every file."""
    for above, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(above, name)
            with suppress(OSError):
                found = os.stat(path)
                yield found.st_mtime_ns, found.st_size, path
