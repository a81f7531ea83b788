"""WAL of real servers for tests: of every kind of record that is understood, and of data that looks like records.

Rule: what is expected of it comes from elsewhere: pg_waldump where the installation has it, the server's own answers,
and a walk that steps from record to record and shares no code with the program.
"""

import re
import signal
import struct
import subprocess
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct, field

from siltstone.engine.postgres.connection import connect
from siltstone.engine.postgres.lsn import parse_lsn
from siltstone.engine.postgres.wal_names import parse_segment
from siltstone.engine.postgres.wal_segment import SegmentFacts, check_segment

from .installations import no_groups, user
from .servers import Server, Templates

SIZE = 1 << 20
SETTINGS = """
max_prepared_transactions = 5
wal_keep_size = 200MB
track_commit_timestamp = on
autovacuum = off
"""
_SEGMENT = re.compile(r"[0-9A-F]{24}")


class Dumped(Struct, frozen=True):
    """A line of pg_waldump."""

    manager: str
    xid: int
    lsn: int
    previous: int
    what: str


class MadeWal(Struct):
    """`segments` are complete, in order; `open` is the last one, as the server left it when it stopped. `committed`
    holds (xid, microseconds since 1970) as pg_xact_commit_timestamp says; `dumped` is empty without pg_waldump.
    """

    version: int
    system_identifier: int
    segments: dict[str, bytes] = field(default_factory=dict)
    open: tuple[str, bytes] = ("", b"")
    committed: dict[int, int] = field(default_factory=dict)
    dumped: list[Dumped] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"MadeWal({self.version})"  # not megabytes of it in every report

    def facts(self, name: str) -> SegmentFacts:
        return check_segment(name, self.segments[name], parse_segment(name, SIZE), SIZE)


def make_wal(templates: Templates, version: int) -> MadeWal:
    """Some 15 MiB of WAL, in segments of 1 MiB."""
    with templates.server(version) as server:
        server.configure(SETTINGS)
        server.start()
        made = MadeWal(version, _system_identifier(server))
        _fill(server, made)
        server.stop()
        folder = server.data / "pg_wal"
        segments = sorted(path for path in folder.iterdir() if _SEGMENT.fullmatch(path.name))
        used = [path for path in segments if path.read_bytes()[8:16] == _address(path)]
        made.segments = {path.name: path.read_bytes() for path in used[:-1]}
        made.open = (used[-1].name, used[-1].read_bytes())
        if (program := server.programs.tool("pg_waldump")) is not None:
            made.dumped = list(_dump(program, used[0], used[-1]))
    return made


def _system_identifier(server: Server) -> int:
    with closing(connect(server.dsn(), replication=True)) as connection:
        return int(connection.query("IDENTIFY_SYSTEM")[0][0] or 0)


def _address(path: Path) -> bytes:
    return struct.pack("<Q", parse_segment(path.name, SIZE).start(SIZE))


def _fill(server: Server, made: MadeWal) -> None:
    server.sql(
        "CREATE TABLE small (n int)",
        "DO $$ BEGIN FOR n IN 1..9000 LOOP INSERT INTO small VALUES (n); COMMIT; END LOOP; END $$",
        "SELECT pg_create_restore_point('the first')",
        "BEGIN; INSERT INTO small VALUES (0); SAVEPOINT one; INSERT INTO small VALUES (1); COMMIT",
        "BEGIN; INSERT INTO small VALUES (0); ROLLBACK",
        "BEGIN; CREATE TABLE left_over (n int); INSERT INTO left_over VALUES (1); ROLLBACK",
    )
    for name, end in (("one", "COMMIT"), ("two", "ROLLBACK")):
        server.sql(
            f"BEGIN; CREATE TABLE prepared_{name} (n int); SAVEPOINT s; INSERT INTO prepared_{name} VALUES (1);"
            f" PREPARE TRANSACTION '{name}'"
        )
        server.sql(f"{end} PREPARED '{name}'")
    server.sql(
        "SELECT pg_create_restore_point('the sécond, of ' || repeat('x', 40))",
        "CHECKPOINT",
        "SELECT pg_switch_wal()",
        "CREATE TABLE large AS SELECT repeat(md5(n::text), 60) AS t FROM generate_series(1, 1500) n",
        "SELECT pg_logical_emit_message(true, 'silt', repeat('a long record ', 180000))",
    )
    _insert_wal(server)
    server.sql("INSERT INTO small VALUES (8)", "SELECT pg_switch_wal()", "INSERT INTO small VALUES (9)")
    rows = server.sql(
        "SELECT xmin::text, extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000 FROM small GROUP BY xmin"
    )
    made.committed = {int(xid or 0): round(float(time or 0)) for xid, time in rows}


