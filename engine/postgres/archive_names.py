"""Names of WAL in a store: `wal/<system identifier>/<timeline>/<name>`, one object a WAL file.

    <segment>                  a whole segment                  000000010000000A000000FE
    <segment>.partial          where its timeline was left      as PostgreSQL names it
    <segment>.open-OOOOOOOO    its first O bytes (hexadecimal), stored while the server still writes it
    <segment>.OOOOOOOO.backup  the notes of a base backup       as PostgreSQL names it
    TTTTTTTT.history           where a timeline comes from      as PostgreSQL names it
    <any>.other-XXXXXXXXXXXXXXXX   what came under a taken name: how the BLAKE3 of it begins

Rule: pure. The system identifier is part of the name, so that two clusters can share a store and never a name; creating
the object is exclusive, so a name means the same bytes for ever.
"""

import re

from msgspec import Struct

from .errors import Malformed
from .wal_names import WalFile, WalKind, WalSegment, parse_wal_file

WAL = "wal/"

_OPEN = re.compile(r"(?P<segment>[0-9A-F]{24})\.open-(?P<used>[0-9A-F]{8})")
_OTHER = re.compile(r"(?P<name>.+)\.other-[0-9a-f]{16}")


class StoredName(Struct, frozen=True):
    """A name taken apart. `open_used` is how many bytes of an open segment it holds; `other`: kept aside."""

    file: WalFile
    open_used: int | None = None
    other: bool = False


def cluster_folder(system_identifier: int) -> str:
    """The folder of a cluster's WAL, with its '/'."""
    return f"{WAL}{system_identifier}/"


def object_name(system_identifier: int, name: str) -> str:
    """The object of a WAL file, or of an open part; each begins with its timeline."""
    return f"{cluster_folder(system_identifier)}{name[:8]}/{name}"


def open_name(segment: WalSegment, size: int, used: int) -> str:
    """The name of the first `used` bytes of a segment that is still written."""
    return f"{segment.name(size)}.open-{used:08X}"


def other_name(name: str, digest: bytes) -> str:
    """The name under which other bytes are kept aside."""
    return f"{name}.other-{digest[:8].hex()}"


def parse_stored_name(name: str, size: int) -> StoredName:
    """Take the last part of an object's name apart, for segments of that many bytes. Raises Malformed."""
    if match := _OTHER.fullmatch(name):
        return StoredName(parse_stored_name(match["name"], size).file, other=True)
    if match := _OPEN.fullmatch(name):
        file = parse_wal_file(match["segment"], size)
        used = int(match["used"], 16)
        if file.kind is not WalKind.SEGMENT or not 0 < used <= size:
            raise Malformed(name, "is no name of an open segment")
        return StoredName(file, open_used=used)
    return StoredName(parse_wal_file(name, size))
