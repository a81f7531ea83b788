"""Opening a store with a key.

Rule: the config is read, then the secret is tried on each key, those of the newest generation first; a key that was
kept apart from the store (key_copy.py) opens it without them. Little is loaded before a passphrase becomes a key, for
that takes 0.1 s, in which the rest can be.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from .backend import Backend
from .config import CONFIG, Config, decode_config
from .errors import Corrupt, NoKey, NotAStore, ObjectMissing, WrongKey
from .key_copy import KeyCopy, Opener
from .key_objects import KEYS, KeyObject, damaged_key, newest_generation, read_keys
from .keys import KeyRing, Secret, unwrap
from .parallel import beside


class OpenStore(Struct, frozen=True):
    """A store with its key ring: what every part of this layer works on. `key` names the object of the key that opened
    it, where it was one of `keys/`.
    """

    backend: Backend
    config: Config
    ring: KeyRing
    key: str = ""


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
