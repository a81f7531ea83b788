"""A reader's lease: what was there when it was taken stays until it ends, also when it is forgotten and collected.

Rule: it is a lease like any other, of a session that commits nothing, so garbage collection waits for it by the rules
it has: nothing that is condemned later is removed. It comes before the roots are read that are to stay readable. Where
it cannot be written (a store mounted read-only, storage that this host may only read), reading goes on without it, and
then what is collected meanwhile is missing. It keeps nobody from forgetting.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from .condemned import newest_generation
from .errors import StoreError
from .keyring import SESSION_ID_SIZE
from .lease import HeldLease, lease_key
from .opening import OpenStore


@contextmanager
def reading(store: OpenStore) -> Iterator[bool]:
    """Hold a lease while the context lasts; whether there is one. Raises no StoreError."""
    try:
        generation = newest_generation(store.backend)
        lease = HeldLease(store.backend, os.urandom(SESSION_ID_SIZE).hex(), lease_key(store), generation)
    except StoreError:
        yield False
        return
    try:
        yield True
    finally:
        lease.end()
