"""Notes of verification: which packs were read whole, and when. Kept in the store, so that every host knows of them.

    verified/<32 random hex digits> := envelope(sealed msgpack [[time, intact, damaged] ...])     by `silt verify`
    scrubbed/<32 random hex digits> := the same, sealed as in a store without encryption          by `silt scrub`
    time := ns since 1970; intact, damaged := names of packs (of a scrub also of parity objects), 32 bytes each

The key is derived from the store's and from the note's own name, so each note has a key of its own; the name is the
associated data as well. A scrub has no key: whoever writes the storage can forge its notes, which costs reading and
storing again, and no data. Rule: a note is created and never changed. When there are MERGE_WHEN of them, whoever writes
the next one writes one for all of them and removes those. Of several notes about a pack the latest counts.

It promises nothing about packs that no note names, and believes no time that lies more than SKEW in the future: hosts'
clocks only order the work here, and decide nothing that could not be repeated.
"""

import os
import time
from array import array
from collections.abc import Collection, Iterable, Iterator

import msgpack
from blake3 import blake3
from msgspec import Struct

from .backend import Backend
from .check import Fault, fault_of
from .envelope import ObjectKind, disclose, enclose
from .errors import Corrupt, NewerFormat, ObjectLocked, ObjectMissing, StoreError
from .ids import PACK_NAME_SIZE, PackName
from .keys import KeyRing
from .opening import OpenStore
from .pack_list import PackList
from .parallel import asked_of, beside
from .seal import Sealer, Tampered, seal, sealer_for, unseal

VERIFIED = "verified/"
SCRUBBED = "scrubbed/"

# Each note is one more object to read before a verification starts; merging rewrites 32 bytes a pack of the store.
MERGE_WHEN = 8

SKEW = 24 * 3600 * 10**9
_AAD = b"silt verified 1 "
_NAME = PACK_NAME_SIZE // 2


class Shelf(Struct, frozen=True):
    """Where notes lie, and the key that those of each note are derived from; empty where nothing is sealed.

    `ring`: who has to be allowed to write them, where anybody has.
    """

    backend: Backend
    folder: str
    key: bytes
    ring: KeyRing | None = None


class Notes:
    """The notes on one shelf. One thread at a time."""

    def __init__(self, shelf: Shelf, packs: PackList) -> None:
        """`packs` are those whose notes matter; all numbers here are theirs."""
        self._shelf, self._packs = shelf, packs
        self._notes: list[str] = []
        self.faults: list[Fault] = []
        self.times = array("q", bytes(8 * len(packs)))  # when each was last read whole; 0 for never
        self.damaged: set[int] = set()  # those that were damaged then

    def load(self) -> None:
        """Read every note. Fills the attributes."""
        self._notes, self.faults = [], []
        for info in self._shelf.backend.list(self._shelf.folder):
            try:
                rows = _read_note(self._shelf, info.name)
            except (ObjectMissing, NewerFormat):
                continue  # merged meanwhile; or a newer silt's, which is left alone
            except StoreError as error:
                what = fault_of(info.name, error, self._shelf.backend).error
                self.faults.append(
                    Fault(info.name, f"{what}; nothing is lost: the packs it names count as not verified")
                )
                continue
            self._notes.append(info.name)
            for at, intact, damaged in rows:
                self._take(at, _numbers(self._packs, intact), damaged=False)
                self._take(at, _numbers(self._packs, damaged), damaged=True)

    def remember(self, at_ns: int, intact: Collection[int], damaged: Collection[int]) -> None:
        """Note what was read whole at that time. Raises StoreError when the note cannot be kept, or may not."""
        if not intact and not damaged:
            return
        if self._shelf.ring is not None:
            self._shelf.ring.need("write", "remembering what was verified")
        replaced: list[str] = []
        self._take(at_ns, intact, damaged=False)
        self._take(at_ns, damaged, damaged=True)
        if len(self._notes) + 1 >= MERGE_WHEN or self.faults:
            self.load()
            replaced = self._notes + [fault.object for fault in self.faults]
            rows = self._all_rows()
        else:
            rows = [[at_ns, self._packed(intact), self._packed(damaged)]]
        name = self._shelf.folder + os.urandom(16).hex()
        sealed = seal(_sealer(self._shelf, name), msgpack.packb(rows), _AAD + name.encode())
        self._shelf.backend.put(name, [enclose(ObjectKind.VERIFIED, sealed)])
        for old in replaced:
            try:
                self._shelf.backend.delete(old)
            except (ObjectMissing, ObjectLocked):
                pass  # another verification merged it too; or the storage keeps it, and it says nothing more
        self._notes = [*(note for note in self._notes if note not in replaced), name]
        self.faults = []

    def _take(self, at: int, numbers: Iterable[int], *, damaged: bool) -> None:
        for number in numbers:
            if at >= self.times[number]:
                self.times[number] = at
                (self.damaged.add if damaged else self.damaged.discard)(number)

    def _all_rows(self) -> list[list[int | bytes]]:
        """What all notes say of the packs that are still there."""
        groups: dict[int, tuple[list[int], list[int]]] = {}
        for number, at in enumerate(self.times):
            if at:
                groups.setdefault(at, ([], []))[number in self.damaged].append(number)
        return [[at, self._packed(intact), self._packed(bad)] for at, (intact, bad) in sorted(groups.items())]

    def _packed(self, numbers: Iterable[int]) -> bytes:
        return b"".join(bytes.fromhex(self._packs.names[number]) for number in numbers)


