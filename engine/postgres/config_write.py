"""Putting configuration back into a running database: tables, and settings (config_read.py has them as files).

Rule: the tables of one database are one transaction: all of them, or none. The rows that are there go, from the last
table to the first, and the kept ones come, from the first to the last: name those that others refer to first. Columns
are found by their names. It creates no table, and restarts no server.
"""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from itertools import chain

from msgspec import Struct

from .config_read import of_database, transaction
from .connection import Connection, connect
from .quoting import quoted, quoted_text
from .table_name import TableName

Content = Callable[[], Iterator[bytes]]

# Settings that are lists of names: each of them is quoted by itself, and not the list (PostgreSQL's GUC_LIST_QUOTE).
_LISTS = frozenset(
    {
        "local_preload_libraries",
        "search_path",
        "session_preload_libraries",
        "shared_preload_libraries",
        "temp_tablespaces",
        "unix_socket_directories",
    }
)


def write_tables(dsn: str, contents: Mapping[TableName, Content]) -> dict[TableName, int]:
    """Put tables back, in the order given; how many rows each has then.

    Raises PostgresError: then nothing has changed in the database that it concerns.
    """
    rows: dict[TableName, int] = {}
    for database in dict.fromkeys(name.database for name in contents):
        names = [name for name in contents if name.database == database]
        with transaction(of_database(dsn, database), "BEGIN") as connection:
            connection.query("SET CONSTRAINTS ALL DEFERRED")  # those that may wait are looked at when all is there
            for name in reversed(names):
                connection.query(f"DELETE FROM {name.sql}", timeout=None)
            for name in names:
                _copy_in(connection, name, contents[name]())
                _set_sequences(connection, name)
                ((count,),) = connection.query(f"SELECT count(*) FROM {name.sql}", timeout=None)
                rows[name] = int(str(count))
    return rows


def _copy_in(connection: Connection, name: TableName, content: Iterator[bytes]) -> None:
    header, rest = _first_line(content)
    columns = ", ".join(map(quoted, next(csv.reader([header.decode()]), [])))
    connection.send(f"COPY {name.sql} ({columns}) FROM STDIN WITH (FORMAT csv)")
    connection.result()
    for data in rest:
        connection.put_copy(data)
    connection.end_copy()
    connection.drain()


def _first_line(content: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The line of the columns' names, and the bytes after it. A name may hold a line break, inside of quotes."""
    head, at = b"", -1
    for data in content:
        head += data
        while (at := head.find(b"\n", at + 1)) >= 0:
            if head.count(b'"', 0, at) % 2 == 0:
                return head[:at], chain([head[at + 1 :]], content)
        at = len(head) - 1
    return head, iter(())


def _set_sequences(connection: Connection, name: TableName) -> None:
    """Sequences of its columns go on behind the highest number, or the next row would collide."""
    owned = connection.query(
        f"SELECT a.attname, pg_get_serial_sequence({name.literal}, a.attname) FROM pg_attribute a "
        f"WHERE a.attrelid = {name.literal}::regclass AND a.attnum > 0 AND NOT a.attisdropped "
        f"AND pg_get_serial_sequence({name.literal}, a.attname) IS NOT NULL"
    )
    for column, sequence in owned:
        highest = f"(SELECT max({quoted(str(column))}) FROM {name.sql})"
        command = f"SELECT setval({quoted_text(str(sequence))}, {highest}) WHERE {highest} IS NOT NULL"
        connection.query(command, timeout=None)


class SettingChange(Struct, frozen=True):
    """A setting that is not as it was kept. `restart`: another value counts only after one."""

    name: str
    now: str
    kept: str
    restart: bool


def compare_settings(dsn: str, kept: bytes) -> list[SettingChange]:
    """The settings that came from a file and are not as they were kept. Raises PostgresError."""
    with connect(dsn, replication=False) as connection:
        rows = connection.query("SELECT name, setting, context FROM pg_settings WHERE context <> 'internal'")
    there = {str(name): (str(setting), context == "postmaster") for name, setting, context in rows}
    changes = []
    for name, row in sorted(json.loads(kept).items()):
        if row["file"] and name in there and there[name][0] != row["setting"]:
            changes.append(SettingChange(name, there[name][0], row["setting"], there[name][1]))
    return changes


def write_settings(dsn: str, changes: list[SettingChange]) -> None:
    """Set them as they were kept, by ALTER SYSTEM, and have the server read them. Raises PostgresError."""
    with connect(dsn, replication=False) as connection:
        for change in changes:
            parts = [part.strip().strip('"') for part in change.kept.split(",")] if change.name in _LISTS else []
            value = ", ".join(map(quoted_text, parts or [change.kept]))
            connection.query(f"ALTER SYSTEM SET {quoted(change.name)} = {value}")
        connection.query("SELECT pg_reload_conf()")
