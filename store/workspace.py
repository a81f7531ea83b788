"""Buffers that packs are read and opened with, kept from one use to the next.

Rule: whoever reads borrows a workspace and hands it back; there are as many as were ever borrowed at once. Fresh memory
for each read would cost more than reading: every page of it is a fault.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

from .backend import BLOCK, Backend
from .frame import FrameOpener
from .page_memory import page_buffer

T = TypeVar("T")

_NOTHING = memoryview(b"")


class Workspace:
    """A buffer for stored bytes, and an opener. One thread at a time."""

    def __init__(self, backend: Backend, id_key: bytes) -> None:
        self._backend = backend
        self._buffer = memoryview(b"")
        self.opener = FrameOpener(id_key)

    def read(self, name: str, start: int, stop: int) -> memoryview:
        """The bytes of an object from `start` to `stop`, or to its end; valid until the next call.

        Raises what Backend.read raises.
        """
        return next(self.spans(name, [(start, stop)]))

    def spans(self, name: str, spans: Sequence[tuple[int, int]]) -> Iterator[memoryview]:
        """Each of some stretches of an object (start, stop), ascending, or what of it lies before the object's end: in
        one request, each as soon as it has come, valid until the next.

        Raises what Backend.read raises. Whole blocks are read, as it likes them best.
        """
        at = spans[0][0] // BLOCK * BLOCK
        size = -(-(spans[-1][1] - at) // BLOCK) * BLOCK
        if size > len(self._buffer):
            self._buffer = page_buffer(size)
        pieces = self._backend.read(name, at, self._buffer[:size])
        piece = next(pieces, _NOTHING)
        for start, stop in spans:
            while at + len(piece) <= start and piece:
                at += len(piece)
                piece = next(pieces, _NOTHING)
            piece, at = piece[start - at :], start
            if len(piece) >= stop - start:
                yield piece[: stop - start]
                continue
            got = 0  # bytes of those that came in several pieces
            while piece and start + got < stop:
                some = piece[: stop - start - got]
                self._buffer[got : got + len(some)] = some
                got += len(some)
                at, piece = at + len(some), piece[len(some) :] or next(pieces, _NOTHING)
            yield self._buffer[:got]


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