def verified_notes(store: OpenStore, packs: PackList) -> Notes:
    """The notes of those who hold a key."""
    return Notes(_verified_shelf(store), packs)


def scrubbed_notes(backend: Backend, packs: PackList) -> Notes:
    """The notes of those who hold none; `packs` may list parity objects, too."""
    return Notes(_scrubbed_shelf(backend), packs)


def noted_damage(store: OpenStore) -> frozenset[PackName]:
    """The packs that were damaged when they were last read whole, by either kind of reading.

    A note that cannot be read is passed over.
    """
    with beside(store.backend, lambda: _damaged_by(_scrubbed_shelf(store.backend))) as scrubbed:
        return frozenset(_damaged_by(_verified_shelf(store)) | scrubbed())


def scrubbed_damage(backend: Backend) -> frozenset[PackName]:
    """The packs and parity objects, by the last part of their names, that a scrub found damaged."""
    return frozenset(_damaged_by(_scrubbed_shelf(backend)))


def _verified_shelf(store: OpenStore) -> Shelf:
    key = store.ring.derive("verified") if store.config.encrypted else b""
    return Shelf(store.backend, VERIFIED, key, store.ring)


def _scrubbed_shelf(backend: Backend) -> Shelf:
    return Shelf(backend, SCRUBBED, b"")


def _damaged_by(shelf: Shelf) -> set[PackName]:
    rows: list[tuple[int, bytes, bytes]] = []
    names = [info.name for info in shelf.backend.list(shelf.folder)]
    for noted in asked_of(shelf.backend, lambda name: _rows_of(shelf, name), names):
        rows += noted
    found: set[bytes] = set()
    if any(damaged for _, _, damaged in rows):
        for _, intact, damaged in sorted(rows):
            found.difference_update(_split(intact))
            found.update(_split(damaged))
    return {PackName(name.hex()) for name in found}


def _rows_of(shelf: Shelf, name: str) -> list[tuple[int, bytes, bytes]]:
    """Those of a note; none where it cannot be read, which `verify` names."""
    try:
        return _read_note(shelf, name)
    except StoreError:
        return []


def _read_note(shelf: Shelf, name: str) -> list[tuple[int, bytes, bytes]]:
    sealed = disclose(ObjectKind.VERIFIED, name, shelf.backend.get(name))
    try:
        content = msgpack.unpackb(unseal(_sealer(shelf, name), sealed, _AAD + name.encode()))
    except Tampered:
        raise Corrupt(name, "it is not the note that was written under this name") from None
    latest = time.time_ns() + SKEW
    return [(at, intact, damaged) for at, intact, damaged in content if at <= latest]


def _sealer(shelf: Shelf, name: str) -> Sealer:
    return sealer_for(blake3(name.encode(), key=shelf.key).digest() if shelf.key else b"")


def _split(names: bytes) -> Iterator[bytes]:
    return (names[start : start + _NAME] for start in range(0, len(names), _NAME))


def _numbers(packs: PackList, names: bytes) -> Iterator[int]:
    """The numbers of those packs of a note that are in the list."""
    for name in _split(names):
        number = packs.number(PackName(name.hex()))
        if number is not None:
            yield number
