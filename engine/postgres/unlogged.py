"""Unlogged tables: their rows are in no WAL and no base backup, and a restored cluster has them empty.

Rule: each database that the role may connect to is looked into over a short connection of its own, but for templates: a
connection to one of those would make a CREATE DATABASE fail. A database that cannot be reached is named, and is no
error. Of a cluster with very many databases the first are looked into.
"""

from msgspec import Struct

from .connection import Connection, connect
from .dsn import conninfo, words_of
from .errors import PostgresError

DATABASES = 100  # a connection each, of some milliseconds
_DATABASES = """
SELECT datname, pg_catalog.has_database_privilege(oid, 'CONNECT') FROM pg_catalog.pg_database
WHERE datallowconn AND NOT datistemplate ORDER BY 2 DESC, 1
"""
_TABLES = """
SELECT pg_catalog.format('%I.%I', nspname, relname) FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE relpersistence = 'u' AND relkind IN ('r', 'm') ORDER BY 1
"""


class Unlogged(Struct, frozen=True):
    """`tables` are (database, schema.table as in a command). Not looked into were `closed` databases, which the role
    may not connect to, and `unseen` ones, which refused for another reason or were too many.
    """

    tables: tuple[tuple[str, str], ...] = ()
    closed: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()


def look_for(connection: Connection, dsn: str) -> Unlogged:
    """The unlogged tables of all databases. `connection` was made with the dsn. Raises PostgresError, ServerAway."""
    tables: list[tuple[str, str]] = []
    closed: list[str] = []
    unseen: list[str] = []
    words = words_of(dsn)
    for number, (name, allowed) in enumerate(connection.query(_DATABASES)):
        assert name is not None
        if allowed != "t" or number >= DATABASES:
            (unseen if allowed == "t" else closed).append(name)
            continue
        try:
            with connect(_text(conninfo({**words, "dbname": name})), replication=False) as own:
                tables += [(name, table or "") for (table,) in own.query(_TABLES)]
        except PostgresError:
            unseen.append(name)
    return Unlogged(tuple(tables), tuple(closed), tuple(unseen))


def _text(conninfo: bytes) -> str:
    return conninfo.decode("utf-8", "surrogateescape")
