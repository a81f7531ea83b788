"""Making a store, and opening one with a key.

Rule: `init` writes keys before the config, and the config is what makes a place a store: a crash in between leaves a
folder that `init` may use again. Opening reads the config, then tries the secret on each key, those of the newest
generation first; a key that was kept apart from the store (key_copy.py) opens it without them.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .backend import Backend
from .config import (
    CONFIG,
    CONFIG_COPY,
    DEFAULT_COMPRESSION,
    Config,
    config_content,
    decode_config,
    encode_config,
)
from .errors import Corrupt, NoKey, NotAStore, ObjectExists, ObjectMissing, StoreError, WrongKey
from .frame import Compressor
from .key_copy import KeyCopy, Opener
from .key_objects import KEYS, KeyObject, damaged_key, newest_generation, put_key, read_keys
from .keys import KeyRing, Secret, unwrap, wrap
from .parallel import beside

PROBE = "probe/"  # what a backend asks the storage with; it stays behind only where that was cut off


@dataclass(frozen=True, slots=True)
class OpenStore:
    """A store with its key ring: what every part of this layer works on. `key` names the object of the key that opened
    it, where it was one of `keys/`.
    """

    backend: Backend
    config: Config
    ring: KeyRing
    key: str = ""


def init_store(
    backend: Backend,
    secrets: Sequence[tuple[Secret, str]],
    *,
    compression: str = DEFAULT_COMPRESSION,
    padded: bool = False,
) -> OpenStore:
    """Make a store at the backend's place; no secrets means no encryption. Each secret comes with a label. `padded`
    goes with encryption alone.

    Raises StoreError when a store, or anything else, is there already.
    """
    Compressor(compression)
    refuse_occupied(backend)
    conditional = backend.holds_conditions()
    store_id = os.urandom(16)
    if secrets:
        ring = KeyRing.generate(store_id)
        config = Config(store_id, True, b"", compression, conditional, padded)
    else:
        id_key = os.urandom(32)
        ring = KeyRing.public(store_id, id_key)
        config = Config(store_id, False, id_key, compression, conditional)
    for secret, label in secrets:
        put_key(backend, wrap(ring, secret, label=label, created_ns=time.time_ns(), config=config_content(config)))
    try:
        backend.put(CONFIG, [encode_config(config)])
    except ObjectExists:
        raise StoreError(f"{backend.location}: a store was made there at the same moment") from None
    if not config.encrypted:
        backend.put(CONFIG_COPY, [encode_config(config)])
    return OpenStore(backend, config, ring)


def refuse_occupied(backend: Backend) -> None:
    """Raises StoreError unless nothing is there but what an `init` that was cut off left."""
    try:
        backend.get(CONFIG, 0, 1)
    except ObjectMissing:
        pass
    else:
        raise StoreError(f"{backend.location}: there is a store already", hint="use it, or choose another place")
    for info in backend.list(""):
        if not info.name.startswith((KEYS, PROBE)):
            raise StoreError(
                f"{backend.location}: the place is not empty ({info.name})", hint="choose an empty or a new folder"
            )


def unlock(backend: Backend, secret: Opener | None) -> OpenStore:
    """Open the store with a secret. Raises NotAStore, NewerFormat, NoKey, WrongKey, Corrupt."""
    if secret is None:
        config = read_config(backend)
        if config.encrypted:
            raise NoKey(
                f"{backend.location}: the store is encrypted and no key was given",
                hint="set SILT_PASSPHRASE or SILT_PASSPHRASE_COMMAND, or use --key-file",
            )
        return OpenStore(backend, config, KeyRing.public(config.store_id, config.id_key))
    with beside(backend, lambda: read_keys(backend)) as keys:
        config = read_config(backend)
        if not config.encrypted:
            raise WrongKey(
                f"{backend.location}: a key was given and the store is not encrypted",
                hint="unset SILT_PASSPHRASE and the like if that is as you want it; else somebody exchanged the store",
            )
        return _unlock(backend, config, secret, keys())


def read_config(backend: Backend) -> Config:
    """The store's config, for which no key is needed."""
    try:
        return decode_config(backend.get(CONFIG))
    except ObjectMissing:
        raise NotAStore(
            f"{backend.location}: there is no Siltstone store",
            hint="check the path and that the share is mounted; 'silt init' makes a store",
        ) from None


def _unlock(backend: Backend, config: Config, secret: Opener, keys: Sequence[KeyObject]) -> OpenStore:
    """The store with the ring that the secret opens, and what the store's keys say of its generation."""
    name = ""
    if isinstance(secret, KeyCopy):
        ring = unwrap(secret.payload, secret.secret)
        if ring.store_id != config.store_id:
            raise WrongKey(
                f"{backend.location}: the key is one of another store", hint="check that this is the store you mean"
            )
    else:
        name, ring = _try_keys(backend, config, keys, secret)
    outdated = newest_generation(keys, config.store_id) > ring.generation
    return OpenStore(backend, config, replace(ring, outdated=outdated), name)


def _try_keys(backend: Backend, config: Config, found: Sequence[KeyObject], secret: Secret) -> tuple[str, KeyRing]:
    """Name and ring of the newest key that the secret opens. A key object that is damaged or too new hides no other.

    Kinds are compared first, since each passphrase that is tried costs a tenth of a second.
    """
    tried = 0
    for key in sorted(found, key=lambda key: -key.info.generation if key.info else 0):
        if key.info is None:
            continue
        tried += 1
        try:
            ring = unwrap(key.payload, secret)
        except WrongKey:
            continue
        except Corrupt as error:
            key.error = damaged_key(key.name, error)
            continue
        if ring.store_id == config.store_id:  # a key of an init that was cut off, or put there by somebody, is none
            return key.name, ring
    for key in found:
        if key.error is not None:
            raise key.error
    if not tried:
        raise Corrupt(KEYS, "the store has no key object left", hint="restore keys/ from a copy, or see 'silt repair'")
    raise WrongKey(
        f"{backend.location}: the passphrase or key file opens none of its {f'{tried} keys' if tried > 1 else 'keys'}",
        hint="check the passphrase (SILT_PASSPHRASE) and that this is the store you mean",
    )
