"""Importing tar archives: each becomes the level that its name says, a tree to restore from and the archive itself.

Rule: the level's file set holds the tree, complete in itself; beside it the level keeps the archive as one long content
(tar_contents.py), so that `export` gives back the bytes that came in. Nothing exists before the root is created. The
tree of an incremental archive is that of the level before with the archive laid over it (tar_tree.py).

What only the archive keeps, and no restored tree: members of kinds that we do not know, and paths that lead upwards.
"""

import os
import stat
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from msgspec import Struct

from siltstone.store import Store, Writer

from .backup_run import COUNTS, inherited_of
from .entry import HEAD, extra, make_row
from .errors import ConfigError, LevelNotFound, SourceError
from .events import Report, Warned, show_path
from .levels import KEPT_WARNINGS, Level, LevelRef, SetInfo, level_refs, read_level, to_root
from .manifest import ManifestWriter
from .restore_rows import rows_of
from .row_sorter import RowSorter
from .tar_contents import TarContents
from .tar_member import Member
from .tar_members import Members
from .tar_name import TarName, parse_tar_name
from .tar_tree import Row, linked_rows, listed_names, merged, topmost
from .tar_window import TarWindow
from .teller import Teller
from .workers import Workers

SET_NAME, ARCHIVE = "files", "archive"

# A level tells from where its file sets were walked; an archive of more topmost paths than this tells just '/'.
MOST_ROOTS = 1000


class Source(Struct, frozen=True):
    """An archive to import, and which level it becomes. `whole`: it stands for itself alone, whatever its name says."""

    path: Path
    name: TarName
    whole: bool = False


def sources_of(store: Store, paths: Sequence[Path], *, deployment: str | None, whole: bool) -> list[Source]:
    """The archives in the order in which they are to be imported. Raises ConfigError, ObjectExists, LevelNotFound."""
    sources = [Source(path, parse_tar_name(path, deployment=deployment), whole) for path in paths]
    sources.sort(key=lambda source: source.name.ref)
    there = set(level_refs(store))
    for source in sources:
        ref = source.name.ref
        if ref in there:
            raise ConfigError(
                f"{source.path}: the store holds {ref.deployment}:{ref} already",
                hint="leave the file out, or import it into another deployment with --name",
            )
        there.add(ref)
    return sources


def import_archive(store: Store, source: Source, *, report: Report) -> Level:
    """Make a level of an archive. Raises SourceError, LevelNotFound (the level before is not there), ObjectExists."""
    members = Members(source.path)
    with store.writer() as writer, source.path.open("rb") as file, RowSorter() as sorter:
        level, before = _Import(store, writer, file.fileno(), source, sorter, report).run(members)
        writer.commit(level.name, to_root(level), inherited_of(store, level, before))
    return level


def earlier_level(store: Store, ref: LevelRef) -> Level:
    """The level over which an incremental archive is laid. Raises LevelNotFound."""
    refs = [each for each in level_refs(store) if (each.deployment, each.group) == (ref.deployment, ref.group)]
    below = [each for each in refs if each.level < ref.level]
    if not below:
        raise LevelNotFound(
            f"{ref.tar_name} is incremental, and no earlier level of its group is in the store",
            spec=str(ref),
            hint="import the earlier archives of the group as well, or use --whole if it stands for itself",
        )
    return read_level(store, max(below))


