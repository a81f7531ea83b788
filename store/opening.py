"""Making a store, and opening one with a key.

Rule: `init` writes keys before the config, and the config is what makes a place a store: a crash in between leaves a
folder that `init` may use again. Opening reads the config, then tries the secret on each key.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

from .backend import Backend
from .config import CONFIG, DEFAULT_COMPRESSION, Config, decode_config, encode_config
from .envelope import ObjectKind, disclose, enclose
from .errors import Corrupt, NewerFormat, NoKey, NotAStore, ObjectExists, ObjectMissing, StoreError, WrongKey
from .frame import Compressor
from .keys import KeyRing, Secret, key_id, unwrap, wrap

KEYS = "keys/"

# Not to verify, as of other objects: that needs a key that opens the store.
_DAMAGED_KEY = "put keys/ back from a copy of the store, or use another key"


@dataclass(frozen=True, slots=True)
class OpenStore:
    """A store with its key ring: what every part of this layer works on."""

    backend: Backend
    config: Config
    ring: KeyRing


def init_store(
    backend: Backend, secrets: Sequence[tuple[Secret, str]], *, compression: str = DEFAULT_COMPRESSION
) -> OpenStore:
    """Make a store at the backend's place; no secrets means no encryption. Each secret comes with a label.

    Raises StoreError when a store, or anything else, is there already.
    """
    Compressor(compression)
    _refuse_occupied(backend)
    store_id = os.urandom(16)
    if secrets:
        ring = KeyRing.generate(store_id)
        config = Config(store_id, True, b"", compression)
    else:
        id_key = os.urandom(32)
        ring = KeyRing.public(store_id, id_key)
        config = Config(store_id, False, id_key, compression)
    for secret, label in secrets:
        payload = wrap(ring, secret, label=label, created_ns=time.time_ns())
        backend.put(KEYS + key_id(payload), [enclose(ObjectKind.KEY, payload)])
    try:
        backend.put(CONFIG, [encode_config(config)])
    except ObjectExists:
        raise StoreError(f"{backend.location}: a store was made there at the same moment") from None
    return OpenStore(backend, config, ring)


def _refuse_occupied(backend: Backend) -> None:
    for info in backend.list(""):
        if info.name == CONFIG:
            raise StoreError(f"{backend.location}: there is a store already", hint="use it, or choose another place")
        if not info.name.startswith(KEYS):
            raise StoreError(
                f"{backend.location}: the place is not empty ({info.name})", hint="choose an empty or a new folder"
            )


def unlock(backend: Backend, secret: Secret | None) -> OpenStore:
    """Open the store with a secret. Raises NotAStore, NewerFormat, NoKey, WrongKey, Corrupt."""
    config = read_config(backend)
    if not config.encrypted:
        if secret is not None:
            raise WrongKey(
                f"{backend.location}: a key was given and the store is not encrypted",
                hint="unset SILT_PASSPHRASE and the like if that is as you want it; else somebody exchanged the store",
            )
        return OpenStore(backend, config, KeyRing.public(config.store_id, config.id_key))
    if secret is None:
        raise NoKey(
            f"{backend.location}: the store is encrypted and no key was given",
            hint="set SILT_PASSPHRASE or SILT_PASSPHRASE_COMMAND, or use --key-file",
        )
    return OpenStore(backend, config, _unlock(backend, config, secret))


def read_config(backend: Backend) -> Config:
    """The store's config, for which no key is needed."""
    try:
        return decode_config(backend.get(CONFIG))
    except ObjectMissing:
        raise NotAStore(
            f"{backend.location}: there is no Siltstone store",
            hint="check the path and that the share is mounted; 'silt init' makes a store",
        ) from None


def _unlock(backend: Backend, config: Config, secret: Secret) -> KeyRing:
    """The ring that the secret opens. A key object that is damaged or too new hides no other."""
    unusable: StoreError | None = None
    tried = 0
    for info in backend.list(KEYS):
        try:
            payload = disclose(ObjectKind.KEY, info.name, backend.get(info.name))
            ring = unwrap(payload, secret)
        except WrongKey:
            tried += 1
            continue
        except (Corrupt, NewerFormat) as error:
            unusable = error
            if isinstance(error, Corrupt):
                said = str(error).removeprefix(f"{info.name}: ")
                unusable = Corrupt(info.name, said, hint=_DAMAGED_KEY)
            continue
        tried += 1
        if ring.store_id == config.store_id:  # a key of an init that was cut off, or put there by somebody, is none
            return ring
    if unusable is not None:
        raise unusable
    if not tried:
        raise Corrupt(KEYS, "the store has no key object left", hint="restore keys/ from a copy of the store")
    raise WrongKey(
        f"{backend.location}: the passphrase or key file opens none of its {f'{tried} keys' if tried > 1 else 'keys'}",
        hint="check the passphrase (SILT_PASSPHRASE) and that this is the store you mean",
    )
