"""The objects of `keys/`: read as far as no secret is needed, and written.

Rule: one that is damaged or from the future hides no other. What an object says of itself is not proved before its
secret opens it.
"""

from collections.abc import Collection

from msgspec import Struct

from .backend import Backend
from .envelope import ObjectKind, disclose, enclose
from .errors import Corrupt, NewerFormat, ObjectMissing, StoreError
from .keys import KeyInfo, describe, key_id
from .parallel import asked_of

KEYS = "keys/"

# Not to verify, as of other objects: that needs a key that opens the store.
_DAMAGED_KEY = "use another key, or put keys/ back from a copy of the store"


class KeyObject(Struct):
    """An object of `keys/`: what it says of itself, or the error that reading it gave."""

    name: str
    payload: bytes = b""
    info: KeyInfo | None = None
    error: StoreError | None = None

    @property
    def id(self) -> str:
        """The id by which it is named."""
        return self.name.removeprefix(KEYS)

    @property
    def label(self) -> str:
        """What it is called, or '' where it does not say."""
        return self.info.label if self.info else ""


def read_keys(backend: Backend) -> list[KeyObject]:
    """Every key object of the store, sorted by name. Raises what the storage raises."""
    names = [listed.name for listed in backend.list(KEYS)]
    return [key for key in asked_of(backend, lambda name: _read_key(backend, name), names) if key is not None]


def _read_key(backend: Backend, name: str) -> KeyObject | None:
    """None for one that was removed meanwhile."""
    key = KeyObject(name)
    try:
        key.payload = disclose(ObjectKind.KEY, name, backend.get(name))
        key.info = describe(key.payload)
    except ObjectMissing:
        return None
    except Corrupt as error:
        key.error = damaged_key(name, error)
    except NewerFormat as error:
        key.error = error
    return key


def newest_generation(keys: Collection[KeyObject], store_id: bytes) -> int:
    """The latest generation that a key of the store names; 0 without any."""
    return max((key.info.generation for key in keys if key.info and key.info.store == store_id), default=0)


def damaged_key(name: str, error: Corrupt) -> Corrupt:
    """The error about a key object, by its name and with what helps there."""
    return Corrupt(name, str(error).removeprefix(f"{error.name}: "), hint=_DAMAGED_KEY)


def put_key(backend: Backend, payload: bytes) -> str:
    """Keep a key object's payload in the store; the id of the key. Raises ObjectExists when the id is taken."""
    made = key_id(payload)
    backend.put(KEYS + made, [enclose(ObjectKind.KEY, payload)])
    return made
