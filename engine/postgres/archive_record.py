"""What the root of an archived WAL file says: which file it is, where its bytes are, when its transactions ended.

    {format, name, system_identifier, timeline, start, size, used, digest, version, extents, index, times, stored_ns,
     content}

`start` is the LSN of its first byte; `size` what it has when it is restored, of which the first `used` bytes are WAL
and the rest zeros; `digest` is the BLAKE3 of all `size` bytes. `extents` are packed as in a manifest. `index` is [chunk
id, length] of its commit index, `times` the first and last moment (microseconds since 1970 UTC) in it, or nil. Files
that are no WAL (histories, notes of backups) are `content`, and have neither extents nor an LSN.

Rule: one small root a file. A list of several in one root would save objects, but creating `wal/.../<segment>` would
then no longer be what makes a segment's name taken, and each lookup would be a search.
"""

from typing import Any, Final

from blake3 import blake3
from msgspec import Struct

from siltstone.store import Corrupt, NewerFormat, Store

from ..entry import EXTENT
from .archive_names import object_name

FORMAT: Final = 1
_ZEROS: Final = bytes(1 << 16)


class ArchivedFile(Struct, frozen=True, kw_only=True):
    """See above. `name` is that of the object's last part."""

    name: str
    system_identifier: int
    timeline: int
    start: int = 0
    size: int
    used: int
    digest: bytes
    version: int = 0
    extents: bytes = b""
    index: tuple[bytes, int] | None = None
    times: tuple[int, int] | None = None
    stored_ns: int = 0
    content: bytes = b""

    @property
    def end(self) -> int:
        """The LSN behind its WAL."""
        return self.start + self.used

    @property
    def references(self) -> bytes:
        """Packed extents of all chunks that the file needs: of its bytes, and its commit index."""
        return self.extents + (EXTENT.pack(self.index[0], 0, self.index[1]) if self.index else b"")


_FIELDS = tuple(ArchivedFile.__struct_fields__)


def to_root(file: ArchivedFile) -> dict[str, object]:
    """The content of the root."""
    return {"format": FORMAT, **{field: getattr(file, field) for field in _FIELDS}}


def from_root(name: str, root: dict[str, Any]) -> ArchivedFile:
    """The file that a root says. Raises NewerFormat, Corrupt."""
    try:
        if root["format"] > FORMAT:
            raise NewerFormat(f"{name}: written in format {root['format']} of WAL", hint="upgrade silt on this host")
        values = {field: root[field] for field in _FIELDS}
    except (KeyError, TypeError):
        raise Corrupt(name, "it is no root of a WAL file") from None
    if len(values["extents"]) % EXTENT.size:
        raise Corrupt(name, "its extents are cut off")
    for field in ("index", "times"):
        values[field] = None if values[field] is None else tuple(values[field])
    return ArchivedFile(**values)


def read_record(store: Store, system_identifier: int, name: str) -> ArchivedFile:
    """What is archived under that name. Raises ObjectMissing, Corrupt, NewerFormat, NoKey."""
    return read_object(store, object_name(system_identifier, name))


def read_object(store: Store, name: str) -> ArchivedFile:
    """The same, by the name of the object."""
    return from_root(name, store.read_root(name))


def digest_of(data: memoryview, size: int) -> bytes:
    """The BLAKE3 of the bytes and of zeros behind them, up to `size` bytes in all."""
    hasher = blake3(data)
    left = size - len(data)
    while left > 0:
        hasher.update(_ZEROS[: min(left, len(_ZEROS))])
        left -= len(_ZEROS)
    return hasher.digest()
