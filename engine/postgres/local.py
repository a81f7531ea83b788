"""A base backup read on the server's own host, between pg_backup_start and pg_backup_stop on a connection held open.

    temporary slot -> start -> data directory and tablespaces, pg_control last -> stop -> backup_label, tablespace_map
    -> the WAL from start to stop, and the histories

Rule: the same files as the server itself would send (layout.py), as the same rows, so that levels of both ways can be
compared. A file whose stat is as the base level has it is not read (proof.py), unless the base level is of another
cluster or timeline, or the file says that it changed since that one began, or will. What is torn while it is read is
replayed from the WAL; a page that is wrong is read again before it is called damaged (cell_store.py). A file that was
cut off meanwhile is filled up with zeros, which the replay cuts off again; one that vanished is gone there, too.
"""

import os
import re
import stat
from collections.abc import Iterator
from functools import partial

from ..entry import HEAD
from ..files import open_to_read, stat_of, stat_path
from ..owners import group_names, user_names
from ..proof import Proof
from .base_files import BaseFiles
from .cell_store import CellStore
from .connection import Connection
from .control import Control, parse_control
from .errors import Malformed, PostgresError
from .facts import ServerFacts
from .gather import Gatherer
from .grid import PAGE
from .layout import CONTROL, SUMMARIES_SINCE, TABLESPACES, WAL, WAL_FOLDERS, is_emptied, is_left_out
from .lsn import parse_lsn
from .onward import wal_of
from .pages import SEGMENT_BLOCKS
from .taken import Taken

_LABEL = "siltstone"
_SLOT = "siltstone_backup"
_HISTORY = re.compile(rb"[0-9A-F]{8}\.history")
_NEW_NAMES = 150000


