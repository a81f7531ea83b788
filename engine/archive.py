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
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from siltstone.store import BackendError, Corrupt, ObjectMissing, Store

from .archive_changes import Compared, FolderListings, compare, members
from .archive_content import Sink, write_stream
from .archive_header import BLOCK, END, RECORD, comment, kind_of, member_header, usual_member
from .archive_windows import Part, Run, naming
from .browse_diff import changes
from .entry import EXTENT, Entry, Extent, pack_extents, parse_row
from .errors import NothingSelected
from .events import Progress, Report, Warned, show_path
from .extent_content import read_content
from .levels import Level
from .manifest import ManifestReader, extents_of
from .restore_rows import LevelRows, rows_of
from .selection import Selection, is_within

INTERVAL = 0.1

_Member = tuple[bytes, bytes]  # row, listing of the folder


def write_tar(store: Store, level: Level, selection: Selection, out: Sink, *, report: Report) -> int:
    """Write what is selected of a level as a tar archive; the number of members.

    Raises NothingSelected before anything was written, when nothing is; Corrupt, ObjectMissing, BackendError when it
    cannot be read; OSError when it cannot be written.
    """
    rows = _rows_of(store, level, selection)
    archive = _Archive(store, level, report)
    once = _Once([root for files in rows.sets for root in files.roots])
    chosen = ((row, b"") for path, row, chosen in rows if chosen and once.is_new(path))
    write_stream(store, archive.parts(_something(chosen, rows, level)), out)
    for pattern in rows.unmatched():
        report(Warned("missing", show_path(pattern), f"nothing in level {level.ref} matches"))
    return archive.members


def write_whole(store: Store, level: Level, out: Sink, *, report: Report) -> int:
    """Write all of a level, in path order, and say in the archive that it is all. As `write_tar` otherwise."""
    archive = _Archive(store, level, report, said=f"siltstone {level.deployment} {level.ref} whole")
    rows = ((row, b"") for _, row in rows_of(store, level))
    write_stream(store, archive.parts(rows), out)
    return archive.members


def write_imported(store: Store, level: Level, out: Sink) -> int:
    """Write the archive from which a level was imported; the number of bytes. As `write_tar` otherwise."""
    assert level.archive is not None
    ((_, row),) = ManifestReader(store, level, level.archive).rows()
    return write_stream(store, _content(store, parse_row(row)), out)


def write_incremental(store: Store, before: Level, level: Level, out: Sink, *, report: Report) -> int:
    """Write what is not as in the level `before`, as an incremental archive of GNU tar. As `write_tar` otherwise.

    Extracted with `tar --incremental` over what `before` is, it makes of it what `level` is; but for what a warning
    names.
    """

    def compared() -> Iterator[Compared]:
        return compare(rows_of(store, before), rows_of(store, level))

    listings = FolderListings(compared())
    for path in listings.gone_roots:
        report(Warned("gone", show_path(path), "it went, and a tar archive cannot say so: remove it after extracting"))
    archive = _Archive(store, level, report, said=f"siltstone {level.deployment} {level.ref} since {before.ref}")
    write_stream(store, archive.parts(members(compared(), listings)), out)
    return archive.members


def cat(store: Store, level: Level, path: bytes, out: Sink) -> int:
    """Write the content of one file; the number of bytes.

    Raises NothingSelected, also where hosts have different files there; Corrupt, ObjectMissing, BackendError.
    """
    entry = _file_at(store, level, path.rstrip(b"/"))
    return write_stream(store, _content(store, entry), out)


def _file_at(store: Store, level: Level, path: bytes) -> Entry:
    there: dict[str, Entry] = {}
    for files in level.sets:
        if files.host in there:
            continue
        for found, row in ManifestReader(store, level, files).rows(under=path):
            if found != path:
                break
            entry = there[files.host] = parse_row(row)
            if not stat.S_ISREG(entry.mode):
                raise NothingSelected(f"{show_path(path)} is no file", hint="'silt ls' shows what it is")
            break
    if not there:
        raise NothingSelected(f"level {level.ref} holds no {show_path(path)}", hint="'silt ls' shows what it holds")
    first, *others = there.values()
    if any("content" in changes(first, other) for other in others):
        said = f"{show_path(path)} is not the same on {', '.join(there)}"
        raise NothingSelected(said, hint="say whose is meant, with --host")
    return first


