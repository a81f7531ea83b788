"""A level as a tar archive, and the content of one file: both as streams, to whatever takes bytes.

Rule: the same level and selection give the same bytes. Paths are relative (without the leading slash), in the order of
manifests; a path that several file sets hold comes once, and of a file of several names the first carries the content.
What cannot be read ends the stream with an error that names the file: an archive that was cut off is not taken for
whole, and wrong bytes are never written. Memory does not grow with the level, but for open hard links and for what
file sets share.

GNU tar restores all of it with `tar --xattrs --xattrs-include='*' -xpf` (its --acls takes the ACLs, too), but for file
flags. Sparse files are written with their zeros. Sockets are left out, with a warning.
"""

import stat
import time
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from siltstone.store import Corrupt, Store

from .archive_content import Part, Run, write_stream
from .archive_header import END, RECORD, kind_of, member_header, padding
from .entry import Entry, pack_extents, parse_row
from .errors import NothingSelected
from .events import Progress, Report, Warned, show_path
from .levels import Level
from .manifest import ManifestReader, extents_of
from .restore_rows import LevelRows
from .selection import Selection, is_within

INTERVAL = 0.1


def write_tar(store: Store, level: Level, selection: Selection, out: BinaryIO, *, report: Report) -> int:
    """Write what is selected of a level as a tar archive; the number of members.

    Raises NothingSelected before anything was written, when nothing is; Corrupt, ObjectMissing, BackendError when it
    cannot be read; OSError when it cannot be written.
    """
    archive = _Archive(store, level, selection, report)
    write_stream(store, archive.parts(), out)
    for pattern in archive.rows.unmatched():
        report(Warned("missing", show_path(pattern), f"nothing in level {level.ref} matches"))
    return archive.members


def cat(store: Store, level: Level, path: bytes, out: BinaryIO) -> int:
    """Write the content of one file; the number of bytes.

    Raises NothingSelected, Corrupt, ObjectMissing, BackendError.
    """
    entry = _file_at(store, level, path.rstrip(b"/"))
    return write_stream(store, _content(store, entry), out)


def _file_at(store: Store, level: Level, path: bytes) -> Entry:
    for files in level.sets:
        for found, row in ManifestReader(store, level, files).rows(under=path):
            if found != path:
                break
            entry = parse_row(row)
            if not stat.S_ISREG(entry.mode):
                raise NothingSelected(f"{show_path(path)} is no file", hint="'silt ls' shows what it is")
            return entry
    raise NothingSelected(f"level {level.ref} holds no {show_path(path)}", hint="'silt ls' shows what it holds")


def _content(store: Store, entry: Entry) -> Iterator[Run]:
    for extent in extents_of(store, entry):
        yield Run(entry.path, extent.id, extent.offset, extent.length)


class _Archive:
    """The parts of one archive, in order."""

    def __init__(self, store: Store, level: Level, selection: Selection, report: Report) -> None:
        self._store, self._level, self._report = store, level, report
        self._links: dict[tuple[int, int], tuple[bytes, bytes, int]] = {}  # -> first path, content, names left
        self._owners = {number: name.encode("utf-8", "surrogateescape") for number, name in level.owners.items()}
        self._groups = {number: name.encode("utf-8", "surrogateescape") for number, name in level.groups.items()}
        self.rows = LevelRows(store, level, selection, base=None, lost=self._lost)
        self._once = _Once([root for files in self.rows.sets for root in files.roots])
        self._told = 0.0
        self.members = self._size = 0

    def _lost(self, path: bytes, message: str) -> None:
        raise Corrupt(self._level.name, f"{show_path(path)}: {message}")

    def parts(self) -> Iterator[Part]:
        """Headers, contents and padding. Raises NothingSelected at once when there is nothing."""
        written, pad = 0, b""
        for path, row, chosen in self.rows:
            if not chosen or not self._once.is_new(path):
                continue
            entry = parse_row(row)
            head, size = self._head(entry)
            yield pad + head
            if size:
                yield from _content(self._store, entry)
            written += len(pad) + len(head) + size
            pad = bytes(padding(size))
        if not self.members and self.rows.unmatched():
            patterns = ", ".join(map(show_path, self.rows.unmatched()))
            raise NothingSelected(
                f"level {self._level.ref} holds nothing that matches {patterns}", hint="'silt ls' shows what it holds"
            )
        written += len(pad) + len(END)
        yield pad + END + bytes(-written % RECORD)

    def _head(self, entry: Entry) -> tuple[bytes, int]:
        """A member's header, and the size of the content that follows it."""
        if kind_of(entry) is None:
            self._report(Warned("socket", show_path(entry.path), "a tar archive cannot hold a socket"))
            return b"", 0
        self.members += 1
        self._tell(entry.path)
        link = self._first_name(entry)
        size = 0
        if link is None and stat.S_ISREG(entry.mode):
            # Not entry.size: the file may have changed while it was read.
            size = sum([extent.length for extent in extents_of(self._store, entry)])
        self._size += size
        owner, group = self._owners.get(entry.uid, b""), self._groups.get(entry.gid, b"")
        return member_header(entry, size, link=link, owner=owner, group=group), size

    def _first_name(self, entry: Entry) -> bytes | None:
        """The path under which this file is in the archive already."""
        if entry.link is None:
            return None
        content = pack_extents(entry.extents) + entry.target
        first, known, left = self._links.pop(entry.link, (entry.path, content, entry.nlink))
        if left > 1:
            self._links[entry.link] = (first, known, left - 1)
        return first if first != entry.path and known == content else None

    def _tell(self, path: bytes) -> None:
        now = time.monotonic()
        if now - self._told >= INTERVAL:
            self._told = now
            self._report(Progress("tar", self.members, self._size, current=show_path(path)))


class _Once:
    """Tells paths that came before, where file sets overlap: only there a path can come twice, or is remembered."""

    def __init__(self, roots: Sequence[bytes]) -> None:
        self._shared = [
            root
            for at, root in enumerate(roots)
            if any(is_within(root, other) for n, other in enumerate(roots) if n != at)
        ]
        self._seen: set[bytes] = set()

    def is_new(self, path: bytes) -> bool:
        """Whether this path comes for the first time."""
        if not any(is_within(path, root) for root in self._shared):
            return True
        if path in self._seen:
            return False
        self._seen.add(path)
        return True
