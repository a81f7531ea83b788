"""Where received WAL goes: the few verbs between the receiver of a stream and what stores it.

Rule: the receiver calls from one thread, in the order begin, write..., leave, history, begin, ...; `flushed` says what
the server may throw away. A sink that cannot store says so by having no room, or raises; it never drops bytes.
Nothing is stored here.
"""

from typing import Protocol

from msgspec import Struct


class Position(Struct, frozen=True):
    """A place in the WAL of a timeline."""

    timeline: int
    lsn: int


class Sink(Protocol):
    """Where the WAL goes. All but `flushed` may raise; the stream is given up then."""

    @property
    def room(self) -> bool:
        """Whether write() would take a message now. When that changes, ring Receiver.wake()."""

    @property
    def flushed(self) -> int:
        """The LSN below which all since begin() is durable; before anything is, where it began, or 0."""

    def begin(self, timeline: int, lsn: int) -> None:
        """WAL of this timeline follows, from the start of a segment on."""

    def write(self, lsn: int, data: memoryview) -> None:
        """Take the bytes at an LSN, in order and without a gap. They may be kept; nobody changes them."""

    def hurry(self) -> None:
        """The server waits for what was written to be durable (it goes down, say): the open segment, too. Return
        without waiting, and ring Receiver.wake() when it is.
        """

    def leave(self, timeline: int, lsn: int) -> None:
        """The timeline was left at this LSN. Return when all of it is durable; what came beyond is void."""

    def history(self, timeline: int, content: bytes) -> None:
        """The history file of a timeline that follows, or of the first one. Return when it is durable."""
