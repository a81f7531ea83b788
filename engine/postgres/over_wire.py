"""A base backup over the wire: the server's tars are taken apart while they come; their files go to the gatherer.

Rule: each file's CRC-32C is compared with the server's manifest at the end, so that what is stored is what the server
sent. The manifest is kept as backup_manifest, beside the files as pg_basebackup has it: pg_verifybackup wants it of a
restored directory, and a server of the incremental backup that follows. Nothing here decides what is stored.
"""

import stat
from collections.abc import Iterator

import google_crc32c

from ..entry import HEAD
from ..events import show_path
from .backup_command import FRAMED_SINCE
from .base_backup import ArchiveBegins, ArchiveEnded, ArchiveSource, BackupEvent, Ended, ManifestPiece, Started
from .control import Control, parse_control
from .errors import Malformed
from .facts import ServerFacts
from .gather import Gatherer
from .layout import CONTROL, TABLESPACES, WAL
from .onward import missing_wal
from .server_manifest import NAME, read_manifest
from .taken import Taken
from .tar_stream import EntryEnd, Kind, TarEntry, TarStream

UNKNOWN = b"/postgres"  # the data directory of a server that does not tell its path
MANIFEST = NAME.encode()
_WHOLE = "the server's base backup"


class OverWire:
    """One base backup's events on their way. `started` came before this was made."""

    def __init__(self, gatherer: Gatherer, facts: ServerFacts, started: Started) -> None:
        self._gatherer, self._facts, self._started = gatherer, facts, started
        self._data = (facts.data_directory or "").encode("utf-8", "surrogateescape") or UNKNOWN
        self._checked: dict[bytes, tuple[int, int]] = {}
        self._file: tuple[bytes, int] | None = None
        self._crc = 0
        self._small = bytearray()
        self._manifest: list[bytes] = []
        self._control: Control | None = None
        self._ended: Ended | None = None
        self._roots: dict[bytes, bool] = {}  # whether its own row came
        self._owner, self._mtime = (0, 0), 0

    def take(self, events: Iterator[BackupEvent]) -> Taken:
        """Store all that comes. Raises PostgresError, Malformed, and what the store raises."""
        tar: TarStream | None = None
        folder = prefix = b""
        for event in events:
            if isinstance(event, memoryview):
                assert tar is not None, "bytes before an archive began"
                for part in tar.feed(event):
                    if isinstance(part, memoryview):
                        self._add(part)
                    elif isinstance(part, EntryEnd):
                        self._end()
                    else:
                        self._begin(part, folder, prefix)
            elif isinstance(event, ArchiveBegins):
                folder, prefix = self._place(event.source)
                self._roots[folder] = False
                name = "base.tar" if event.source.oid is None else f"{event.source.oid}.tar"
                tar = TarStream(name, terminated=self._facts.version_num >= FRAMED_SINCE)
            elif isinstance(event, ArchiveEnded):
                assert tar is not None, "an archive ended that did not begin"
                tar.finish()
            elif isinstance(event, ManifestPiece):
                self._manifest.append(bytes(event.data))
            elif isinstance(event, Ended):
                self._ended = event
        if self._manifest:
            self._keep_manifest()
        self._gatherer.finish()
        return self._taken()

    def _keep_manifest(self) -> None:
        content = b"".join(self._manifest)
        head = _head(stat.S_IFREG | 0o600, *self._owner, len(content), self._mtime)
        self._gatherer.begin(self._data + b"/" + MANIFEST, MANIFEST, head)
        self._gatherer.put(memoryview(content))
        self._gatherer.end()

    def _taken(self) -> Taken:
        if self._ended is None or self._control is None:
            raise Malformed(_WHOLE, "it ended without pg_control")
        self._check_manifest()
        self._check_wal(self._ended.lsn)
        for root, came in self._roots.items():
            if not came:
                self._gatherer.add_other(root, _head(stat.S_IFDIR | 0o700, 0, 0, 0, 0))
        spaces = {
            source.oid: source.location.encode("utf-8", "surrogateescape")
            for source in self._started.sources
            if source.oid is not None
        }
        start, end = self._started, self._ended
        roots = tuple(self._roots)
        return Taken(start.lsn, start.timeline, end.lsn, self._control, self._data, spaces, roots)

    def _place(self, source: ArchiveSource) -> tuple[bytes, bytes]:
        """Where an archive's files lie on the server, and what the server's manifest puts before their names."""
        if source.oid is None:
            return self._data, b""
        location = source.location.encode("utf-8", "surrogateescape")
        inside = b"%b/%d/" % (TABLESPACES, source.oid)
        return (location if location.startswith(b"/") else self._data + b"/" + location), inside

    def _begin(self, entry: TarEntry, folder: bytes, prefix: bytes) -> None:
        path = folder + b"/" + entry.name if entry.name else folder
        if not entry.name:
            self._roots[folder] = True
        if entry.kind is Kind.FILE:
            head = _head(stat.S_IFREG | entry.mode, entry.uid, entry.gid, entry.size, entry.mtime)
            self._file, self._crc = (prefix + entry.name, entry.size), 0
            self._owner, self._mtime = (entry.uid, entry.gid), entry.mtime  # at last pg_control's
            self._small.clear()
            self._gatherer.begin(path, prefix + entry.name, head)
            return
        kind = stat.S_IFDIR if entry.kind is Kind.FOLDER else stat.S_IFLNK
        head = _head(kind | entry.mode, entry.uid, entry.gid, len(entry.target), entry.mtime)
        self._gatherer.add_other(path, head, entry.target)

    def _add(self, data: memoryview) -> None:
        self._crc = google_crc32c.extend(self._crc, bytes(data))
        if self._file is not None and self._file[0] == CONTROL:
            self._small += data
        self._gatherer.put(data)

    def _end(self) -> None:
        if self._file is None:
            return
        (name, size), self._file = self._file, None
        self._checked[name] = size, self._crc
        if name == CONTROL:
            self._control = parse_control(bytes(self._small))
        self._gatherer.end()

    def _check_wal(self, stop: int) -> None:
        """The WAL that makes the backup consistent must have come with it. Raises Malformed."""
        here = {name.removeprefix(WAL + b"/") for name in self._checked if name.startswith(WAL + b"/")}
        start = self._started
        missing = missing_wal(here, start.timeline, start.lsn, stop, self._facts.wal_segment_size)
        if missing:
            raise Malformed(_WHOLE, f"WAL that it needs did not come with it: {', '.join(missing)}")

    def _check_manifest(self) -> None:
        """What was stored against what the server says that it sent. Raises Malformed."""
        manifest = read_manifest(self._manifest)
        for name, (size, crc) in self._checked.items():
            record = manifest.record(name)
            if record is not None and record != (size, crc):
                raise Malformed(show_path(name), "what came is not what the server's manifest says that it sent")
        for name in manifest.files:
            if name not in self._checked:
                raise Malformed(show_path(name), "the server's manifest has it, and it did not come")


def _head(mode: int, uid: int, gid: int, size: int, mtime: int) -> bytes:
    return HEAD.pack(mode, uid, gid, 1, size, mtime * 10**9, mtime * 10**9, 0, 0)
