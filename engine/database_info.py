"""What a level's root says of its database: enough to know what it is, and from where to where its WAL reaches.

Rule: plain data. How it came about is the business of postgres/database.py.
"""

from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

SET_NAME = "postgres"  # of the file set that holds the cluster's files
CONFIG_SET_NAME = "postgres-config"  # of the one that holds settings and tables of a configuration-only level

# Their paths are the server's, or nobody's: a restore in place leaves these file sets out.
NOT_IN_PLACE = frozenset({SET_NAME, CONFIG_SET_NAME})


class DatabaseInfo(Struct, frozen=True, kw_only=True):
    """What a level's root says of its database. LSNs are ints; `tablespaces` is (oid, location) of each; `account` is
    the user and the group to whom the data directory belongs, by their names on its host: empty where nobody knows.
    `read_ns`: when everything was last read; before this level where the server said what had changed since its parent.
    """

    system_identifier: int
    version_num: int
    catalog_version: int
    timeline: int
    start_lsn: int
    stop_lsn: int
    wal_segment_size: int
    data_checksums: bool
    from_standby: bool
    data_directory: bytes
    tablespaces: tuple[tuple[int, bytes], ...]
    account: tuple[str, str] = ("", "")
    read_ns: int = 0


def database_to_root(info: DatabaseInfo) -> dict[str, Any]:
    """As it stands in a root, by the names of its fields."""
    return asdict(info)


def database_from_root(row: dict[str, Any]) -> DatabaseInfo:
    """The inverse. Raises KeyError, TypeError, ValueError."""
    values = {name: row[name] for name in DatabaseInfo.__struct_fields__}
    spaces = tuple((int(oid), bytes(location)) for oid, location in values.pop("tablespaces"))
    user, group = values.pop("account")
    return DatabaseInfo(**values, tablespaces=spaces, account=(user, group))
