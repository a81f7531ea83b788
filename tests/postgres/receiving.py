"""A base backup received into memory, or unpacked into a data directory that a server can start from."""

import os
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from msgspec import Struct, field

from siltstone.engine.postgres.backup_command import BackupOptions
from siltstone.engine.postgres.base_backup import (
    ArchiveBegins,
    ArchiveEnded,
    BackupEvent,
    BytesDone,
    Ended,
    ManifestPiece,
    Started,
    base_backup,
)
from siltstone.engine.postgres.connection import Connection
from siltstone.engine.postgres.tar_stream import EntryEnd, Kind, TarEntry, TarStream

from .installations import hand_over


class Received(Struct):
    """By path, tablespaces below pg_tblspc/<oid>/. `order` holds the paths as they came."""

    started: Started | None = None
    ended: Ended | None = None
    entries: dict[bytes, TarEntry] = field(default_factory=dict)
    contents: dict[bytes, bytes] = field(default_factory=dict)
    archives: list[int | None] = field(default_factory=list)
    manifest: bytes = b""
    done: list[int] = field(default_factory=list)

    @property
    def order(self) -> list[bytes]:
        return list(self.entries)


def receive(connection: Connection, options: BackupOptions | None = None) -> Received:
    """Take a base backup; every archive must be whole."""
    with closing(base_backup(connection, options or BackupOptions())) as events:
        return gather(events, terminated=connection.version_num >= 150000)


def gather(events: Iterable[BackupEvent], *, terminated: bool) -> Received:
    received = Received()
    archive = _Archive(received, None, terminated=terminated)
    for event in events:
        match event:
            case memoryview():
                archive.take(event)
            case ManifestPiece(data):
                received.manifest += bytes(data)
            case BytesDone(count):
                received.done.append(count)
            case ArchiveBegins(source):
                archive = _Archive(received, source.oid, terminated=terminated)
                received.archives.append(source.oid)
            case ArchiveEnded():
                archive.tar.finish()
            case Started():
                received.started = event
            case Ended():
                received.ended = event
    return received


class _Archive:
    def __init__(self, received: Received, oid: int | None, *, terminated: bool) -> None:
        self.tar = TarStream("base" if oid is None else str(oid), terminated=terminated)
        self._prefix = b"" if oid is None else b"pg_tblspc/%d/" % oid
        self._received = received
        self._path = b""
        self._content = bytearray()

    def take(self, data: memoryview) -> None:
        for part in self.tar.feed(data):
            match part:
                case memoryview():
                    self._content += part
                case TarEntry():
                    self._path = self._prefix + part.name
                    assert self._path not in self._received.entries
                    self._received.entries[self._path] = part
                    self._content = bytearray()
                case EntryEnd():
                    if self._received.entries[self._path].kind is Kind.FILE:
                        self._received.contents[self._path] = bytes(self._content)


def unpack(received: Received, data: Path, spaces: dict[int, Path]) -> None:
    """Write a backup that holds its own WAL into `data`, for the user who runs servers; tablespaces into `spaces`."""
    data.mkdir(mode=0o700)
    hand_over(data)
    for oid, place in spaces.items():
        (data / "pg_tblspc").mkdir(mode=0o700, exist_ok=True)
        (data / "pg_tblspc" / str(oid)).symlink_to(place)
    for name, entry in received.entries.items():
        path = data / os.fsdecode(name)
        if entry.kind is Kind.FOLDER:
            path.mkdir(mode=0o700, exist_ok=True)
        elif entry.kind is Kind.FILE:
            path.write_bytes(received.contents[name])
            path.chmod(entry.mode)
        hand_over(path)
