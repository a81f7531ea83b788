"""Comparing what stands in a target with what a level says: what is right already need not be written.

Rule: contents are compared by what they are, chunk id by chunk id, and never by time or size alone. A file is left
alone when all of it is right and it shares its inode with nothing that it should not share it with; its metadata is put
back where it differs. Of a large file that is not, the parts that are right are known, and need not be fetched.

Nothing keeps others from changing a file after it was compared.
"""

import os
import stat
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from siltstone.store import Corrupt, ObjectMissing, chunk_id, page_buffer

from .entry import HEAD_AT, Entry, Extent, parse_row
from .errors import TargetError
from .files import STAT, read_files, stat_of
from .metadata import MetadataError, apply_metadata, capture
from .restore_assembly import Site
from .restore_map import map_file
from .restore_rows import LevelRows, row_has_extra, row_size
from .restore_window import Placed
from .target import Target

# Files up to this size are read by the batch, and are written whole when anything about them is wrong.
SMALL = 1 << 20
BATCH_BYTES = 4 << 20
BATCH_FILES = 512
DIRECTORIES_AT_ONCE = 64  # open for one batch

_READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OWNER = slice(4, 12)
_MODE, _MTIME = slice(0, 4), slice(24, 32)


class Found(NamedTuple):
    """What stands under an entry's name: whether its content is `right`, and if it is not, which extents are `there`
    (a byte for each; None: nothing that is worth copying). `stat` is b"" where no file could be read; `extras`: it may
    have attributes or flags.
    """

    right: bool
    there: bytes | None
    stat: bytes
    extras: bool


NOTHING = Found(False, None, b"", False)


def batches(placed: Iterable[Placed]) -> Iterator[list[Placed]]:
    """Entries in groups for one call of `Comparer.look`: some small files, or one large one."""
    batch: list[Placed] = []
    folders: set[bytes] = set()
    size = 0
    for one in placed:
        length = row_size(one.row)
        if length > SMALL:
            yield [one]
            continue
        if size + length > BATCH_BYTES or len(batch) == BATCH_FILES or len(folders) == DIRECTORIES_AT_ONCE:
            yield batch
            batch, folders, size = [], set(), 0
        batch.append(one)
        folders.add(one.path.rpartition(b"/")[0])
        size += length
    if batch:
        yield batch


