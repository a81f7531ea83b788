"""Backends for tests: one in memory, one that fails when told to, and every kind that the contract is held against.

Rule: MemoryBackend keeps the whole contract and nothing more; FaultyBackend lies about nothing, it only stops. Other
tests take them by `from tests.store.backends import ...`. A new kind of backend adds one line to KINDS, and the whole
contract runs over it. What a disk forgets when the power goes is in powerloss.py.
"""

import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from siltstone.store import Backend, BackendError, ObjectExists, ObjectInfo, ObjectMissing
from siltstone.store.backend import Buffer, check_name, check_prefix
from siltstone.store.directory import DirectoryBackend
from siltstone.store.object_store import ObjectBackend
from tests.seaweed import shared_seaweed, surroundings


class MemoryBackend:
    """Objects in a dict; `objects` may be looked into and damaged."""

    remote = False

    def __init__(self) -> None:
        self.location = "memory"
        self.objects: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def holds_conditions(self) -> bool:
        return True

    def put(self, name: str, pieces: Sequence[Buffer]) -> None:
        content = b"".join(pieces)
        with self._lock:
            if check_name(name) in self.objects:
                raise ObjectExists(name)
            self.objects[name] = content

    def replace(self, name: str, pieces: Sequence[Buffer]) -> None:
        content = b"".join(pieces)
        with self._lock:
            self.objects[check_name(name)] = content

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._content(name)[offset : None if length is None else offset + length]

    def read(self, name: str, offset: int, room: memoryview) -> memoryview:
        piece = self.get(name, offset, len(room))
        room[: len(piece)] = piece
        return room[: len(piece)]

    def end(self, name: str, length: int) -> tuple[bytes, int]:
        size = self.size(name)
        return self.get(name, max(0, size - length)), size

    def view(self, name: str) -> memoryview:
        return memoryview(self._content(name))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        check_prefix(prefix)
        with self._lock:
            found = sorted((name, len(content)) for name, content in self.objects.items() if name.startswith(prefix))
        return (ObjectInfo(name, size) for name, size in found)

    def size(self, name: str) -> int:
        return len(self._content(name))

    def delete(self, name: str) -> None:
        with self._lock:
            if self.objects.pop(check_name(name), None) is None:
                raise ObjectMissing(name)

    def remove_stale(self, older_than_seconds: float = 86400) -> int:
        return 0

    def free_space(self) -> int | None:
        return None

    def _content(self, name: str) -> bytes:
        with self._lock:
            content = self.objects.get(check_name(name))
        if content is None:
            raise ObjectMissing(name)
        return content


class Killed(BaseException):
    """The process is dead. Not an Exception: no clean-up may catch it, and none would reach the store."""


class Interrupted(MemoryBackend):
    """The objects of another one; something happens before one of its requests."""

    def __init__(self, inner: MemoryBackend, at: int = -1, happens: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.objects, self.requests = inner.objects, 0
        self._at, self._happens, self._lock = at, happens, threading.Lock()

    def _count(self) -> None:
        with self._lock:
            self.requests += 1
            if self.requests == self._at:
                self._happens()

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        self._count()
        return super().get(name, offset, length)

    def read(self, name: str, offset: int, room: memoryview) -> memoryview:
        self._count()
        return super().read(name, offset, room)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        self._count()
        return super().list(prefix)


class FaultyBackend:
    """Passes everything on until the change number `at` (put, replace, delete; from 0), which fails with `error`.

    `lands`: that change takes place all the same, and only the answer is lost. `once`: what follows works again (a disk
    that was full for a moment); otherwise every later call fails likewise, reads too (a dead process, a lost mount).
    `changes` holds verb and name of each change that was asked for, so that a first run without a fault tells how many
    places there are to fail.
    """

    def __init__(
        self,
        inner: Backend,
        at: int | None = None,
        *,
        error: Callable[[], BaseException] = Killed,
        lands: bool = False,
        once: bool = False,
    ) -> None:
        self.location = inner.location
        self.changes: list[tuple[str, str]] = []
        self._inner, self._at, self._error, self._lands, self._once = inner, at, error, lands, once
        self._failed = False
        self._lock = threading.Lock()

    @property
    def remote(self) -> bool:
        return self._inner.remote

    def holds_conditions(self) -> bool:
        return self._alive().holds_conditions()

    def put(self, name: str, pieces: Sequence[Buffer]) -> None:
        self._change("put", name, lambda: self._inner.put(name, pieces))

    def replace(self, name: str, pieces: Sequence[Buffer]) -> None:
        self._change("replace", name, lambda: self._inner.replace(name, pieces))

    def delete(self, name: str) -> None:
        self._change("delete", name, lambda: self._inner.delete(name))

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        return self._alive().get(name, offset, length)

    def read(self, name: str, offset: int, room: memoryview) -> memoryview:
        return self._alive().read(name, offset, room)

    def end(self, name: str, length: int) -> tuple[bytes, int]:
        return self._alive().end(name, length)

    def view(self, name: str) -> memoryview:
        return self._alive().view(name)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        for info in self._alive().list(prefix):
            self._alive()
            yield info

    def size(self, name: str) -> int:
        return self._alive().size(name)

    def remove_stale(self, older_than_seconds: float = 86400) -> int:
        return self._alive().remove_stale(older_than_seconds)

    def free_space(self) -> int | None:
        return self._alive().free_space()

    def _alive(self) -> Backend:
        if self._failed and not self._once:
            raise self._error()
        return self._inner

    def _change(self, verb: str, name: str, call: Callable[[], None]) -> None:
        with self._lock:
            self._alive()
            fails = len(self.changes) == self._at
            self.changes.append((verb, name))
            self._failed = self._failed or fails
        if not fails or self._lands:
            call()
        if fails:
            raise self._error()


def lost_mount() -> BackendError:
    """What every call says after the storage went away: an `error` for FaultyBackend."""
    return BackendError("the store vanished: /mnt/store: No such file or directory")


Connect = Callable[[], Backend]


def _memory(folder: Path) -> Connect:
    backend = MemoryBackend()
    return lambda: backend


def _directory(folder: Path) -> Connect:
    return lambda: DirectoryBackend(folder / "store", create=True)


def _s3(folder: Path) -> Connect:
    def connect() -> Backend:
        with surroundings(shared_seaweed().environment()):
            return ObjectBackend(f"s3://trial/contract/{folder.name}")

    return connect


# Each makes a new, empty place, and returns how to connect to it; connections share what is stored.
KINDS: dict[str, Callable[[Path], Connect]] = {"memory": _memory, "directory": _directory, "s3": _s3}


@contextmanager
def fresh(kind: str) -> Iterator[Connect]:
    """A new, empty place for objects of that kind, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="silt-backend-") as folder:
        yield KINDS[kind](Path(folder))
