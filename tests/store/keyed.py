"""A store with a key of every kind, for tests of keys.

Rule: key files alone, since a passphrase costs a tenth of a second; `opens` reads a level to the last byte.
"""

from siltstone.store import Backend, KeyFile, NoKey, Store, WrongKey, add_key, read_keys, unlock
from siltstone.store.keys import KeyInfo

from .backends import MemoryBackend
from .stores import KEY, back_up, grains, make, read_back

A, B, C, D = KEY, KeyFile(b"b" * 32), KeyFile(b"c" * 32), KeyFile(b"d" * 32)
NEW = KeyFile(b"n" * 32)
CONTENT = grains(1, 3)
LATER = "backups/host/0/1"


def with_keys() -> MemoryBackend:
    """A store with one level that A, B (all), C (write) and D (read) open."""
    backend = MemoryBackend()
    store = make(backend)
    back_up(store, CONTENT)
    add_key(store.opened, B, label="second")
    add_key(store.opened, C, label="writer", role="write")
    add_key(store.opened, D, label="reader", role="read")
    return backend


def copied(backend: MemoryBackend) -> MemoryBackend:
    """The same objects in a backend of their own."""
    copy = MemoryBackend()
    copy.objects = dict(backend.objects)
    return copy


def key_of(backend: Backend, secret: KeyFile) -> str:
    """The id of the key that a secret opens."""
    return unlock(backend, secret).key.removeprefix("keys/")


def infos(backend: Backend) -> dict[str, KeyInfo]:
    """What the keys say of themselves, by their labels."""
    return {key.label: key.info for key in read_keys(backend) if key.info}


def opens(backend: Backend, secret: KeyFile, name: str = "backups/host/0/0") -> bool:
    """Whether a secret reads a level, to the last byte."""
    try:
        assert read_back(Store.open(backend, secret), name) == CONTENT
    except (WrongKey, NoKey):
        return False
    return True
