"""A tar archive into the store: the contents of its members as if they were files, and all other bytes as they stand.

The archive itself is kept as an extent list, like a long file: runs of other bytes (headers, padding) and the chunks of
contents in turn. So a file that is in the store already costs its headers, and the archive comes out byte for byte.
Rule: contents are cut as a backup cuts files, so that they find their chunks; extents of the archive go on in its
order, although large contents are stored in the background. Memory: the buffers of the workers, one batch, and 40 bytes
a chunk of the large contents that are under way.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from siltstone.store import ChunkId

from .content import BATCH_FILES
from .cut import WHOLE, Cutter, suits_coarse
from .entry import EXTENT
from .errors import SourceError
from .extent_list import ExtentList
from .stream import Stream, pack_chunks
from .tar_member import Member
from .tar_window import TarWindow
from .workers import BUFFER, Workers

# Other bytes wait until so many are there, and are one chunk then; extents lead to places in it.
OTHER = 1 << 20

SMALL = BUFFER // 2
# Where contents are larger than this on the average, cutting and hashing them is work for the workers; smaller ones are
# hashed by the calling thread, since each would be a struggle for the interpreter lock (content.py).
HASHED_AWAY = 64 << 10

# Large contents that may be under way at once.
STREAMS = 8

OnExtents = Callable[[bytes, bool], None]


class _Other(NamedTuple):
    """Bytes of the batch's chunk of other bytes."""

    start: int
    size: int


class _Stored(NamedTuple):
    """What became of a batch: its chunks, where they end in the buffer, and how many there are up to the end of each
    content. What lies behind the last content is one chunk of other bytes.
    """

    ids: list[ChunkId]
    ends: list[int]
    behind: list[int]


