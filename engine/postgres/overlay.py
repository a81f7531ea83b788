"""A relation's file of which the server sent only the blocks that changed (PostgreSQL 17 and later).

    INCREMENTAL.<name> := magic | count | truncation length | block number * count | zeros up to a page, if count > 0
                          | block (8 KiB) * count            all numbers u32, blocks ascending, counted in this file

(src/include/backup/basebackup_incremental.h, GetIncrementalFileSize() for the padding.) The file is as long as its last
block, or the truncation length, wants it. What was not sent comes from the base level below the truncation length, and
is zeros above, and behind the base level's end.

Rule: cells of the base level that nothing touched are taken over by their extents and not read. A touched one is read,
its new pages are put in, and it is stored like any other; so its id is that of the whole cell, as ever. What the base
level cannot give whole is OverlayLost: the caller then has the server send everything.
"""

import struct
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Protocol

from .cells import OldCell
from .errors import Malformed
from .grid import CELL, PAGE, PAGES
from .layout import relation_file

PREFIX = b"INCREMENTAL."
MAGIC = 0xD3AE1F0D
_HEAD = struct.Struct("=III")
_NUMBER = struct.Struct("=I")
_FETCH = "take a full backup; and report this, if the server is one of PostgreSQL 17 or 18"


def whole_name(sent: bytes) -> bytes | None:
    """The path in the data directory of the file of which the server sent a part under this one; None for others."""
    above, _, name = sent.rpartition(b"/")
    whole = above + b"/" + name.removeprefix(PREFIX)
    return whole if name.startswith(PREFIX) and relation_file(whole) is not None else None


class OverlayLost(Exception):
    """The base level does not have what the server did not send."""


class Parent(Protocol):
    """A file as the base level has it; `size` in bytes."""

    size: int

    def cells(self) -> Iterator[OldCell | None]:
        """Its cells in order, as far as they can be told."""

    def content(self, cell: OldCell) -> bytes:
        """The bytes of a cell. Raises StoreError."""


class Sink(Protocol):
    """Where the file goes."""

    def keep_cell(self, old: OldCell) -> None: ...

    def put_cell(self, data: memoryview, old: OldCell | None) -> None: ...


class Overlay:
    """One such file, fed as it comes. `begin` is called with the file's length once that is known."""

    def __init__(self, name: str, parent: Parent, sink: Sink, begin: Callable[[int], None]) -> None:
        self._name, self._parent, self._sink, self._begin = name, parent, sink, begin
        self._head = bytearray()
        self._needed = _HEAD.size
        self._blocks: list[int] | None = None
        self._page = bytearray()
        self._at = 0  # the place in _blocks of the block that comes next
        self._old = parent.cells()
        self._cell = -1
        self._buffer = bytearray()
        self._before: OldCell | None = None
        self._kept_up_to = self._blocks_in_all = 0
        self.size = 0

    def feed(self, data: memoryview) -> None:
        """The next bytes. Raises Malformed, OverlayLost, StoreError."""
        while self._blocks is None and data:
            part = data[: self._needed - len(self._head)]
            self._head += part
            data = data[len(part) :]
            if len(self._head) == self._needed:
                self._take_head()
        while data:
            part = data[: PAGE - len(self._page)]
            self._page += part
            data = data[len(part) :]
            if len(self._page) == PAGE:
                self._take_page()

    def finish(self) -> None:
        """All bytes have come. Raises Malformed, OverlayLost, StoreError."""
        if self._blocks is None or self._at != len(self._blocks) or self._page:
            raise Malformed(self._name, "it breaks off", hint=_FETCH)
        self._go_to(-(-self._blocks_in_all // PAGES))

    def _take_head(self) -> None:
        magic, count, length = _HEAD.unpack_from(self._head)
        if magic != MAGIC:
            raise Malformed(self._name, f"begins with {magic:08x}, which is no incremental file", hint=_FETCH)
        size = _HEAD.size + count * _NUMBER.size
        self._needed = -(-size // PAGE) * PAGE if count else size
        if len(self._head) < self._needed:
            return
        blocks = [number for (number,) in _NUMBER.iter_unpack(self._head[_HEAD.size : size])]
        if any(one >= other for one, other in pairwise(blocks)):
            raise Malformed(self._name, "its blocks are not in order", hint=_FETCH)
        self._blocks, self._kept_up_to = blocks, length
        self._blocks_in_all = max(length, blocks[-1] + 1 if blocks else 0)
        self.size = self._blocks_in_all * PAGE
        self._begin(self.size)

    def _take_page(self) -> None:
        assert self._blocks is not None, "the head comes first"
        if self._at == len(self._blocks):
            raise Malformed(self._name, "it is longer than its head says", hint=_FETCH)
        cell, page = divmod(self._blocks[self._at], PAGES)
        if cell != self._cell:
            self._go_to(cell)
            self._open(cell)
        self._buffer[page * PAGE : (page + 1) * PAGE] = self._page
        self._page.clear()
        self._at += 1

    def _go_to(self, cell: int) -> None:
        """Pass on everything before that cell."""
        if self._buffer:
            self._sink.put_cell(memoryview(self._buffer), self._before)
            self._buffer = bytearray()
        for number in range(self._cell + 1, cell):
            old = next(self._old, None)
            pages = min(PAGES, self._blocks_in_all - number * PAGES)
            if old is not None and old.pages == pages and number * PAGES + pages <= self._kept_up_to:
                self._sink.keep_cell(old)
            else:
                self._sink.put_cell(memoryview(self._content(number, old)), old)
        self._cell = max(self._cell, cell - 1)

    def _open(self, cell: int) -> None:
        """Begin with a cell of which at least one block was sent."""
        self._before = next(self._old, None)
        self._buffer = self._content(cell, self._before)
        self._cell = cell

    def _content(self, number: int, old: OldCell | None) -> bytearray:
        """A cell without what was sent of it."""
        size = min(CELL, self.size - number * CELL)
        kept = min(size, max(0, self._kept_up_to * PAGE - number * CELL))
        if old is None and kept and number * CELL < self._parent.size:
            raise OverlayLost(self._name)
        return bytearray(self._parent.content(old)[:kept] if old and kept else b"").ljust(size, b"\0")
