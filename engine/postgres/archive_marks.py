"""Marks of a host that reads nothing back: that it archived a file, kept in the store as a chunk that names it.

    chunk := "silt wal mark 1" | object name | digest of the file (32)

PostgreSQL may ask for a file again that is archived already, and then bytes have to be compared. A root is sealed to
the reader keys, so such a host compares by the mark: every host can make its id, and the index says whether it is
there.

Rule: a mark is stored after the root that it stands for was committed, so it is never there without it; one that is
missing (a crash in between, or garbage collection, since no root leads to it) means "not proved", and no more. It is
believed as long as the name is taken: a name that was removed and given to other bytes within that time is not noticed.
"""

from collections.abc import Sequence

from siltstone.store import SiltError, Store, Writer, chunk_id


class NotProved(SiltError):
    """A name in the archive is taken, and this host cannot tell whether by the same bytes."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} is archived already, and the key of this host cannot read by which bytes",
            hint="run 'silt wal push' on it once with a key that reads",
        )


class Marks:
    """Those of one store, for one writing session."""

    def __init__(self, store: Store, writer: Writer) -> None:
        self._store, self._writer = store, writer
        self.needed = not store.ring.may_read

    def has(self, name: str, digest: bytes) -> bool:
        """Whether these bytes were archived under that object's name, as far as a mark says so."""
        return chunk_id(_mark(name, digest), self._store.ring.id_key) in self._store.index

    def keep(self, files: Sequence[tuple[str, bytes]]) -> None:
        """Mark files (object name, digest) whose roots were committed. Raises StoreError."""
        buffer, ends = bytearray(), []
        for name, digest in files:
            buffer += _mark(name, digest)
            ends.append(len(buffer))
        if ends and self.needed:
            self._writer.store_run(memoryview(buffer), ends)
            self._writer.flush()


def _mark(name: str, digest: bytes) -> bytes:
    return b"silt wal mark 1" + name.encode() + digest
