"""Buffers that packs are read and opened with, kept from one use to the next.

Rule: whoever reads borrows a workspace and hands it back; there are as many as were ever borrowed at once. Fresh memory
for each read would cost more than reading: every page of it is a fault.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from .backend import BLOCK, Backend
from .frame import FrameOpener
from .page_memory import page_buffer

T = TypeVar("T")


class Workspace:
    """A buffer for stored bytes, and an opener. One thread at a time."""

    def __init__(self, backend: Backend, id_key: bytes) -> None:
        self._backend = backend
        self._buffer = memoryview(b"")
        self.opener = FrameOpener(id_key)

    def read(self, name: str, start: int, stop: int) -> memoryview:
        """The bytes of an object from `start` to `stop`, or to its end; valid until the next call.

        Raises what Backend.read raises. Whole blocks are read, as it likes them best.
        """
        first = start // BLOCK * BLOCK
        size = -(-(stop - first) // BLOCK) * BLOCK
        if size > len(self._buffer):
            self._buffer = page_buffer(size)
        got = self._backend.read(name, first, self._buffer[:size])
        return got[start - first : stop - first]


class Pool(Generic[T]):
    """Things that are costly to make and used by one thread at a time. For any thread."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._idle: list[T] = []

    @contextmanager
    def borrow(self) -> Iterator[T]:
        """One that nobody else has inside the `with`."""
        try:
            lent = self._idle.pop()
        except IndexError:
            lent = self._make()
        try:
            yield lent
        finally:
            self._idle.append(lent)


def workspaces(backend: Backend, id_key: bytes) -> Pool[Workspace]:
    """Those of a store."""
    return Pool(lambda: Workspace(backend, id_key))


def buffers(size: int) -> Pool[memoryview]:
    """Buffers of this size that begin at a page."""
    return Pool(lambda: page_buffer(size))
