"""Condemnations: packs that are to go, published before anything goes, under a number that only grows.

    condemned/<generation, 12 digits> := envelope(salt (16) | sealed msgpack {"packs", "sessions", "roots"})
    packs := names of packs, 32 bytes each; sessions := {session id: digest of its lease}; roots := [names of levels]

The name is the associated data, and the key is derived from the store's and from name and salt: two collectors that
mean the same number seal with different keys. `sessions` are those that were at work then, `roots` the levels whose
chunks were looked at. Rule: a generation is created exclusively and never changed, so that everybody reads the same; a
session says in its lease up to which one it has read. The newest is never removed: the numbers go on from it.

It removes no pack and decides nothing: see collection.py, and docs/concepts.md for the protocol.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgpack
from blake3 import blake3

from .backend import Backend
from .envelope import ObjectKind, disclose, enclose
from .errors import Corrupt, ObjectMissing
from .ids import PACK_NAME_SIZE, PackName
from .opening import OpenStore
from .seal import Sealer, Tampered, seal, sealer_for, unseal

CONDEMNED = "condemned/"
_DIGITS = 12
_SALT = 16
_NAME = PACK_NAME_SIZE // 2
_AAD = b"silt condemned 1 "


@dataclass(frozen=True, slots=True)
class Condemnation:
    """One generation. `sessions`: id -> digest of the lease, of those at work when it was published."""

    generation: int
    packs: frozenset[PackName]
    sessions: Mapping[str, bytes]
    roots: frozenset[str]

    @property
    def name(self) -> str:
        return object_name(self.generation)


def object_name(generation: int) -> str:
    """The object of a generation."""
    return f"{CONDEMNED}{generation:0{_DIGITS}}"


def newest_generation(backend: Backend) -> int:
    """The number of the newest condemnation; 0 where there was none yet."""
    return max(_generations(backend), default=0)


def read_condemnations(store: OpenStore) -> list[Condemnation]:
    """Those that are there, oldest first. Raises Corrupt, NewerFormat."""
    numbers = sorted(_generations(store.backend))
    found = [each for number in numbers if (each := _read(store, number)) is not None]
    return found + read_newer(store, max(numbers, default=0))


def read_newer(store: OpenStore, generation: int) -> list[Condemnation]:
    """Those that were published after this generation, oldest first. Raises Corrupt, NewerFormat.

    Nothing is listed, since a list may lag behind on some storage, and a name that is asked for does not. There are no
    gaps: none is removed before the sessions that know only of earlier ones have ended.
    """
    found = []
    while (following := _read(store, generation + 1)) is not None:
        found.append(following)
        generation += 1
    return found


def publish(
    store: OpenStore, generation: int, packs: Sequence[PackName], sessions: Mapping[str, bytes], roots: Sequence[str]
) -> None:
    """Publish a condemnation. Raises ObjectExists when another collector published that generation."""
    name = object_name(generation)
    content = msgpack.packb(
        {"packs": b"".join(map(bytes.fromhex, packs)), "sessions": dict(sessions), "roots": list(roots)}
    )
    salt = os.urandom(_SALT)
    sealed = seal(_sealer(store, name, salt), content, _AAD + name.encode())
    store.backend.put(name, [enclose(ObjectKind.CONDEMNED, salt + sealed)])


def _generations(backend: Backend) -> Iterator[int]:
    for info in backend.list(CONDEMNED):
        number = info.name.removeprefix(CONDEMNED)
        if number.isdecimal():
            yield int(number)


def _read(store: OpenStore, generation: int) -> Condemnation | None:
    name = object_name(generation)
    try:
        payload = disclose(ObjectKind.CONDEMNED, name, store.backend.get(name))
    except ObjectMissing:
        return None
    salt, sealed = payload[:_SALT], payload[_SALT:]
    try:
        content = msgpack.unpackb(unseal(_sealer(store, name, salt), sealed, _AAD + name.encode()))
        packs = content["packs"]
        names = frozenset(PackName(packs[at : at + _NAME].hex()) for at in range(0, len(packs), _NAME))
        return Condemnation(generation, names, content["sessions"], frozenset(content["roots"]))
    except (Tampered, KeyError, TypeError, ValueError):
        raise Corrupt(name, "it is not the condemnation that was written under this name") from None


def _sealer(store: OpenStore, name: str, salt: bytes) -> Sealer:
    if not store.config.encrypted:
        return sealer_for(b"")
    return sealer_for(blake3(name.encode() + salt, key=store.ring.derive("condemned")).digest())