class LocalBackup:
    """One backup. `fast`: with a checkpoint at once."""

    def __init__(
        self,
        connection: Connection,
        facts: ServerFacts,
        gatherer: Gatherer,
        cells: CellStore,
        base: BaseFiles,
        *,
        fast: bool,
    ) -> None:
        self._connection, self._facts = connection, facts
        self._gatherer, self._cells, self._base = gatherer, cells, base
        self._fast = fast
        self._data = os.fsencode(facts.data_directory or "")
        self._known = base.level_of(facts.system_identifier, facts.timeline)
        self._proof = Proof(self._known)

    def take(self) -> Taken:
        """Take it. Raises PostgresError, Malformed, OSError, and what the store raises."""
        new = self._facts.version_num >= _NEW_NAMES
        reserve = "(RESERVE_WAL true)" if new else "RESERVE_WAL"
        # So that a checkpoint meanwhile removes nothing of what is read at the end; it goes with the connection.
        self._connection.query(f"CREATE_REPLICATION_SLOT {_SLOT}_{os.getpid()} TEMPORARY PHYSICAL {reserve}")
        call = (
            f"pg_backup_start('{_LABEL}', {self._fast})" if new else f"pg_start_backup('{_LABEL}', {self._fast}, false)"
        )
        ((lsn,),) = self._connection.query(f"SELECT pg_catalog.{call}", timeout=None)
        self._cells.start_lsn = start = parse_lsn(lsn or "")
        spaces = self._tablespaces()
        for oid, location in spaces.items():
            self._walk_tablespace(oid, location)
        self._walk(self._data, b"")
        control = self._control()
        call = "pg_backup_stop(false)" if new else "pg_stop_backup(false, false)"
        ((lsn, label, places),) = self._connection.query(
            f"SELECT lsn, labelfile, spcmapfile FROM pg_catalog.{call}", timeout=None
        )
        stop = parse_lsn(lsn or "")
        self._small(b"backup_label", (label or "").encode("utf-8", "surrogateescape"))
        if places and places.strip():
            self._small(b"tablespace_map", places.encode("utf-8", "surrogateescape"))
        self._wal(start, stop)
        self._gatherer.finish()
        roots = (*(place for place in spaces.values() if place.startswith(b"/")), self._data)
        return Taken(start, self._facts.timeline, stop, control, self._data, spaces, roots, self._account())

    def _account(self) -> tuple[str, str]:
        found = os.stat(self._data)
        user, group = user_names([found.st_uid]), group_names([found.st_gid])
        return user.get(found.st_uid, ""), group.get(found.st_gid, "")

    def _tablespaces(self) -> dict[int, bytes]:
        return {space.oid: os.fsencode(space.location) for space in self._facts.tablespaces}

    def _walk_tablespace(self, oid: int, location: bytes) -> None:
        """The folder of this server's version; others may stand beside it."""
        if not location.startswith(b"/"):
            return  # made in place: it is met below the data directory
        self._other(location)
        version = b"PG_%d_%d" % (self._facts.version_num // 10000, self._catalog())
        with os.scandir(location) as entries:
            if any(entry.name == version for entry in entries):
                self._walk(location + b"/" + version, b"%b/%d/%b" % (TABLESPACES, oid, version))

    def _catalog(self) -> int:
        return self._read_control().catalog_version

    def _walk(self, folder: bytes, name: bytes) -> None:
        """A folder and what is in it; `name` is its path in the data directory. One that is gone was dropped."""
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
            self._other(folder)
        except FileNotFoundError:
            return
        names = {entry.name for entry in entries}
        for entry in entries:
            inside = name + b"/" + entry.name if name else entry.name
            if inside == CONTROL or is_left_out(inside, lambda init: init.rpartition(b"/")[2] in names):
                continue
            if is_emptied(inside):
                self._other(entry.path)
                if inside == WAL:
                    self._wal_folders()
            elif entry.is_dir(follow_symlinks=False):
                self._walk(entry.path, inside)
            elif entry.is_file(follow_symlinks=False):
                self._file(entry.path, inside)

    def _wal_folders(self) -> None:
        for name in WAL_FOLDERS:
            if name != WAL_FOLDERS[1] or self._facts.version_num >= SUMMARIES_SINCE:
                path = self._data + b"/" + name
                if os.path.isdir(path):
                    self._other(path)

    def _other(self, path: bytes) -> None:
        """The row of a folder; a link to one, as pg_wal may be, counts as a folder."""
        head = HEAD.pack(*_folder_head(os.stat(path)))
        self._gatherer.add_other(path, head)

    def _file(self, path: bytes, name: bytes) -> None:
        row = self._base.row(path)
        try:
            if row is not None and self._is_unchanged(row, stat_path(path)):
                self._gatherer.keep(path, row)
                return
            fd = open_to_read(path)
        except FileNotFoundError:
            return
        try:
            self._content(path, name, fd, stat_of(fd)[: HEAD.size])
        finally:
            os.close(fd)

    def _is_unchanged(self, row: bytes, found: bytes) -> bool:
        """Whether the base level has the file as it is. A time of change that is not past proves nothing: a clock is
        wrong then.
        """
        ctime_ns = int.from_bytes(found[32:40], "little", signed=True)
        return self._known is not None and ctime_ns < self._known.started_ns and self._proof.holds(row, found)

    def _content(self, path: bytes, name: bytes, fd: int, head: bytes) -> None:
        self._gatherer.begin(path, name, head, partial(_page_again, path))
        at, size = 0, HEAD.unpack(head)[4]
        while at < size:
            space = self._gatherer.space()[: size - at]
            count = os.preadv(fd, [space], at)
            if not count:
                space[:] = bytes(len(space))
                count = len(space)
            self._gatherer.filled(count)
            at += count
        self._gatherer.end()

    def _read_control(self) -> Control:
        with open(self._data + b"/" + CONTROL, "rb") as file:
            return parse_control(file.read())

    def _control(self) -> Control:
        """pg_control, read anew where the server wrote it at that moment, and stored."""
        for left in reversed(range(5)):
            with open(self._data + b"/" + CONTROL, "rb") as file:
                content = file.read()
            try:
                control = parse_control(content)
            except Malformed:
                if not left:
                    raise
                continue
            self._small(CONTROL, content, stat_path(self._data + b"/" + CONTROL))
            return control
        raise AssertionError("the last try returns or raises")

    def _small(self, name: bytes, content: bytes, like: bytes | None = None) -> None:
        """A file of the data directory whose content is at hand."""
        made = os.stat(self._data)
        mode = stat.S_IFREG | 0o600
        now = made.st_mtime_ns
        head = HEAD.pack(mode, made.st_uid, made.st_gid, 1, len(content), now, now, 0, 0)
        self._gatherer.begin(self._data + b"/" + name, name, like[: HEAD.size] if like else head)
        self._gatherer.put(memoryview(content))
        self._gatherer.end()

    def _wal(self, start: int, stop: int) -> None:
        """The segments from start to stop, and all histories. Raises PostgresError where one is gone."""
        for name in self._wal_names(start, stop):
            path = self._data + b"/pg_wal/" + name
            try:
                fd = open_to_read(path)
            except FileNotFoundError:
                raise PostgresError(
                    f"the WAL segment {os.fsdecode(name)} is gone, and the backup needs it",
                    hint="raise max_slot_wal_keep_size or wal_keep_size, and back up again",
                ) from None
            try:
                self._content(path, b"pg_wal/" + name, fd, stat_of(fd)[: HEAD.size])
            finally:
                os.close(fd)

    def _wal_names(self, start: int, stop: int) -> Iterator[bytes]:
        size, timeline = self._facts.wal_segment_size, self._facts.timeline
        yield from sorted(name for name in os.listdir(self._data + b"/pg_wal") if _HISTORY.fullmatch(name))
        segment, last = wal_of(timeline, start, stop, size)
        while segment <= last:
            yield segment.name(size).encode("ascii")
            segment = segment.next()


def _page_again(path: bytes, block: int) -> bytes | None:
    """A page of a relation's file as it is now; None where it is gone."""
    try:
        fd = open_to_read(path)
    except FileNotFoundError:
        return None
    try:
        page = os.pread(fd, PAGE, block % SEGMENT_BLOCKS * PAGE)
    finally:
        os.close(fd)
    return page if len(page) == PAGE else None


def _folder_head(found: os.stat_result) -> tuple[int, ...]:
    times = found.st_mtime_ns, found.st_ctime_ns
    return (found.st_mode, found.st_uid, found.st_gid, 1, 0, *times, 0, 0)
