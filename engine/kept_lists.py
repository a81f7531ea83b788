"""The extent lists of large files of a part, as a host that reads nothing back keeps them beside its rows.

    file := a private file of blocks, each one chunk of an extent list: msgpack [chunk id, packed extents]

Rule: a row of a kept part counts only when the store has every chunk of its content, and of a long content the row says
only where its extent list is, which this host cannot read. So the lists are kept, too, and each chunk of them is looked
up before the first of them is relied on: one pass, of which one id a list chunk (some 128 MiB of content) stays in
memory. What is still used is copied into the file of the next level in another pass.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress

import msgpack

from siltstone.store import ChunkId, Corrupt, DryWriter, Writer

from .entry import parse_row, unpack_extents
from .kept_levels import KeptRows
from .manifest import ManifestReader

Write = Callable[[bytes], None]


class KeptLists:
    """What tells of one file set's rows whether the store has all of their contents; and what is kept of the next."""

    def __init__(self, sink: Writer | DryWriter, base: KeptRows | None, write: Write | None) -> None:
        """`base`: the rows that are judged; `write`: takes the blocks that are kept."""
        self._sink, self._base, self._write = sink, base, write
        self._sound: set[ChunkId] | None = None
        self._used: set[ChunkId] = set()
        self._written: set[ChunkId] = set()

    def add(self, ids: Sequence[ChunkId], packed: memoryview, ends: Sequence[int]) -> None:
        """Chunks of an extent list were stored."""
        start = 0
        for chunk, end in zip(ids, ends, strict=True):
            self._keep(chunk, bytes(packed[start:end]))
            start = end

    def is_stored(self, row: bytes) -> bool:
        """Whether the store has every chunk of a row of the base; without one there is nothing to judge."""
        if self._base is None:
            return True
        entry = parse_row(row)
        ids = [extent.id for extent in entry.extents if extent.id is not None]
        if not all(map(self._sink.has, ids)):
            return False
        if entry.indirect:
            if self._sound is None:
                self._sound = self._find_sound(self._base)
            if not self._sound.issuperset(ids):
                return False
            self._used.update(ids)
        return True

    def finish(self) -> None:
        """Keep the lists that rows of the base still lead to."""
        if self._base is not None and self._write is not None and self._used - self._written:
            with suppress(Corrupt):  # the next backup reads those files
                for chunk, packed in map(_unpacked, self._base.lists()):
                    if chunk in self._used:
                        self._keep(chunk, packed)

    def _keep(self, chunk: ChunkId, packed: bytes) -> None:
        if self._write is not None and chunk not in self._written:
            self._written.add(chunk)
            self._write(msgpack.packb([chunk, packed]))

    def _find_sound(self, base: KeptRows) -> set[ChunkId]:
        """The list chunks of which the store has all that they lead to."""
        sound = set()
        with suppress(Corrupt):  # files of which the lists are lost are read
            for chunk, packed in map(_unpacked, base.lists()):
                if all(extent.id is None or self._sink.has(extent.id) for extent in unpack_extents(packed)):
                    sound.add(chunk)
        return sound


def _unpacked(block: bytes) -> tuple[ChunkId, bytes]:
    chunk, packed = msgpack.unpackb(block)
    return ChunkId(chunk), packed


def lists_of(sink: Writer | DryWriter, base: ManifestReader | KeptRows | None, write: Write | None) -> KeptLists | None:
    """For one file set; None where no part is kept, neither before nor now."""
    judged = base if isinstance(base, KeptRows) and base.level.part is not None else None
    return KeptLists(sink, judged, write) if judged is not None or write is not None else None
