"""Opening a store of which config and keys may be lost, and putting these back.

What is enough: a key object in `keys/` and the secret that opens it, or a copy of a key kept apart from the store
(key_copy.py): each carries the config, sealed. A store without encryption keeps a second copy of its config.

Rule: nothing is changed by looking; each remedy writes what was proved by a key. A config is written where none can be
read, a key where none is left that reads: a key that is not there was perhaps removed on purpose.
It does not promise that what it opens is whole: the other steps of a repair look at that.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

from msgspec import Struct

from .backend import Backend
from .config import CONFIG, CONFIG_COPY, Config, config_of, decode_config, encode_config
from .envelope import ObjectKind, enclose
from .errors import Corrupt, NoKey, NotAStore, ObjectMissing, StoreError, WrongKey
from .key_copy import KeyCopy, Opener
from .key_objects import KEYS, read_keys
from .keys import KeyRing, describe, unwrap
from .opening import OpenStore, read_config, unlock
from .reader import PackReader, list_packs
from .remedy import Remedy
from .root import read_root, root_names

# How many objects are tried with a key before it is taken for one of another store.
TRIES = 20


class Recovered(Struct, frozen=True):
    """A store that was opened with what is left of it, and what is wrong with config and keys."""

    opened: OpenStore
    remedies: tuple[Remedy, ...]


def recover(backend: Backend, opener: Opener | None) -> Recovered:
    """Open a store for its repair. Raises NotAStore, NewerFormat, NoKey, WrongKey, Corrupt as `unlock` does, where even
    what is left is not enough.
    """
    try:
        read_config(backend)
        wrong = ""
    except NotAStore:
        wrong = "it is missing"
    except Corrupt as error:
        wrong = str(error).removeprefix(f"{CONFIG}: ")
    opened = _without_config(backend, opener) if wrong else unlock(backend, opener)
    found = []
    if wrong:
        write = partial(backend.replace, CONFIG, [encode_config(opened.config)])
        source = "the key that was given" if opened.config.encrypted else "its copy in the store"
        found.append(Remedy(CONFIG, wrong, f"write it anew, from {source}", apply=write))
    found += _copy_remedies(opened) if not opened.config.encrypted else _key_remedies(opened, opener)
    return Recovered(opened, tuple(found))


def _without_config(backend: Backend, opener: Opener | None) -> OpenStore:
    if not any(True for _ in backend.list("")):
        raise NotAStore(f"{backend.location}: there is nothing of a store", hint="check the path")
    if opener is None:
        return _from_copy(backend)
    found = list(_opened_by(backend, opener))
    if not found:
        raise WrongKey(
            f"{backend.location}: its config is lost, and the key that was given opens none of its keys",
            hint="give another passphrase or key file, or a copy of a key ('silt key export') with --key-file",
        )
    several = len({ring.store_id for _, ring in found}) > 1
    fitting = [one for one in found if _fits(backend, *one)] if several else found
    if not fitting:
        raise WrongKey(
            f"{backend.location}: the key that was given opens keys of several stores, and nothing that is in this one",
            hint="give another key",
        )
    config, ring = max(fitting, key=lambda one: one[1].generation)
    return OpenStore(backend, config, ring)


def _from_copy(backend: Backend) -> OpenStore:
    try:
        config = decode_config(backend.get(CONFIG_COPY))
    except (ObjectMissing, Corrupt):
        raise NoKey(
            f"{backend.location}: its config is lost, and no key was given",
            hint="give a key of the store, or a copy of one ('silt key export') with --key-file",
        ) from None
    return OpenStore(backend, config, KeyRing.public(config.store_id, config.id_key))


def _opened_by(backend: Backend, opener: Opener) -> Iterator[tuple[Config, KeyRing]]:
    """The config and the ring of each key that the secret opens."""
    if isinstance(opener, KeyCopy):
        payloads, secret = [opener.payload], opener.secret
    else:
        payloads, secret = [key.payload for key in read_keys(backend) if key.info], opener
    for payload in payloads:
        try:
            ring = unwrap(payload, secret)
            config = config_of(describe(payload).config)
        except (WrongKey, Corrupt):
            continue
        if config.store_id == ring.store_id:
            yield config, ring


def _fits(backend: Backend, config: Config, ring: KeyRing) -> bool:
    """Whether the ring opens anything that is there: an init that was cut off may have left keys of another store."""
    store = OpenStore(backend, config, ring)
    for read, name in islice(_readings(store), TRIES):
        try:
            read(name)
        except StoreError:
            continue
        return True
    return False


def _readings(store: OpenStore) -> Iterator[tuple[Callable[[Any], object], str]]:
    """What the right key can read: a few roots, then footers."""
    yield from ((partial(read_root, store), name) for name in islice(root_names(store), TRIES // 2))
    yield from ((PackReader(store).footer, name) for name in list_packs(store))


def _copy_remedies(store: OpenStore) -> Iterator[Remedy]:
    try:
        if decode_config(store.backend.get(CONFIG_COPY)) == store.config:
            return
        wrong = "it is not a copy of the config"
    except ObjectMissing:
        wrong = "it is missing"
    except Corrupt as error:
        wrong = str(error).removeprefix(f"{CONFIG}: ")
    write = partial(store.backend.replace, CONFIG_COPY, [encode_config(store.config)])
    yield Remedy(CONFIG_COPY, wrong, "write it anew, from the config", apply=write)


def _key_remedies(store: OpenStore, opener: Opener | None) -> Iterator[Remedy]:
    keys = read_keys(store.backend)
    reading = [key for key in keys if key.info and key.info.store == store.config.store_id and key.info.role != "write"]
    if not reading and isinstance(opener, KeyCopy) and store.ring.may_read:
        name = KEYS + describe(opener.payload).id
        keep = partial(store.backend.replace, name, [enclose(ObjectKind.KEY, opener.payload)])
        yield Remedy(KEYS, "no key that opens the store is left", "keep the one that was given", apply=keep)
    for key in keys:
        if isinstance(key.error, Corrupt):
            number = key.name.removeprefix(KEYS)
            yield Remedy(
                key.name,
                str(key.error).removeprefix(f"{key.name}: "),
                advice=f"what it opened it opens no more: add that key anew, then 'silt key remove {number}'",
            )
