"""A server that holds something of everything, and does nothing: what a base backup of it must be is known to the byte.

In it: two tablespaces, unlogged tables in both kinds of place, leftovers of temporary files and relations, files that
a server never sends, also in folders where nobody expects them, and a name that is not UTF-8. There is no relation of
several segments: a gigabyte takes too long.
"""

import os
from contextlib import ExitStack
from pathlib import Path

from .installations import hand_over
from .servers import Server, Templates

LEFTOVERS = (
    "base/pgsql_tmp/pgsql_tmp123.0",
    "base/{db}/t3_16999",
    "base/{db}/t3_16999_fsm",
    "base/{db}/t3_16999.1",
    "base/{db}/pg_internal.init.99",
    "pg_stat_tmp/db_0.stat",
    "pg_replslot/left/state",
    "pg_notify/0001",
    "postgresql.auto.conf.tmp",
    "current_logfiles.tmp",
    "backup_label",
    "backup_manifest",
    "own/postmaster.pid",
    "own/pg_serial/0001",
    "own/pgsql_tmp.d/1",
)
KEPT = ("backup_label.old", "own/notes.txt", "own/pg_wal/1", "base/{db}/16999.unknown", "global/t3_1")
STRANGE = b"own/caf\xe9\xff"


class QuietServer:
    """`role` may replicate and nothing more. `database` is the oid of the database postgres."""

    role = "backup"
    password = "grains of sand"

    def __init__(self, templates: Templates, version: int) -> None:
        self._stack = ExitStack()
        self.server: Server = self._stack.enter_context(templates.server(version))
        self.version = version
        self.server.start()
        self.database, self.tablespaces = fill(self.server, self.role, self.password)

    @property
    def dsn(self) -> str:
        return self.server.dsn(self.role, password=self.password)

    def close(self) -> None:
        self._stack.close()


def fill(server: Server, role: str, password: str) -> tuple[int, dict[int, Path]]:
    """Put something of everything in: the oid of the database, and the place of each tablespace."""
    places = [server.make_folder("first space"), server.make_folder("second")]
    server.sql(
        "CREATE DATABASE second TEMPLATE postgres",
        f"CREATE ROLE {role} LOGIN REPLICATION PASSWORD '{password}'",
        f"CREATE TABLESPACE one LOCATION '{places[0]}'",
        f"CREATE TABLESPACE two LOCATION '{places[1]}'",
        "CREATE TABLE rows AS SELECT n, repeat(md5(n::text), 8) AS text FROM generate_series(1, 20000) n",
        "CREATE INDEX ON rows (n)",
        "CREATE TABLE there TABLESPACE one AS SELECT n FROM generate_series(1, 5000) n",
        "CREATE UNLOGGED TABLE unlogged_here AS SELECT n, 'x' || n AS long FROM generate_series(1, 3000) n",
        "CREATE UNLOGGED TABLE unlogged_there TABLESPACE two AS SELECT n FROM generate_series(1, 3000) n",
        "CREATE UNLOGGED TABLE unlogged_empty (n int)",
    )
    server.sql("VACUUM", "CHECKPOINT")
    (database, *_), *_ = server.sql("SELECT oid FROM pg_database WHERE datname = 'postgres'")
    for name in (*LEFTOVERS, *KEPT):
        _put(server.data, os.fsencode(name.format(db=database)))
    _put(server.data, STRANGE)
    rows = server.sql("SELECT oid, pg_tablespace_location(oid) FROM pg_tablespace WHERE oid > 16383 ORDER BY oid")
    return int(database or 0), {int(oid or 0): Path(place or "") for oid, place in rows}


def _put(data: Path, name: bytes) -> None:
    path = Path(os.fsdecode(os.path.join(os.fsencode(data), name)))
    for folder in reversed(path.relative_to(data).parents):
        if not (data / folder).exists():
            (data / folder).mkdir(mode=0o700)
            hand_over(data / folder)
    path.write_bytes(b"left over\n")
    path.chmod(0o600)
    hand_over(path)
