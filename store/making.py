"""Making a store.

Rule: keys are written before the config, and the config is what makes a place a store: a crash in between leaves a
folder that can be used again.
"""

import os
import time
from collections.abc import Sequence

from .backend import Backend
from .config import CONFIG, CONFIG_COPY, DEFAULT_COMPRESSION, Config, config_content, encode_config
from .errors import ObjectExists, ObjectMissing, StoreError
from .frame import Compressor
from .key_objects import KEYS, put_key
from .keyring import KeyRing
from .keys import wrap
from .opening import OpenStore
from .secrets import Secret

PROBE = "probe/"  # what a backend asks the storage with; it stays behind only where that was cut off


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
