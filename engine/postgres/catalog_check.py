"""A copy that was read on the host, held against the server's catalog: what that names must have been found.

Over the wire the server's own manifest says what a backup holds; on the host nobody does, and a file that is gone when
it is opened was dropped, as a rule. So what the catalog names before the copy and still names after it has to be in
the copy: a folder of each database, and each table, index and sequence of the one that the connection is to. Of the
other databases no more is known without connecting to each.

Rule: pure but for the two questions. Whether a file is there now decides what a missing one means, and that is for who
asks. Unlogged and temporary relations are in no backup, and are not looked for.
"""

from collections.abc import Mapping

from .connection import Connection
from .layout import TABLESPACES

_DATABASES = """
SELECT oid FROM pg_catalog.pg_database
WHERE dattablespace = (SELECT oid FROM pg_catalog.pg_tablespace WHERE spcname = 'pg_default')
"""
_RELATIONS = """
SELECT pg_catalog.pg_relation_filepath(oid) FROM pg_catalog.pg_class
WHERE relpersistence = 'p' AND relkind IN ('r', 'i', 't', 'm', 'S')
"""


def named_files(connection: Connection) -> set[bytes]:
    """Paths in the data directory that the catalog names at this moment. Raises PostgresError, ServerAway."""
    databases = {b"base/%b/PG_VERSION" % (oid or "").encode() for (oid,) in connection.query(_DATABASES)}
    return databases | {path.encode() for (path,) in connection.query(_RELATIONS) if path is not None}


def place_of(name: bytes, data: bytes, tablespaces: Mapping[int, bytes]) -> bytes:
    """Where such a file lies: below the data directory `data`, or at its tablespace's location."""
    folder, _, rest = name.partition(b"/")
    if folder == TABLESPACES:
        oid, _, rest = rest.partition(b"/")
        location = tablespaces.get(int(oid), b"")
        if location.startswith(b"/"):
            return location + b"/" + rest
    return data + b"/" + name