def _content(store: Store, entry: Entry) -> Iterator[Part]:
    extents = extents_of(store, entry)
    for extent in extents:
        if extent.is_difference:
            yield _cell(store, entry, (extent, next(extents)))
        else:
            yield Run(entry.path, extent.id, extent.offset, extent.length)


def _cell(store: Store, entry: Entry, extents: Sequence[Extent]) -> bytes:
    try:
        return b"".join(read_content(store.read_chunk, extents))
    except (Corrupt, ObjectMissing, BackendError) as error:
        raise naming(error, entry.path) from error


def _rows_of(store: Store, level: Level, selection: Selection) -> LevelRows:
    def lost(path: bytes, message: str) -> None:
        raise Corrupt(level.name, f"{show_path(path)}: {message}")

    return LevelRows(store, level, selection, base=None, lost=lost)


def _something(rows: Iterator[_Member], found: LevelRows, level: Level) -> Iterator[_Member]:
    """The rows. Raises NothingSelected where there are none, and patterns that something was to match."""
    first = next(rows, None)
    if first is None and found.unmatched():
        patterns = ", ".join(map(show_path, found.unmatched()))
        raise NothingSelected(
            f"level {level.ref} holds nothing that matches {patterns}", hint="'silt ls' shows what it holds"
        )
    return rows if first is None else chain([first], rows)


class _Archive:
    """The parts of one archive, in order. `said` stands at its beginning."""

    def __init__(self, store: Store, level: Level, report: Report, *, said: str = "") -> None:
        self._store, self._report, self._said = store, report, said
        self._links: dict[tuple[int, int], tuple[bytes, bytes, int]] = {}  # -> first path, content, names left
        self._owners = {number: name.encode("utf-8", "surrogateescape") for number, name in level.owners.items()}
        self._groups = {number: name.encode("utf-8", "surrogateescape") for number, name in level.groups.items()}
        self._told = 0.0
        self.members = self._size = 0

    def parts(self, rows: Iterable[_Member]) -> Iterator[Part]:
        """Headers, contents and padding."""
        said = comment(self._said.encode()) if self._said else b""
        if said:
            yield said
        written, pad = len(said), 0
        for row, listing in rows:
            usual = None if listing else usual_member(row, self._owners, self._groups, pad)
            if usual is not None:
                head, path, size, extents = usual
                self._count(path, size)
                yield head
                for chunk, offset, length in EXTENT.iter_unpack(extents):
                    yield Run(path, chunk, offset, length)
                written += len(head) + size
                pad = -size % BLOCK
                continue
            entry = parse_row(row)
            head, size = self._head(entry, listing)
            yield bytes(pad) + head
            if size:
                yield from _content(self._store, entry)
            written += pad + len(head) + size
            pad = -size % BLOCK
        written += pad + len(END)
        yield bytes(pad) + END + bytes(-written % RECORD)

    def _count(self, path: bytes, size: int) -> None:
        self.members += 1
        self._size += size
        now = time.monotonic()
        if now - self._told >= INTERVAL:
            self._told = now
            self._report(Progress("tar", self.members, self._size, current=show_path(path)))

    def _head(self, entry: Entry, listing: bytes) -> tuple[bytes, int]:
        """A member's header, and the size of the content that follows it."""
        if kind_of(entry) is None:
            self._report(Warned("socket", show_path(entry.path), "a tar archive cannot hold a socket"))
            return b"", 0
        link = self._first_name(entry)
        size = 0
        if link is None and stat.S_ISREG(entry.mode):
            # Not entry.size: the file may have changed while it was read.
            size = sum([extent.size for extent in extents_of(self._store, entry)])
        self._count(entry.path, size)
        owner, group = self._owners.get(entry.uid, b""), self._groups.get(entry.gid, b"")
        return member_header(entry, size, link=link, owner=owner, group=group, listing=listing), size

    def _first_name(self, entry: Entry) -> bytes | None:
        """The path under which this file is in the archive already."""
        if entry.link is None:
            return None
        content = pack_extents(entry.extents) + entry.target
        first, known, left = self._links.pop(entry.link, (entry.path, content, entry.nlink))
        if left > 1:
            self._links[entry.link] = (first, known, left - 1)
        return first if first != entry.path and known == content else None


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
