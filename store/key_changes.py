"""Changing the keys of a store: adding, removing, exchanging, rotating.

    add       a new object wraps the same ring under another secret, or a part of the ring (a role)
    remove    an object goes; who has opened it may have kept the ring
    exchange  the object of one secret gives way to one of another
    rotate    a new pair of reader keys for all that is written from now on. It comes into the keys whose secrets are
              given; the others keep the ring that they have, open what was written before, and are *outdated*

Rule: what is new is durable before what is old is deleted, so that a crash leaves a key too many and none too few. The
key that opened the store is never removed: it is the one that is proved. Why rotation wants secrets: whatever could
bring the new pair to the other keys without theirs could be opened by who kept the old ring, and it is him whom a
rotation shuts out.
Of two rotations at once one is refused: the first object of a generation has an id that follows from its number.

It promises nothing about who kept a ring, and nothing against who can write the storage: he can put old keys back.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress

from blake3 import blake3
from msgspec import Struct

from .backend import Backend
from .config import config_content
from .errors import Corrupt, NoKey, ObjectExists, ObjectMissing, StoreError, WrongKey
from .key_copy import KeyCopy
from .key_objects import KEYS, KeyObject, newest_generation, put_key, read_keys
from .keyring import KeyRing, Role
from .keys import ID_SIZE, Secret, unwrap, wrap
from .opening import OpenStore

_PART: dict[Role, Callable[[KeyRing], KeyRing]] = {
    "all": lambda ring: ring,
    "write": KeyRing.without_private,
    "read": KeyRing.for_reading,
}


class Rotated(Struct, frozen=True):
    """What a rotation did, or would do: keys that open what is written from now on, and those that do not."""

    generation: int
    renewed: tuple[KeyObject, ...]
    outdated: tuple[KeyObject, ...]


def add_key(store: OpenStore, secret: Secret, *, label: str, role: Role = "all") -> str:
    """Have another secret open the store; the id of its key. NoKey, StoreError where it opens one already."""
    need_to_manage(store, "adding a key")
    for key, _ in _opened_by(store, read_keys(store.backend), [secret]):
        raise StoreError(
            f"the {secret.kind} that was given opens the store already: key {key.id}",
            hint=f"choose another; 'silt key remove {key.id}' first, where it is to have another role",
        )
    return put_key(store.backend, _wrapped(store, store.ring, secret, label, role))


def remove_key(store: OpenStore, chosen: str) -> KeyObject:
    """Remove the key whose id begins with `chosen`; what it was. NoKey, StoreError where it may not go."""
    need_to_manage(store, "removing a key")
    key = removable(store, chosen)
    content = store.backend.get(key.name)
    store.backend.delete(key.name)
    if not _still_opens(store):  # somebody else removed our key at the same moment
        with suppress(ObjectExists):
            store.backend.put(key.name, [content])
        raise StoreError(
            "another key was removed at the same moment, and none would be left: nothing was removed",
            hint="'silt key list' shows what there is",
        )
    return key


def removable(store: OpenStore, chosen: str) -> KeyObject:
    """The key that `remove_key` would remove. StoreError."""
    keys = read_keys(store.backend)
    found = [key for key in keys if key.id.startswith(chosen)] if chosen else []
    if len(found) != 1:
        what = "no key has the id" if not found else f"{len(found)} keys have an id that begins with"
        raise StoreError(f"{what} {chosen}", hint="'silt key list' shows them")
    if found[0].name == store.key:
        raise StoreError(
            f"{chosen} is the key that opened the store, and is not removed by itself",
            hint="open the store with another key to remove it, or exchange it with 'silt key change'",
        )
    others = [key for key in keys if key is not found[0] and _reads(key, store)]
    if not others:
        raise StoreError(f"{chosen} is the last key that reads the store", hint="add another one first")
    return found[0]


def exchange_key(store: OpenStore, old: Secret, new: Secret) -> list[str]:
    """Have `new` open what `old` opened, with label and role as they were; the ids of the new keys. StoreError.

    Where `new` opens it already, a change that was cut off is brought to its end.
    """
    need_to_manage(store, "changing a key")
    if new == old:
        raise StoreError(f"the new {new.kind} is the old one", hint="choose another")
    keys = read_keys(store.backend)
    taken = _chosen(_opened_by(store, keys, [old]))
    if not taken:
        raise StoreError(
            "the key that opened the store is not kept in it: there is nothing to exchange",
            hint="'silt key add' adds a key",
        )
    there = {role for key, _, role in _chosen(_opened_by(store, keys, [new])) if _is_current(key, store)}
    missing = [(key, role) for key, _, role in taken if role not in there]
    made = [put_key(store.backend, _wrapped(store, store.ring, new, key.label, role)) for key, role in missing]
    _delete(store.backend, [key for key, _ in _opened_by(store, keys, [old])])
    return made


def rotate_keys(store: OpenStore, secrets: Sequence[Secret], *, dry_run: bool = False) -> Rotated:
    """Make new reader keys for what is written from now on, known to the keys that `secrets` open, the first of which
    opened the store. NoKey, StoreError.
    """
    need_to_manage(store, "rotating the keys")
    keys = read_keys(store.backend)
    opened = list(_opened_by(store, keys, secrets))
    chosen = _chosen(opened)
    if not chosen or chosen[0][2] != "all":
        raise StoreError(
            "the key that opened the store is not kept in it, and the new keys would be in none",
            hint="open the store with a passphrase or key file of its own",
        )
    ring = store.ring.rotated()
    old = [key for key, _ in opened]
    left = tuple(key for key in keys if key not in old and key.info and key.info.store == ring.store_id)
    result = Rotated(ring.generation, tuple(key for key, _, _ in chosen), left)
    if dry_run:
        return result
    names = _put_generation(store, ring, chosen)
    _refuse_other_rotation(store, ring, names)
    _delete(store.backend, old)
    return result


def export_key(store: OpenStore, secret: Secret, *, label: str, role: Role = "all") -> KeyCopy:
    """A key to be kept apart from the store. It is not in the store, nor listed there. NoKey."""
    need_to_manage(store, "exporting a key")
    return KeyCopy(_wrapped(store, store.ring, secret, label, role), secret)


def need_to_manage(store: OpenStore, doing: str) -> None:
    """Refuse `doing`, a clause, to a key that may not change keys, and in a store that has none. NoKey, StoreError."""
    if not store.config.encrypted:
        raise StoreError("the store is not encrypted: it has no keys", hint="'silt init' makes one that is")
    store.ring.need("manage", doing)
    if store.ring.outdated:
        raise NoKey(
            f"{doing} is refused: the key that opened the store is outdated",
            hint="use one that 'silt key list' does not call so",
        )


def _wrapped(
    store: OpenStore, ring: KeyRing, secret: Secret, label: str, role: Role, first: bytes | None = None
) -> bytes:
    config = config_content(store.config)
    return wrap(_PART[role](ring), secret, label=label, created_ns=time.time_ns(), config=config, chosen_id=first)


def _opened_by(
    store: OpenStore, keys: Sequence[KeyObject], secrets: Sequence[Secret]
) -> Iterator[tuple[KeyObject, Secret]]:
    """The keys of this store that the secrets open, in the order of the secrets, the newest generation first."""
    for secret in secrets:
        for key in sorted(keys, key=lambda key: -key.info.generation if key.info else 0):
            if key.info is None or key.info.store != store.config.store_id:
                continue
            with suppress(WrongKey, Corrupt):
                unwrap(key.payload, secret)
                yield key, secret


def _chosen(opened: Iterable[tuple[KeyObject, Secret]]) -> list[tuple[KeyObject, Secret, Role]]:
    """Of the keys that one secret opens, the first of each role: an older one was left by a change that was cut off."""
    found: dict[tuple[Secret, Role], KeyObject] = {}
    for key, secret in opened:
        assert key.info is not None
        found.setdefault((secret, key.info.role), key)
    return [(key, secret, role) for (secret, role), key in found.items()]


def _put_generation(store: OpenStore, ring: KeyRing, chosen: Sequence[tuple[KeyObject, Secret, Role]]) -> set[str]:
    """Write the keys of a new generation; the first one claims it."""
    first: bytes | None = first_id(ring.store_id, ring.generation)
    names = set()
    for key, secret, role in chosen:
        try:
            names.add(KEYS + put_key(store.backend, _wrapped(store, ring, secret, key.label, role, first)))
        except ObjectExists:
            raise _other_rotation() from None
        first = None
    return names


def first_id(store_id: bytes, generation: int) -> bytes:
    """The id of the first key object of a generation."""
    return blake3(b"silt generation 1" + store_id + generation.to_bytes(8, "little")).digest(length=ID_SIZE)


def _refuse_other_rotation(store: OpenStore, ring: KeyRing, mine: set[str]) -> None:
    """The claim of another rotation may be gone already, but not all its keys."""
    keys = [key for key in read_keys(store.backend) if key.name not in mine]
    if newest_generation(keys, ring.store_id) >= ring.generation:
        for name in mine:
            store.backend.delete(name)
        raise _other_rotation()


def _other_rotation() -> StoreError:
    return StoreError(
        "the keys were rotated by somebody else at the same moment: nothing was changed here",
        hint="'silt key list' shows which keys are outdated",
    )


def _reads(key: KeyObject, store: OpenStore) -> bool:
    return _is_current(key, store) and key.info is not None and key.info.role != "write"


def _is_current(key: KeyObject, store: OpenStore) -> bool:
    info = key.info
    return info is not None and info.store == store.config.store_id and info.generation >= store.ring.generation


def _still_opens(store: OpenStore) -> bool:
    keys = read_keys(store.backend)
    if store.key:
        return any(key.name == store.key for key in keys)
    return any(_reads(key, store) for key in keys)


def _delete(backend: Backend, keys: Sequence[KeyObject]) -> None:
    for key in keys:
        with suppress(ObjectMissing):
            backend.delete(key.name)
