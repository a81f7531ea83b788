"""The chunks that a root needs, whichever kind it is: a level's manifests and contents, a WAL file's extents and index.

Rule: a manifest chunk that several levels share is looked through once: what a root that is `done` led to is not given
again. What cannot be read ends it: whoever copies a level copies all of it or nothing.
"""

from collections.abc import Iterator

from siltstone.store import ChunkId, Corrupt, Store

from .entry import EXTENT, HOLE
from .levels import LEVELS, PARTS, LevelRef, level_from_root
from .postgres.archive_names import WAL
from .postgres.archive_record import from_root
from .verify_damage import DamageLog
from .verify_manifests import Manifests

_OF_LEVELS = {(4, LEVELS), (6, PARTS)}  # how many words their names have


def level_of(name: str) -> LevelRef | None:
    """The level that a root's name means, or of which it is a part; or None."""
    words = name.split("/")
    if (len(words), words[0] + "/") in _OF_LEVELS and words[2].isdecimal() and words[3].isdecimal():
        return LevelRef(words[1], int(words[2]), int(words[3]))
    return None


class RootChunks:
    """Of one store. One thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._done: set[bytes] = set()
        self._seen: set[bytes] = set()

    def of(self, name: str) -> Iterator[set[ChunkId]]:
        """The chunks that the root needs, in parts; those that roots before share with it may be left out.

        Raises Corrupt, ObjectMissing, NewerFormat, NoKey.
        """
        self._seen = set()
        if name.startswith(WAL):
            file = from_root(name, self._store.read_root(name))
            yield _ids(file.extents) | ({ChunkId(file.index[0])} if file.index else set())
            return
        ref = level_of(name)
        if ref is None:
            raise Corrupt(name, "its name is none of a level")
        self._seen = set(self._done)
        level = level_from_root(ref, name, self._store.read_root(name))
        manifests = Manifests(self._store, [level], DamageLog(lambda _: None))
        for packed in manifests.packed_references(self._seen, lambda _: None):
            yield _ids(packed)
        if manifests.unreadable or manifests.senseless:
            why = next(iter(manifests.unreadable.values()), "it does not parse")
            raise Corrupt(name, f"its manifest cannot be read whole: {why}")

    def done(self) -> None:
        """All that the last root needs is where it has to be."""
        self._done |= self._seen


def _ids(packed: bytes) -> set[ChunkId]:
    found = {packed[at : at + 32] for at in range(0, len(packed), EXTENT.size)}
    found.discard(HOLE)
    return {ChunkId(each) for each in found}
