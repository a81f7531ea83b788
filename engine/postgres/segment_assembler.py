"""From the stream's bytes to WAL segments, in buffers that live.

Rule: bytes come without a gap from the start of a segment on, or are refused; a segment is handed on once, when it is
full, and its buffer comes back through release(), from any thread. Nothing is copied but each byte into its place.

It writes nothing and checks no WAL: that is for who stores the segment (wal_segment.check_segment). What is in the open
segment is seen through `open_part`, and is the caller's to keep durable.
"""

from collections import deque

from msgspec import Struct

from .errors import Malformed
from .lsn import format_lsn
from .wal_names import WalSegment, check_segment_size


class Assembled(Struct, frozen=True):
    """A segment, or the part of one that has come: `data` is valid until release(), of an open part until write()."""

    segment: WalSegment
    data: memoryview


class SegmentAssembler:
    """Puts segments of `size` bytes together. All but release() belongs to one thread.

    It wants to live with `buffers` segments: the open one, and those that are being stored. When all are in use `room`
    is False; bytes that come nevertheless get a buffer more.
    """

    def __init__(self, size: int, *, buffers: int = 3) -> None:
        assert buffers >= 2, buffers
        self.size = check_segment_size(size)
        self._free: deque[bytearray] = deque()
        self._allowed = buffers
        self._used = 0
        self._timeline = 0
        self._next = 0
        self._buffer: bytearray | None = None

    @property
    def position(self) -> tuple[int, int]:
        """The timeline, and the LSN at which the next bytes belong."""
        return self._timeline, self._next

    @property
    def room(self) -> bool:
        """Whether the next message finds a buffer: it holds 128 KiB, and may reach into the next segment."""
        reaches = self._buffer is None or self._next % self.size + _MESSAGE > self.size
        return not reaches or bool(self._free) or self._used < self._allowed

    @property
    def open_part(self) -> Assembled | None:
        """What has come of the segment that is not full, None at a border."""
        if self._buffer is None:
            return None
        part = memoryview(self._buffer)[: self._next % self.size].toreadonly()
        return Assembled(WalSegment(self._timeline, self._next // self.size), part)

    def begin(self, timeline: int, lsn: int) -> None:
        """Start, or start over, at the first byte of a segment; what was in the open one is forgotten."""
        assert lsn % self.size == 0, f"{format_lsn(lsn)} is not where a segment starts"
        if self._buffer is not None:
            self._free.append(self._buffer)
            self._buffer = None
        self._timeline, self._next = timeline, lsn

    def write(self, lsn: int, data: memoryview) -> list[Assembled]:
        """Put bytes into their place: the segments that are full now. Raises Malformed for a gap."""
        if lsn != self._next:
            what = f"goes on at {format_lsn(lsn)}, and {format_lsn(self._next)} was to follow"
            raise Malformed(f"the WAL stream of timeline {self._timeline}", what, hint="stream again from the segment")
        full = []
        while len(data):
            if self._buffer is None:
                self._buffer = self._take()
            start = self._next % self.size
            length = min(len(data), self.size - start)
            self._buffer[start : start + length] = data[:length]
            data = data[length:]
            self._next += length
            if start + length == self.size:
                segment = WalSegment(self._timeline, self._next // self.size - 1)
                full.append(Assembled(segment, memoryview(self._buffer).toreadonly()))
                self._buffer = None
        return full

    def release(self, assembled: Assembled) -> None:
        """Give the buffer of a full segment back, once."""
        buffer = assembled.data.obj
        assert isinstance(buffer, bytearray)
        self._free.append(buffer)

    def _take(self) -> bytearray:
        if self._free:
            return self._free.pop()
        self._used += 1
        return bytearray(self.size)


_MESSAGE = 128 << 10  # MAX_SEND_SIZE of src/backend/replication/walsender.c
