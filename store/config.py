"""The config of a store: the one object that is neither sealed nor named by its content; and its copy.

    config := envelope(msgpack {"format", "store_id", "encrypted", "id_key", "compression", "unconditional",
                               "padded"})

`unconditional` stands there only where the storage was found not to keep its conditions (see Backend.holds_conditions).
`padded` stands there only where packs are (see padding.py).
`id_key` is empty in an encrypted store (it lies in the wrapped keys), and public where encryption was declined.
A store without encryption has the same bytes once more, under `config-copy`; in an encrypted one each key object has
them too. Rule: what stands here is decided at `init` and never changed: a config that is lost is made again as it was.
"""

from typing import Any

import msgpack
from msgspec import Struct

from .envelope import ObjectKind, disclose, enclose
from .errors import Corrupt, NewerFormat

CONFIG = "config"
CONFIG_COPY = "config-copy"
FORMAT = 1
DEFAULT_COMPRESSION = "zstd"


class Config(Struct, frozen=True):
    """What was decided at init. `store_id` is 16 bytes; `id_key` 32, or empty in an encrypted store.

    `conditional`: the storage kept its conditions then. Else nothing may be removed while others write. `padded`: packs
    are, from then on.
    """

    store_id: bytes
    encrypted: bool
    id_key: bytes
    compression: str = DEFAULT_COMPRESSION
    conditional: bool = True
    padded: bool = False


def encode_config(config: Config) -> bytes:
    """The object's bytes."""
    return enclose(ObjectKind.CONFIG, config_content(config))


def config_content(config: Config) -> bytes:
    """What the envelope holds: every key object carries a copy of it."""
    row = {
        "format": FORMAT,
        "store_id": config.store_id,
        "encrypted": config.encrypted,
        "id_key": config.id_key,
        "compression": config.compression,
    }
    if not config.conditional:
        row["unconditional"] = True
    if config.padded:
        row["padded"] = True
    content: bytes = msgpack.packb(row)
    return content


def decode_config(data: bytes) -> Config:
    """Raises Corrupt and NewerFormat."""
    return config_of(disclose(ObjectKind.CONFIG, CONFIG, data))


def config_of(content: bytes) -> Config:
    """What `config_content` made. Raises Corrupt and NewerFormat."""
    try:
        return _config(msgpack.unpackb(content))
    except (KeyError, TypeError, ValueError):
        raise Corrupt(CONFIG, "it does not parse") from None


def _config(row: dict[str, Any]) -> Config:
    if row["format"] > FORMAT:
        raise NewerFormat(
            f"the store has format {row['format']}, and this silt knows up to {FORMAT}",
            hint="upgrade silt on this host",
        )
    if row["encrypted"] == bool(row["id_key"]):
        raise Corrupt(CONFIG, "it contradicts itself about encryption")
    return Config(
        row["store_id"],
        row["encrypted"],
        row["id_key"],
        row["compression"],
        not row.get("unconditional"),
        row.get("padded", False),
    )