def _insert_wal(server: Server) -> None:
    """Into the WAL go bytes of the WAL, of the very same segment: they hold whole chains of true records."""
    server.sql(
        "SELECT pg_switch_wal()", "INSERT INTO small VALUES (7)", "INSERT INTO small SELECT generate_series(1, 999)"
    )
    current = "'pg_wal/' || pg_walfile_name(pg_current_wal_insert_lsn())"
    for shift in range(8):
        piece = f"pg_read_binary_file({current}, {40 + shift}, 50000)"
        server.sql(f"SELECT pg_logical_emit_message(false, 'silt', {piece})")


def cut_off_by_a_crash(server: Server) -> str:
    """Let a server crash in a record whose end is lost: the name of the segment in which that record breaks off."""
    (first, *_), *_ = server.sql(
        "INSERT INTO small VALUES (1)",
        "SELECT pg_walfile_name(pg_current_wal_insert_lsn())",
    )
    server.sql(
        "SELECT pg_logical_emit_message(true, 'silt', repeat('never finished ', 250000))",
        "INSERT INTO small VALUES (2)",
    )
    server.stop(signal.SIGQUIT)
    kept = parse_segment(first or "", SIZE).next()
    for path in (server.data / "pg_wal").iterdir():
        if _SEGMENT.fullmatch(path.name) and path.name > kept.name(SIZE):
            path.unlink()
    server.start()
    return kept.name(SIZE)


_LINE = re.compile(r"rmgr: (\S+) +len \(rec/tot\): +\d+/ *\d+, tx: +(\d+), lsn: (\S+), prev (\S+), desc: (.*)")


def _dump(program: Path, first: Path, last: Path) -> Iterator[Dumped]:
    """What pg_waldump says of these segments; it ends with an error where the WAL ends."""
    command: list[str | Path] = [program, f"--path={first.parent}", first.name, last.name]
    done = subprocess.run(command, user=user(), extra_groups=no_groups(), capture_output=True, timeout=60, cwd="/")
    for line in done.stdout.decode().splitlines():
        match = _LINE.match(line)
        assert match, line
        yield Dumped(match[1], int(match[2]), parse_lsn(match[3]), parse_lsn(match[4]), match[5])


def dumped_time(what: str) -> int:
    """The time that pg_waldump prints, in microseconds since 1970; the servers of the tests run in UTC."""
    match = re.search(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+) UTC", what)
    assert match, what
    moment = datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
    return round(moment.timestamp() * 1_000_000)


def stepped(data: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    """(LSN, bytes) of each whole record of a segment, stepping from one to the next."""
    (rest,) = struct.unpack_from("<I", data, 16) if data[2] & 1 else (0,)
    at, _ = _read(data, 40, rest)
    while True:
        at = _past_header(_aligned(at))
        if at + 8 > len(data) or (length := int.from_bytes(data[at : at + 4], "little")) == 0:
            return
        begin = at
        at, record = _read(data, at, length)
        if len(record) < length:
            return
        yield start + begin, record


def _read(data: bytes, at: int, length: int) -> tuple[int, bytes]:
    record = b""
    while len(record) < length and at < len(data):
        at = _past_header(at)
        piece = data[at : at + min(length - len(record), 8192 - at % 8192)]
        record += piece
        at += len(piece)
    return at, record


def _aligned(at: int) -> int:
    return (at + 7) // 8 * 8


def _past_header(at: int) -> int:
    return at + 24 if at % 8192 == 0 and at else at
