"""What a base backup was, once it is taken: what both ways of taking one say of it.

Rule: plain data, complete only for a backup that is whole. It promises nothing of what was stored.
"""

from msgspec import Struct

from .control import Control


class Taken(Struct, frozen=True):
    """Where it began and ended in the WAL; its pg_control; the server's places: data directory, and tablespaces by oid.

    `roots` are all of these as absolute paths; `account` the names of user and group to whom they belong, if known.
    """

    start_lsn: int
    timeline: int
    stop_lsn: int
    control: Control
    data_directory: bytes
    tablespaces: dict[int, bytes]
    roots: tuple[bytes, ...]
    account: tuple[str, str] = ("", "")
