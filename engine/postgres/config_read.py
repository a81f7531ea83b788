"""Configuration that lives in a database, as files: named tables and the server's settings, read without a stop.

    /postgres-config/settings.json                     {name: {"setting", "unit", "file"}} of what is not a default
    /postgres-config/<database>/<schema>.<table>.csv   as COPY ... WITH (FORMAT csv, HEADER) writes it

Tables of one database are read in one REPEATABLE READ transaction: they are of one moment, whatever goes on meanwhile.
Rule: nothing is changed on the server. What is read goes through a temporary file, a table at a time.
"""

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby
from typing import BinaryIO

from .connection import Connection, connect
from .dsn import conninfo, words_of
from .table_name import TableName

ROOT = b"/postgres-config"
SETTINGS = ROOT + b"/settings.json"

# Of one database; a share of the settings is that of the connection and no configuration.
READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_READ_SETTINGS = """
SELECT name, setting, coalesce(unit, ''), coalesce(sourcefile, '') FROM pg_settings
WHERE source NOT IN ('default', 'client', 'session', 'environment variable', 'command line') ORDER BY name
"""


def read_config(dsn: str, tables: Sequence[TableName]) -> Iterator[tuple[bytes, BinaryIO]]:
    """(path, temporary file with the content) of the settings and each table. Raises PostgresError."""
    with transaction(dsn, READ) as connection, _spooled(partial(_write_settings, connection)) as file:
        yield SETTINGS, file
    for database, group in groupby(sorted(tables, key=lambda each: each.database), lambda each: each.database):
        with transaction(of_database(dsn, database), READ) as connection:
            ((here,),) = connection.query("SELECT current_database()")
            for name in group:
                with _spooled(partial(_copy_out, connection, name)) as file:
                    yield table_path(str(here), name), file


def table_path(database: str, name: TableName) -> bytes:
    """Where a table stands among the entries."""
    return b"/".join([ROOT, os.fsencode(database), os.fsencode(f"{name.schema}.{name.table}.csv")])


def of_database(dsn: str, database: str) -> str:
    """The dsn with another database, if one is named."""
    return conninfo({**words_of(dsn), "dbname": database}).decode("utf-8", "surrogateescape") if database else dsn


@contextmanager
def transaction(dsn: str, begin: str) -> Iterator[Connection]:
    """A connection in a transaction, which is committed at the end and rolled back by an error."""
    with connect(dsn, replication=False) as connection:
        connection.query(begin)
        yield connection
        connection.query("COMMIT")


@contextmanager
def _spooled(write: Callable[[BinaryIO], None]) -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as file:
        write(file)
        file.flush()
        yield file


def _write_settings(connection: Connection, out: BinaryIO) -> None:
    rows = connection.query(_READ_SETTINGS)
    settings = {name: {"setting": setting, "unit": unit, "file": file} for name, setting, unit, file in rows}
    out.write(json.dumps(settings, indent=1, sort_keys=True).encode())


def _copy_out(connection: Connection, name: TableName, out: BinaryIO) -> None:
    connection.send(f"COPY (SELECT * FROM {name.sql}) TO STDOUT WITH (FORMAT csv, HEADER)")
    connection.result()
    while (data := connection.copy_data()) is not None:
        out.write(data)
    connection.drain()