class _Import:
    """One archive on its way."""

    def __init__(
        self, store: Store, writer: Writer, fd: int, source: Source, sorter: RowSorter, report: Report
    ) -> None:
        self._store, self._writer, self._fd, self._source, self._report = store, writer, fd, source, report
        self._path, self._before_read = os.fsencode(source.path), os.fstat(fd)
        self._sorter = sorter
        self._links: dict[bytes, bytes] = {}  # name -> the name that it links to
        self._listings: dict[bytes, frozenset[bytes]] = {}
        self._owners: dict[int, str] = {}
        self._last_owner: object = None
        self._groups: dict[int, str] = {}
        self._stats: Counter[str] = Counter()
        self._warnings: list[tuple[str, str, str]] = []
        self._teller = Teller(report, writer, None, self._before_read.st_size)

    def run(self, members: Members) -> tuple[Level, Level | None]:
        """Everything but the commit: the level, and the one over which it is laid."""
        started = time.time_ns()
        with Workers(self._writer) as workers, TarWindow(self._fd) as window:
            contents = TarContents(workers, self._store.ring.gear, window, self._read)
            for member in members.read(window):
                self._take(member, contents)
            contents.add_rest(self._before_read.st_size)
            extents, indirect = contents.finish()
        now = os.fstat(self._fd)
        if (now.st_size, now.st_mtime_ns) != (self._before_read.st_size, self._before_read.st_mtime_ns):
            raise SourceError(f"{self._source.path}: it changed while it was read", hint="import it again")
        before = self._earlier_level(members.comment)
        files = self._write_tree(before)
        archive = self._write_archive(extents, indirect)
        self._writer.flush()
        return self._level(started, before, files, archive), before

    def _read(self, size: int) -> None:
        self._teller.read(self._path, size)

    def _earlier_level(self, comment: str) -> Level | None:
        ref = self._source.name.ref
        whole = self._source.whole or (comment.startswith("siltstone ") and comment.endswith(" whole"))
        if whole or (ref.level == 0 and not self._listings):
            return None
        return None if ref.level == 0 else earlier_level(self._store, ref)

    # ---- members

    def _take(self, member: Member, contents: TarContents) -> None:
        keep = self._keeps(member)
        contents.add(member, partial(self._add_row, member) if keep else _forget)
        if not keep:
            return
        if member.owner != self._last_owner:
            uid, owner, gid, group = self._last_owner = member.owner
            if owner:
                self._owners.setdefault(uid, owner)
            if group:
                self._groups.setdefault(gid, group)
        if member.hard_link:
            self._links[member.path] = member.hard_link
        if member.listing is not None:
            self._listings[member.path] = listed_names(member.listing)
        if stat.S_ISREG(member.mode):
            self._teller.files += 1

    def _keeps(self, member: Member) -> bool:
        """Whether the member becomes an entry."""
        if not member.path:
            if member.unknown:
                self._warn("unknown", b"", f"a member of type '{member.unknown}' is kept in the archive alone")
            return False
        if (b".." in member.path and b".." in member.path.split(b"/")) or b"\0" in member.path:
            self._warn("unsafe", member.path, "the path leads upwards: it is kept in the archive alone")
            return False
        if member.lost:
            self._warn("metadata", member.path, f"{member.lost}: it is kept in the archive alone")
        return True

    def _warn(self, kind: str, path: bytes, message: str) -> None:
        self._warnings.append((kind, show_path(path), message))
        self._report(Warned(kind, show_path(path) or str(self._source.path), message))

    def _add_row(self, member: Member, extents: bytes, indirect: bool) -> None:
        if not member.hard_link:
            more = b""
            if member.target or member.xattrs or indirect:
                more = extra(target=member.target, xattrs=member.xattrs, indirect=indirect)
            self._sorter.add(member.path, make_row(member.path, member.head, extents, more))

    # ---- the tree

    def _write_tree(self, before: Level | None) -> SetInfo:
        if self._links:
            self._resolve_links(before)
        manifest = ManifestWriter(self._writer)
        for path, row in self._rows(before):
            self._count(row)
            manifest.add(path, row)
        roots = topmost(self._rows(before), MOST_ROOTS)
        stats = self._stats
        entries = stats["files"] + stats["directories"] + stats["others"]
        return SetInfo(SET_NAME, roots, tuple(manifest.finish()), entries, stats["files"], stats["bytes"])

    def _rows(self, before: Level | None) -> Iterator[Row]:
        return (
            iter(self._sorter) if before is None else merged(rows_of(self._store, before), self._sorter, self._listings)
        )

    def _count(self, row: bytes) -> None:
        mode, _, _, _, size, *_ = HEAD.unpack_from(row, 4)
        kind = "files" if stat.S_ISREG(mode) else "directories" if stat.S_ISDIR(mode) else "others"
        self._stats[kind] += 1
        self._stats["bytes"] += size if kind == "files" else 0

    def _resolve_links(self, before: Level | None) -> None:
        """Give every name of a file of several names the file's row."""
        names: dict[bytes, list[bytes]] = {}
        for name in self._links:
            names.setdefault(self._first_name(name), []).append(name)
        firsts = {path: row for path, row in self._rows(before) if path in names}
        for target, others in names.items():
            if target in firsts:
                for path, row in linked_rows(firsts[target], others):
                    self._sorter.add(path, row)
            else:
                for name in others:
                    self._warn("missing", name, f"it is a link to {show_path(target)}, which is not there")

    def _first_name(self, name: bytes) -> bytes:
        """The name behind a link, and behind that if it is one itself."""
        seen = set()
        while name in self._links and name not in seen:
            seen.add(name)
            name = self._links[name]
        return name

    def _write_archive(self, extents: bytes, indirect: bool) -> SetInfo:
        size, mtime = self._before_read.st_size, self._before_read.st_mtime_ns
        path = b"/" + os.fsencode(self._source.path.name)
        head = HEAD.pack(stat.S_IFREG | 0o600, 0, 0, 1, size, mtime, 0, 0, 0)
        manifest = ManifestWriter(self._writer)
        manifest.add(path, make_row(path, head, extents, extra(indirect=indirect)))
        return SetInfo(ARCHIVE, (path,), tuple(manifest.finish()), 1, 1, size)

    def _level(self, started: int, before: Level | None, files: SetInfo, archive: SetInfo) -> Level:
        ref, at = self._source.name.ref, self._source.name.at_ns or self._before_read.st_mtime_ns
        writer, stats = self._writer, dict.fromkeys(COUNTS, 0) | self._stats
        stats |= {"new_chunks": writer.new_chunks, "new_bytes": writer.new_bytes, "known_chunks": writer.known_chunks}
        stats |= {"read_bytes": self._before_read.st_size, "stored_bytes": writer.stored_bytes}
        stats |= {"duration_ns": time.time_ns() - started, "warnings": len(self._warnings)}
        return Level(
            ref,
            kind="full" if ref.level == 0 else "incr",
            parent=before.ref.level if before else None,
            started_ns=at,
            finished_ns=at,
            host="",
            product_version="",
            privilege="",
            sets=(files,),
            stats=stats,
            warnings=tuple(self._warnings[:KEPT_WARNINGS]),
            owners={**(before.owners if before else {}), **self._owners},
            groups={**(before.groups if before else {}), **self._groups},
            archive=archive,
        )


def _forget(_extents: bytes, _indirect: bool) -> None:
    """A content that is kept in the archive alone."""
