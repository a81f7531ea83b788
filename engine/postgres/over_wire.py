"""A base backup over the wire: the server's tars are taken apart while they come; their files go to the gatherer.

Rule: each file's CRC-32C is compared with the server's manifest at the end, so that what is stored is what the server
sent. The manifest is kept as backup_manifest, beside the files as pg_basebackup has it: pg_verifybackup wants it of a
restored directory, and a server of the incremental backup that follows. Of a file of which only a part was sent it has
the size alone. Nothing here decides what is stored.
"""

import stat
from collections.abc import Callable, Iterator

import google_crc32c

from ..entry import HEAD
from ..events import show_path
from .backup_command import FRAMED_SINCE
from .backup_label import LABEL_PATH, whole_label
from .base_backup import ArchiveBegins, ArchiveEnded, ArchiveSource, BackupEvent, Ended, ManifestPiece, Started
from .control import Control, parse_control
from .errors import Malformed
from .facts import ServerFacts
from .gather import Gatherer
from .layout import CONTROL, TABLESPACES, WAL
from .onward import missing_wal
from .overlay import PREFIX, Overlay, Parent, whole_name
from .server_manifest import NAME, read_manifest, whole_manifest
from .taken import Taken
from .tar_stream import EntryEnd, Kind, TarEntry, TarStream

UNKNOWN = b"/postgres"  # the data directory of a server that does not tell its path
MANIFEST = NAME.encode()
_WHOLE = "the server's base backup"


class OverWire:
    """One base backup's events on their way. `started` came before this was made. `base` makes the parent, by its path,
    of a file of which the server sends only what changed; None where it sends everything.
    """

    def __init__(
        self,
        gatherer: Gatherer,
        facts: ServerFacts,
        started: Started,
        base: Callable[[bytes], Parent] | None = None,
    ) -> None:
        self._gatherer, self._facts, self._started, self._base = gatherer, facts, started, base
        self._overlay: Overlay | None = None
        self._label: tuple[bytes, TarEntry] | None = None
        self._otherwise: dict[bytes, tuple[bytes, int, int | None]] = {}  # what is kept otherwise: name, size, CRC-32C
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
        if self._otherwise:
            content = b"".join(whole_manifest(content, self._otherwise))
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
            whole = whole_name(prefix + entry.name) if self._base is not None else None
            if whole is not None:
                self._begin_overlay(entry, path, prefix + entry.name, whole)
            elif self._base is not None and prefix + entry.name == LABEL_PATH:
                self._label = path, entry
            else:
                self._gatherer.begin(path, prefix + entry.name, head)
            return
        kind = stat.S_IFDIR if entry.kind is Kind.FOLDER else stat.S_IFLNK
        head = _head(kind | entry.mode, entry.uid, entry.gid, len(entry.target), entry.mtime)
        self._gatherer.add_other(path, head, entry.target)

    def _begin_overlay(self, entry: TarEntry, path: bytes, sent: bytes, name: bytes) -> None:
        assert self._base is not None, "who calls this has looked"
        path = path[: -len(name.rpartition(b"/")[2]) - len(PREFIX)] + name.rpartition(b"/")[2]

        def begin(size: int) -> None:
            self._otherwise[sent] = name, size, None
            head = _head(stat.S_IFREG | entry.mode, entry.uid, entry.gid, size, entry.mtime)
            self._gatherer.begin(path, name, head)

        self._overlay = Overlay(show_path(sent), self._base(path), self._gatherer, begin)

    def _keep_label(self, path: bytes, entry: TarEntry) -> None:
        """Without the lines that say that files are missing: none is, here."""
        content = whole_label(bytes(self._small))
        self._otherwise[LABEL_PATH] = LABEL_PATH, len(content), google_crc32c.value(content)
        head = _head(stat.S_IFREG | entry.mode, entry.uid, entry.gid, len(content), entry.mtime)
        self._gatherer.begin(path, LABEL_PATH, head)
        self._gatherer.put(memoryview(content))

    def _add(self, data: memoryview) -> None:
        self._crc = google_crc32c.extend(self._crc, bytes(data))
        if self._file is not None and self._file[0] in (CONTROL, LABEL_PATH):
            self._small += data
        if self._overlay is not None:
            self._overlay.feed(data)
        elif self._label is not None:
            pass  # put at its end
        else:
            self._gatherer.put(data)

    def _end(self) -> None:
        if self._file is None:
            return
        if self._overlay is not None:
            self._overlay.finish()
            self._overlay = None
        if self._label is not None:
            self._keep_label(*self._label)
            self._label = None
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
