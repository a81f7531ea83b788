"""Condemnations: packs that are to go, published before anything goes, under a number that only grows.

    condemned/<generation, 12 digits> := envelope(salt (16) | sealed msgpack {"packs", "sessions", "roots", "done"})
    packs := names of packs, 32 bytes each; sessions := {session id: digest of its lease}; roots := [names of levels]

The name is the associated data, and the key is derived from the store's and from name and salt: two collectors that
mean the same number seal with different keys. `sessions` are those that were at work then, `roots` the levels whose
chunks were looked at; `done` is a generation. Rule: a generation is created exclusively and never changed, so that
everybody reads the same; a session says in its lease up to which one it has read.

Up to `done` nothing was left to do: what was condemned is gone. Those generations do not count any more, and can be
removed; and nothing is removed before a newer generation says so. For a collector may be slow, and its request be on
its way for days: where it lands under a number that others have used and removed, it does not count, since who sees it
sees also what says that its number is done with. Sessions that had read past that number would never hear of it.

It removes no pack and decides nothing: see collection.py, and docs/concepts.md for the protocol.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

import msgpack
from blake3 import blake3
from msgspec import Struct

from .backend import Backend
from .envelope import ObjectKind, disclose, enclose
from .errors import Corrupt, ObjectMissing
from .ids import PACK_NAME_SIZE, PackName
from .opening import OpenStore
from .parallel import asked_of
from .seal import Sealer, Tampered, seal, sealer_for, unseal

CONDEMNED = "condemned/"
_DIGITS = 12
_SALT = 16
_NAME = PACK_NAME_SIZE // 2
_AAD = b"silt condemned 1 "


class Condemnation(Struct, frozen=True):
    """One generation. `sessions`: id -> digest of the lease, of those at work when it was published; `done`: above."""

    generation: int
    packs: frozenset[PackName]
    sessions: Mapping[str, bytes]
    roots: frozenset[str]
    done: int


def object_name(generation: int) -> str:
    """The object of a generation."""
    return f"{CONDEMNED}{generation:0{_DIGITS}}"


def newest_generation(backend: Backend) -> int:
    """The number of the newest condemnation; 0 where there was none yet."""
    return max(generations(backend), default=0)


def read_condemnations(store: OpenStore) -> list[Condemnation]:
    """Those that count, oldest first. Raises Corrupt, NewerFormat."""
    numbers = sorted(generations(store.backend))
    read = list(asked_of(store.backend, lambda number: _read(store, number), numbers))
    newer = read_newer(store, max(numbers, default=0))
    return in_force([each for each in read if each is not None] + newer)


def in_force(condemnations: Sequence[Condemnation]) -> list[Condemnation]:
    """Those that none of them says is done with."""
    done = done_with(condemnations)
    return [each for each in condemnations if each.generation > done]


def done_with(condemnations: Iterable[Condemnation]) -> int:
    """Up to which generation nothing is left to do, as they say; who says most is always among those in force."""
    return max((each.done for each in condemnations), default=0)


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
    store: OpenStore,
    generation: int,
    packs: Sequence[PackName],
    sessions: Mapping[str, bytes],
    roots: Sequence[str],
    *,
    done: int,
) -> None:
    """Publish a condemnation. Raises ObjectExists when another collector published that generation."""
    name = object_name(generation)
    content = msgpack.packb(
        {
            "packs": b"".join(map(bytes.fromhex, packs)),
            "sessions": dict(sessions),
            "roots": list(roots),
            "done": done,
        }
    )
    salt = os.urandom(_SALT)
    sealed = seal(_sealer(store, name, salt), content, _AAD + name.encode())
    store.backend.put(name, [enclose(ObjectKind.CONDEMNED, salt + sealed)])


def generations(backend: Backend) -> Iterator[int]:
    """The numbers of those that are there, whether they count or not."""
    for info in backend.list(CONDEMNED):
        number = info.name.removeprefix(CONDEMNED)
        if number.isdecimal():
            yield int(number)


def remove_done(backend: Backend, done: int, needed: Callable[[int], object]) -> None:
    """Remove what is done with up to this generation, also what landed late, but for those that are still `needed`."""
    for generation in generations(backend):
        if generation <= done and not needed(generation):
            with suppress(ObjectMissing):  # another collector was quicker
                backend.delete(object_name(generation))


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
        return Condemnation(generation, names, content["sessions"], frozenset(content["roots"]), content["done"])
    except (Tampered, KeyError, TypeError, ValueError):
        raise Corrupt(name, "it is not the condemnation that was written under this name") from None


def _sealer(store: OpenStore, name: str, salt: bytes) -> Sealer:
    if not store.config.encrypted:
        return sealer_for(b"")
    return sealer_for(blake3(name.encode() + salt, key=store.ring.derive("condemned")).digest())