class Comparer:
    """Looks at what is there. Any thread. `root`: the folder of a target that is only looked at, and not open.

    `patch`: what is there of a large file is to be changed where it stands (restore_assembly).
    """

    def __init__(self, rows: LevelRows, id_key: bytes, target: Target | bytes, *, patch: bool = False) -> None:
        self._rows, self._id_key, self._target, self._patch = rows, id_key, target, patch
        self._local = threading.local()
        self._lock = threading.Lock()
        self._claimed: dict[tuple[int, int], tuple[int, int]] = {}

    def look(self, batch: Sequence[Placed]) -> list[Found]:
        """What stands under each name. Raises nothing: what cannot be looked at is not right."""
        entries = [parse_row(one.row) for one in batch]
        sizes = [sum(extent.size for extent in entry.extents) for entry in entries]
        small = [at for at, entry in enumerate(entries) if sizes[at] <= SMALL and not (entry.indirect or entry.cells)]
        found = [NOTHING] * len(batch)
        with self._paths(batch) as paths:
            room = self._buffer(sum(sizes[at] for at in small))
            results = read_files([paths[at] for at in small], [sizes[at] for at in small], room)
            for at, (_, start, length, now, xattr_bytes, flags) in zip(small, results, strict=True):
                entry, extras = entries[at], bool(xattr_bytes or flags)
                right = length == sizes[at] == _size(now) and self._all_there(
                    entry.extents, room[start : start + length]
                )
                found[at] = Found(right and self._may_stay(entry, now), None, now, extras)
            for at in set(range(len(batch))).difference(small):
                found[at] = self._look_large(paths[at], entries[at])
        return found

    @contextmanager
    def _paths(self, batch: Sequence[Placed]) -> Iterator[list[bytes]]:
        """A path by which each can be opened; the directories on the way are held open meanwhile."""
        if isinstance(self._target, bytes):
            yield [self._target.rstrip(b"/") + one.path for one in batch]
            return
        with ExitStack() as stack:
            paths, held = [], dict[bytes, int]()
            for one in batch:
                folder, _, name = one.path.rpartition(b"/")
                if folder not in held:
                    try:
                        held[folder] = stack.enter_context(self._target.directory(folder or b"/")).fd
                    except (OSError, TargetError):
                        held[folder] = -1  # whoever writes there will say why not
                paths.append(b"/proc/self/fd/%d/%b" % (held[folder], name.replace(b"\0", b"/")))
            yield paths

    def _buffer(self, size: int) -> memoryview:
        buffer: memoryview | None = getattr(self._local, "buffer", None)
        if buffer is None or len(buffer) < size:
            buffer = self._local.buffer = page_buffer(max(size, BATCH_BYTES))
        return buffer

    def _all_there(self, extents: Iterable[Extent], data: memoryview) -> bool:
        at = 0
        for extent in extents:
            if not self._is_there(extent, data[at : at + extent.length]):
                return False
            at += extent.length
        return True

    def _is_there(self, extent: Extent, data: memoryview) -> bool:
        if extent.id is None:
            return bytes(data) == bytes(len(data))
        return chunk_id(data, self._id_key) == extent.id

    # ---- large files

    def _look_large(self, path: bytes, entry: Entry) -> Found:
        try:
            fd = os.open(path, _READING)
        except (OSError, ValueError):
            return NOTHING
        try:
            now = stat_of(fd)
            if not stat.S_ISREG(int.from_bytes(now[_MODE], "little")):
                return NOTHING
            there = map_file(self._rows, self._id_key, fd, entry, _size(now))
        except (OSError, ValueError, Corrupt, ObjectMissing):
            return NOTHING
        finally:
            os.close(fd)
        if there.size == _size(now) and all(there.extents) and self._may_stay(entry, now):
            return Found(True, None, now, True)
        # To be changed where it stands, it must be one file alone, and what is a hole must be zeros already.
        usable = any(there.extents) and (not self._patch or (there.holes and _links(now) == 1 and not entry.flags))
        return Found(False, there.extents if usable else None, now, True)

    # ---- what else must be right

    def _may_stay(self, entry: Entry, now: bytes) -> bool:
        """Whether the inode is the entry's alone, or of its other names: a shared one must not be changed or kept."""
        _, _, _, links, _, _, _, inode, _, device, _ = STAT.unpack(now)
        if entry.link is None:
            return bool(links == 1)
        with self._lock:
            mine = self._claimed.setdefault((device, inode), entry.link) == entry.link
            return mine and bool(links <= entry.nlink)

    def keep(self, site: Site, one: Placed, found: Found) -> None:
        """Put back the metadata of a file whose content is right, where it differs. OSError, TargetError."""
        entry = parse_row(one.row)
        wanted = one.row[HEAD_AT:]
        owner = site.owners.uid(entry.uid).to_bytes(4, "little") + site.owners.gid(entry.gid).to_bytes(4, "little")
        differs = (found.stat[_MODE], found.stat[_OWNER], found.stat[_MTIME]) != (wanted[_MODE], owner, wanted[_MTIME])
        if differs or found.extras or row_has_extra(one.row):
            directory, name = site.target.place(one.path)
            with directory:
                if not metadata_stands(directory.fd, name, entry, site):
                    apply_metadata(directory.fd, name, entry, site.owners, site.tally.problems)
        site.tally.kept(sum(extent.size for extent in entry.extents) if not entry.indirect else entry.size)


def special_stands(fd: int, name: bytes, entry: Entry) -> bool:
    """Whether the symlink, FIFO, device or socket stands there as it should, but for its metadata."""
    try:
        now = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if stat.S_IFMT(now.st_mode) != stat.S_IFMT(entry.mode) or (entry.link is None and now.st_nlink > 1):
            return False
        if stat.S_ISLNK(now.st_mode):
            return os.readlink(name, dir_fd=fd) == entry.target
        return now.st_rdev == entry.rdev
    except OSError:
        return False


def metadata_stands(fd: int, name: bytes, entry: Entry, site: Site) -> bool:
    """Whether owner, mode, time, attributes and flags are the entry's: then not even the change time need change."""
    owners = site.owners
    acls = (name for name in entry.xattrs if name.startswith(b"system.posix_acl_"))
    xattrs = entry.xattrs | {name: owners.acl(entry.xattrs[name]) for name in acls}
    wanted = (entry.mode, owners.uid(entry.uid), owners.gid(entry.gid), entry.mtime_ns)
    try:
        now = os.stat(name, dir_fd=fd, follow_symlinks=False)
        if (now.st_mode, now.st_uid, now.st_gid, now.st_mtime_ns) != wanted:
            return False
        found, flags = capture(name, entry.mode, dir_fd=fd)
        return found == xattrs and flags == entry.flags
    except (OSError, MetadataError):
        return False


def _size(now: bytes) -> int:
    return int.from_bytes(now[16:24], "little") if now else -1


def _links(now: bytes) -> int:
    links: int = STAT.unpack(now)[3]
    return links
