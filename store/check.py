"""Checks of the small objects of a store: config, keys, leases; and whether the storage itself still answers.

Rule: a check names what is wrong as a `Fault` and goes on with the next object. Only the storage as a whole going away
ends it: that is an error, because everything after it would be called missing. Nothing here repairs or removes
anything.
"""

from collections.abc import Iterator

import msgpack
from msgspec import Struct

from .backend import Backend
from .config import CONFIG, decode_config
from .envelope import ObjectKind, disclose
from .errors import BackendError, Corrupt, NewerFormat, ObjectMissing, StoreError
from .key_objects import KEYS, read_keys
from .lease import SESSIONS
from .opening import OpenStore

MISSING_OBJECT = "it is missing"  # the error of what is not there


class Fault(Struct, frozen=True):
    """An object, or a folder of them ending in '/', and in one clause what is wrong with it."""

    object: str
    error: str


def fault_of(name: str, error: StoreError, backend: Backend) -> Fault:
    """What an error about one object says of it. Raises BackendError when the whole storage is away instead."""
    if isinstance(error, ObjectMissing):
        return Fault(name, MISSING_OBJECT)
    if isinstance(error, BackendError):
        raise_if_away(backend)
    return Fault(name, str(error).removeprefix(f"{name}: "))


def raise_if_away(backend: Backend) -> None:
    """Raises BackendError when the storage does not even give the config: then no single object is to blame."""
    try:
        backend.get(CONFIG, 0, 1)
    except ObjectMissing:
        pass  # the storage answered


def check_small_objects(store: OpenStore) -> Iterator[Fault]:
    """Every fault of config, keys and leases."""
    yield from _check_config(store)
    yield from _check_keys(store)
    yield from _check_leases(store)


def _check_config(store: OpenStore) -> Iterator[Fault]:
    lost = "without it the store cannot be opened: put it back from a copy"
    try:
        if decode_config(store.backend.get(CONFIG)) != store.config:
            yield Fault(CONFIG, f"it is not the config with which the store was opened; {lost}")
    except (StoreError, KeyError, TypeError, ValueError) as error:
        known = error if isinstance(error, StoreError) else Corrupt(CONFIG, "it does not parse")
        yield Fault(CONFIG, f"{fault_of(CONFIG, known, store.backend).error}; {lost}")


def _check_keys(store: OpenStore) -> Iterator[Fault]:
    keys = read_keys(store.backend)
    for key in keys:
        if isinstance(key.error, Corrupt):
            what = str(key.error).removeprefix(f"{key.name}: ")
            yield Fault(key.name, f"{what}; what it opened is opened by the store's other keys alone")
    if store.config.encrypted and all(isinstance(key.error, Corrupt) for key in keys):
        yield Fault(KEYS, "no usable key is left: once closed, the store cannot be opened; put keys/ back from a copy")


def _check_leases(store: OpenStore) -> Iterator[Fault]:
    for info in store.backend.list(SESSIONS):
        try:
            row = msgpack.unpackb(disclose(ObjectKind.LEASE, info.name, store.backend.get(info.name)))
            if not isinstance(row, dict) or not {"session", "renewed_ns"} <= row.keys():
                raise Corrupt(info.name, "it does not parse")
        except (ObjectMissing, NewerFormat):
            continue  # its session ended meanwhile, or is a newer silt's
        except StoreError as error:
            what = fault_of(info.name, error, store.backend).error
            yield Fault(info.name, f"{what}; nothing is lost: it is of a session that was at work, or was cut off")
