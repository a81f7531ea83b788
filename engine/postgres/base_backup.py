"""BASE_BACKUP: a server sends its data directory and its tablespaces, each as one tar.

Rule: events come in the server's order, while the bytes come: Started, for each archive ArchiveBegins, its bytes and
ArchiveEnded, the server's manifest in ManifestPieces, and Ended. Only Ended says that the backup is whole; what came
before an error is nothing. The main archive is the last one, and `global/pg_control` the last file of its data.

Tars and manifests are not looked into here.

Protocol: 15 and later frame everything in one COPY (a first byte says what follows); 13 and 14 send a COPY of plain
bytes for each archive, in the order of the list of tablespaces, and one for the manifest.
"""

import struct
from collections.abc import Generator, Iterable

from msgspec import Struct

from .backup_command import FRAMED_SINCE, BackupOptions, backup_command, refuse_incremental
from .connection import Connection, rows_of
from .errors import Malformed, PostgresError
from .libpq import ExecStatus, abc
from .lsn import parse_lsn

_COUNT = struct.Struct(">q")
_MOVE = "it was made in place, which servers before 16 do not back up: give it a location of its own, or copy locally"
_UPLOAD = 128 << 10  # bytes a message of an upload: larger ones only need longer buffers


class ArchiveSource(Struct, frozen=True):
    """A tablespace, or with `oid` None the data directory. `size` is the server's estimate in bytes."""

    oid: int | None
    location: str
    size: int


class Started(Struct, frozen=True):
    """The checkpoint is made: recovery begins at `lsn`. `sources` are in the server's order."""

    lsn: int
    timeline: int
    sources: tuple[ArchiveSource, ...]


class ArchiveBegins(Struct, frozen=True):
    """Its bytes follow, as memoryviews."""

    source: ArchiveSource


class ArchiveEnded(Struct, frozen=True):
    """The archive that began last has ended."""


class ManifestPiece(Struct, frozen=True):
    """Bytes of the server's manifest."""

    data: memoryview


class BytesDone(Struct, frozen=True):
    """How far the server is: bytes of all archives. Comes at each end and every second or so, from 15 on."""

    bytes: int


class Ended(Struct, frozen=True):
    """The backup is whole. It is consistent once the WAL up to `lsn` is replayed."""

    lsn: int
    timeline: int


BackupEvent = Started | ArchiveBegins | memoryview | ArchiveEnded | ManifestPiece | BytesDone | Ended
_Stream = Generator[BackupEvent, None, abc.PGresult]


def base_backup(connection: Connection, options: BackupOptions) -> Generator[BackupEvent]:
    """Take a base backup over a replication connection. Data are valid until the next step.

    Leaving early (close() of this generator) cancels the backup and closes the connection, as does any error.
    Raises PostgresError with what the server says, ServerAway, Malformed.
    """
    whole = False
    try:
        command, in_place = backup_command(options, connection.version_num), _in_place(connection)
        connection.send(command)
        started = _started(connection)
        for oid in in_place - {source.oid for source in started.sources}:
            raise PostgresError(f"the server leaves tablespace {oid} out of the base backup", hint=_MOVE)
        yield started
        if connection.version_num >= FRAMED_SINCE:
            end = yield from _framed(connection, started.sources)
        else:
            end = yield from _plain(connection, started.sources, manifest=options.manifest)
        connection.drain()
        whole = True
        yield Ended(*_position(end))
    finally:
        if not whole:
            connection.close()


def upload_manifest(connection: Connection, pieces: Iterable[bytes | memoryview]) -> None:
    """Send the manifest of an earlier backup, for an incremental one over the same connection. 17 and later.

    Raises PostgresError: the server's WAL summaries may be off, or not reach back so far.
    """
    refuse_incremental(connection.version_num)
    connection.send("UPLOAD_MANIFEST")
    _require(connection.result(), ExecStatus.COPY_IN)
    for piece in pieces:
        view = memoryview(piece)
        for at in range(0, len(view), _UPLOAD):
            connection.put_copy(view[at : at + _UPLOAD])
    connection.end_copy()
    _require(connection.result(), ExecStatus.COMMAND_OK)
    connection.drain()


def _started(connection: Connection) -> Started:
    start = _require(connection.result(), ExecStatus.TUPLES_OK)
    rows = rows_of(_require(connection.result(), ExecStatus.TUPLES_OK))
    sources = tuple(
        ArchiveSource(None if oid is None else int(oid), location or "", int(size or 0) << 10)
        for oid, location, size in rows
    )
    return Started(*_position(start), sources)


def _in_place(connection: Connection) -> set[int | None]:
    """The tablespaces that lie in pg_tblspc itself (a developer's option): servers before 16 forget to send them."""
    rows = connection.query(
        "SELECT oid FROM pg_catalog.pg_tablespace"
        " WHERE pg_catalog.starts_with(pg_catalog.pg_tablespace_location(oid), 'pg_tblspc/')"
    )
    return {int(oid or 0) for (oid,) in rows}


def _position(result: abc.PGresult) -> tuple[int, int]:
    """The LSN and timeline of a result of one row."""
    ((lsn, timeline),) = rows_of(result)
    return parse_lsn(lsn or ""), int(timeline or 0)


def _plain(connection: Connection, sources: Iterable[ArchiveSource], *, manifest: bool) -> _Stream:
    result = connection.result()
    for source in sources:
        _require(result, ExecStatus.COPY_OUT)
        yield ArchiveBegins(source)
        while (data := connection.copy_data()) is not None:
            yield data
        result = connection.result()
        yield ArchiveEnded()
    if manifest:
        _require(result, ExecStatus.COPY_OUT)
        while (data := connection.copy_data()) is not None:
            yield ManifestPiece(data)
        result = connection.result()
    return _require(result, ExecStatus.TUPLES_OK)


def _framed(connection: Connection, sources: tuple[ArchiveSource, ...]) -> _Stream:
    _require(connection.result(), ExecStatus.COPY_OUT)
    archive = manifest = False
    while (message := connection.copy_data()) is not None:
        kind = message[0]
        if kind == ord("d") and archive:
            yield message[1:]
        elif kind == ord("d") and manifest:
            yield ManifestPiece(message[1:])
        elif kind == ord("p") and len(message) == 1 + _COUNT.size:
            yield BytesDone(_COUNT.unpack_from(message, 1)[0])
        elif kind == ord("n"):
            if archive:
                yield ArchiveEnded()
            archive = True
            yield ArchiveBegins(_named(message, sources))
        elif kind == ord("m"):
            if archive:
                yield ArchiveEnded()
            archive, manifest = False, True
        else:
            raise Malformed("the server's base backup", f"a message of type {kind:#x}, which is not known")
    result = connection.result()  # first: a stream that broke off is no archive that ended
    if archive:
        yield ArchiveEnded()
    return _require(result, ExecStatus.TUPLES_OK)


def _require(result: abc.PGresult | None, status: ExecStatus) -> abc.PGresult:
    if result is None or result.status != status:
        got = "nothing" if result is None else ExecStatus(result.status).name
        raise PostgresError(f"the server answered {got} where the protocol has {status.name}")
    return result


def _named(message: memoryview, sources: tuple[ArchiveSource, ...]) -> ArchiveSource:
    """The source of an archive that the server names `<oid>.tar` or `base.tar`."""
    name = bytes(message[1:]).partition(b"\0")[0].decode("ascii", "backslashreplace")
    for source in sources:
        if name == ("base.tar" if source.oid is None else f"{source.oid}.tar"):
            return source
    raise Malformed("the server's base backup", f"an archive {name!r} that was not announced")