class TarContents:
    """One archive. `add` its members in order, `add_rest`, then `finish`."""

    def __init__(self, workers: Workers, gear: bytes, window: TarWindow, on_read: Callable[[int], None]) -> None:
        self._workers, self._window, self._on_read = workers, window, on_read
        self._cutter, self._coarse = Cutter(gear), Cutter(gear, coarse=True)
        self._archive = ExtentList(workers.sink)
        self._at = 0  # what lies before it in the archive is taken
        self._other = bytearray()
        self._items: list[OnExtents | _Other] = []  # of contents: who hears of them
        self._ends: list[int] = []  # of the contents in the batch
        self._filled = 0  # by them
        self._buffer: memoryview | None = None
        self._under_way: deque[tuple[Callable[[], bool], Callable[[], None]]] = deque()

    def add(self, member: Member, on_extents: OnExtents) -> None:
        """The next member. `on_extents` hears of its content: packed extents, and whether they are of a list."""
        if not member.content:
            on_extents(b"", False)
        elif member.size <= SMALL and len(member.content) == 1 and member.content[0].size == member.size:
            stretch = member.content[0]
            self._take_other(stretch.at)
            self._take_small(stretch.at, stretch.size, on_extents)
        else:
            self._take_large(member, on_extents)

    def add_rest(self, size: int) -> None:
        """What follows the last member, up to the end of the archive."""
        self._take_other(size)

    def finish(self) -> tuple[bytes, bool]:
        """Wait for all; the packed extents of the archive, and whether they are of an extent list."""
        self._flush()
        self._settle(at_most=0)
        self._workers.finish()
        return self._archive.finish()

    def _take_other(self, end: int) -> None:
        while self._at < end:
            size = min(end - self._at, OTHER)
            if len(self._other) + size > OTHER or self._filled + len(self._other) + size > BUFFER:
                self._flush()
            data = self._window.view(self._at, size)
            if not data:
                raise SourceError("the archive became shorter while it was read")
            self._items.append(_Other(len(self._other), len(data)))
            self._other += data
            self._at += len(data)

    def _take_small(self, at: int, size: int, on_extents: OnExtents) -> None:
        if self._filled + len(self._other) + size > BUFFER or len(self._items) >= 2 * BATCH_FILES:
            self._flush()
        if self._buffer is None:
            self._buffer = self._workers.take_buffer()
        start, end = self._filled, self._filled + size
        if self._window.read(self._buffer[start:end], at) != size:
            raise SourceError("the archive became shorter while it was read")
        self._filled = end
        self._ends.append(end)
        self._items.append(on_extents)
        self._at = at + size

    def _flush(self) -> None:
        """Store the batch: contents first, then the other bytes as one chunk."""
        if not self._items:
            return
        buffer = self._workers.take_buffer() if self._buffer is None else self._buffer
        ends, items, end = self._ends, self._items, self._filled + len(self._other)
        buffer[self._filled : end] = self._other
        self._on_read(self._filled)
        if self._filled >= HASHED_AWAY * max(1, len(ends)):
            storing = self._workers.submit(self._store, buffer, ends, end)
            self._under_way.append((storing.done, lambda: self._settle_batch(items, storing.result())))
        else:
            chunks, behind = self._cut(buffer, ends, end)
            ids, frames = self._workers.sink.choose(buffer, chunks)
            self._workers.write(frames, buffer)
            stored = _Stored(ids, chunks, behind)
            self._under_way.append((lambda: True, partial(self._settle_batch, items, stored)))
        self._buffer, self._other, self._items, self._ends, self._filled = None, bytearray(), [], [], 0
        self._settle(at_most=STREAMS)

    def _cut(self, buffer: memoryview, contents: list[int], end: int) -> tuple[list[int], list[int]]:
        """Where chunks end, and how many there are up to the end of each content; see _Stored."""
        chunks: list[int] = []
        behind: list[int] = []
        start = 0
        for stop in contents:
            if stop - start > WHOLE:
                chunks += [start + each for each in self._cutter.ends(buffer[start:stop], last=True)]
            else:
                chunks.append(stop)
            behind.append(len(chunks))
            start = stop
        if end > start:
            chunks.append(end)
        return chunks, behind

    def _store(self, buffer: memoryview, contents: list[int], end: int) -> _Stored:
        try:
            chunks, behind = self._cut(buffer, contents, end)
            return _Stored(self._workers.sink.store_run(buffer, chunks), chunks, behind)
        finally:
            self._workers.give_back(buffer)

    def _settle_batch(self, items: list[OnExtents | _Other], stored: _Stored) -> None:
        ids, ends, _ = stored
        behind = iter(stored.behind)
        extents: list[bytes] = []
        first = start = 0
        for item in items:
            if isinstance(item, _Other):
                extents.append(EXTENT.pack(ids[-1], item.start, item.size))
                continue
            last = next(behind)
            if last == first + 1:
                packed = EXTENT.pack(ids[first], 0, ends[first] - start)
            else:
                packed = pack_chunks(ids[first:last], ends[first:last], start)
            first, start = last, ends[last - 1]
            extents.append(packed)
            item(packed, False)
        self._archive.add(b"".join(extents))

    def _take_large(self, member: Member, on_extents: OnExtents) -> None:
        self._take_other(member.content[0].at)
        self._flush()
        first = member.content[0]
        coarse = len(member.content) == 1 and suits_coarse(self._window.fd, member.size, first.at)
        told: list[bytes] = []  # its extents: they wait for those of what came before
        stream = Stream(self._workers, self._coarse if coarse else self._cutter, self._on_read, told.append)
        at = 0
        for start, place, size in member.content:
            stream.add_hole(start - at)
            if not stream.read_stretch(self._window.read, place, place + size):
                raise SourceError("the archive became shorter while it was read")
            at, self._at = start + size, place + size
        stream.add_hole(member.size - at)

        def settle() -> None:
            extents, indirect = stream.finish()
            self._archive.add(b"".join(told))
            on_extents(extents, indirect)

        self._under_way.append((stream.done, settle))
        self._settle(at_most=STREAMS)

    def _settle(self, *, at_most: int) -> None:
        """Settle what is done, in order, and wait while more than so many are under way."""
        while self._under_way and (len(self._under_way) > at_most or self._under_way[0][0]()):
            self._under_way.popleft()[1]()
