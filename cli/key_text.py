"""A new file that holds a key, and the words about keys that several commands use.

Rule: a file with a key is created, never overwritten, and only its owner may read it.
"""

import os
from typing import TYPE_CHECKING, Any

from .figures import utc_time
from .mistake import Mistake

if TYPE_CHECKING:
    from siltstone.store import KeyObject

MAY = {"all": "do everything", "write": "back up", "read": "restore"}


def write_key(file: str, text: str) -> None:
    """Create a file that holds a key. Mistake where it is there already."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise Mistake(f"{file}: the file exists already", hint="a key file is never overwritten") from None
    with os.fdopen(descriptor, "w") as out:
        out.write(text)
        out.flush()
        os.fsync(descriptor)


def key_record(key: "KeyObject", *, newest: int) -> dict[str, Any]:
    """A key as `--json` tells it."""
    if key.info is None:
        return {"id": key.id, "error": str(key.error)}
    return {
        "id": key.id,
        "kind": key.info.kind,
        "label": key.info.label,
        "created": utc_time(key.info.created_ns),
        "role": key.info.role,
        "generation": key.info.generation,
        "outdated": key.info.generation < newest,
    }
