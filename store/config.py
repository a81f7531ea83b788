"""The config of a store: the one object that is neither sealed nor named by its content.

    config := envelope(msgpack {"format", "store_id", "encrypted", "id_key", "compression"})

`id_key` is empty in an encrypted store (it lies in the wrapped keys), and public where encryption was declined.
Rule: what stands here is decided at `init` and never rewritten.
"""

from dataclasses import dataclass

import msgpack

from .envelope import ObjectKind, disclose, enclose
from .errors import Corrupt, NewerFormat

CONFIG = "config"
FORMAT = 1
DEFAULT_COMPRESSION = "zstd"


@dataclass(frozen=True, slots=True)
class Config:
    """What was decided at init. `store_id` is 16 bytes; `id_key` 32, or empty in an encrypted store."""

    store_id: bytes
    encrypted: bool
    id_key: bytes
    compression: str = DEFAULT_COMPRESSION


def encode_config(config: Config) -> bytes:
    """The object's bytes."""
    row = {
        "format": FORMAT,
        "store_id": config.store_id,
        "encrypted": config.encrypted,
        "id_key": config.id_key,
        "compression": config.compression,
    }
    return enclose(ObjectKind.CONFIG, msgpack.packb(row))


def decode_config(data: bytes) -> Config:
    """Raises Corrupt and NewerFormat."""
    row = msgpack.unpackb(disclose(ObjectKind.CONFIG, CONFIG, data))
    if row["format"] > FORMAT:
        raise NewerFormat(
            f"the store has format {row['format']}, and this silt knows up to {FORMAT}",
            hint="upgrade silt on this host",
        )
    if row["encrypted"] == bool(row["id_key"]):
        raise Corrupt(CONFIG, "it contradicts itself about encryption")
    return Config(row["store_id"], row["encrypted"], row["id_key"], row["compression"])
