"""The scan: every entry below a root, in path order, with its stat, and nothing opened.

Rule: entries come sorted by their components, as manifests hold them, so that a merge with the previous level needs no
memory. What is excluded or skipped is not entered and not yielded. A folder that cannot be read is a warning, and the
scan goes on. The directory of the store itself is never scanned: a backup must not contain itself.
"""

import os
import struct
import time
from collections.abc import Iterator, Sequence

from .ahead import Ahead
from .deployment import FileSet, Roots
from .entry import size_of
from .events import Noted, Report, Warned, show_path
from .exclude import CACHE_TAG_NAME, Excluder, SkipRules, is_cache_tag, skip_reason
from .files import open_to_read, scan_directory, stat_path

# The second byte of st_mode holds the type in its upper half; comparing it needs no parsing of the stat.
TYPE_AT = 1
DIRECTORY, REGULAR, SYMLINK, SOCKET = 0x40, 0x80, 0xA0, 0xC0
_USUAL = (REGULAR, DIRECTORY, SYMLINK)
MAX_PATH = 0xFFFF  # of a row
_DEV = struct.Struct("<Q")
DEV_AT, BLOCKS_AT = 56, 64
_INO_AT = 40
_RDEV_AT = 48
_MTIME_AT = 24


# The size of a directory that lies in one block: some hundred entries at most.
SMALL_DIRECTORY = 4096


Found = tuple[bytes, bytes]
"""One entry as the scan saw it: its path, and the 72 bytes of files.scan_directory."""


def kind_of(stat: bytes) -> int:
    """DIRECTORY, REGULAR, SYMLINK, ... of a packed stat."""
    return stat[TYPE_AT] & 0xF0


class Scan:
    """One file set's scan. `skipped` counts what was left out by its nature."""

    def __init__(self, files: FileSet, roots: Roots, store: str, report: Report) -> None:
        self._set, self._roots, self._report = files, roots, report
        self._skip = files.skip
        self._picky = _is_picky(files.skip)
        self._store = _identity(store)
        self._now = time.time_ns()
        self.skipped = 0

    def __iter__(self) -> Iterator[Found]:
        for root in self._roots.found:
            yield from self._below(root)

    def _below(self, root: bytes) -> Iterator[Found]:
        try:
            stat = stat_path(root)
        except OSError as error:
            self._report(Warned("unreadable", show_path(root), error.strerror or str(error)))
            return
        yield root, stat
        if kind_of(stat) != DIRECTORY:
            return
        excluder = Excluder(self._set.exclude, root)
        special = self._picky or not excluder.idle  # else there is nothing to ask of what is usual
        device = stat[DEV_AT:BLOCKS_AT]
        with Ahead(root, _DEV.unpack(device)[0]) as ahead:
            stack = [(*self._entries(root, stat, device, ahead), device)]
            while stack:
                prefix, listing, device = stack[-1]
                for name, stat in listing:
                    path = prefix + name
                    kind = stat[TYPE_AT] & 0xF0
                    unusual = special or kind not in _USUAL or len(path) > MAX_PATH
                    if unusual and self._left_out(path, name, stat, kind, excluder):
                        if kind == DIRECTORY:
                            ahead.skip(path)
                        continue
                    yield path, stat
                    if kind == DIRECTORY:
                        inside = stat[DEV_AT:BLOCKS_AT] if path in self._roots.nested else device
                        stack.append((*self._entries(path, stat, inside, ahead), inside))
                        break
                else:
                    stack.pop()

    def _entries(
        self, path: bytes, stat: bytes, device: bytes, ahead: Ahead
    ) -> tuple[bytes, Iterator[tuple[bytes, bytes]]]:
        """The prefix of names in a directory and an iterator over them; empty where the scan does not enter."""
        prefix = path if path.endswith(b"/") else path + b"/"
        if not self._enters(path, stat, device):
            ahead.skip(path)
            return prefix, iter(())
        try:
            listing = ahead.take(path)
            if listing is None:
                listing = scan_directory(path, size_of(stat) <= SMALL_DIRECTORY)
            return prefix, iter(listing)
        except OSError as error:
            kind = "vanished" if isinstance(error, FileNotFoundError) else "unreadable"
            self._report(Warned(kind, show_path(path), error.strerror or str(error)))
            return prefix, iter(())

    def _enters(self, path: bytes, stat: bytes, device: bytes) -> bool:
        if self._store is not None and stat[DEV_AT:BLOCKS_AT] + stat[_INO_AT:_RDEV_AT] == self._store:
            self._report(Noted(f"{show_path(path)} is the store itself and is left out"))
            return False
        if self._skip.one_file_system and stat[DEV_AT:BLOCKS_AT] != device:
            return any(nested.startswith(path + b"/") for nested in self._roots.nested)
        if self._skip.caches and _is_cache(path):
            self.skipped += 1
            return False
        return True

    def _left_out(self, path: bytes, name: bytes, stat: bytes, kind: int, excluder: Excluder) -> bool:
        if not excluder.idle and excluder.excludes(path, kind == DIRECTORY):
            return True
        if kind == 0:  # listed, but its stat cannot be read: files.scan_directory leaves the errno in the place of rdev
            reason = os.strerror(_DEV.unpack_from(stat, _RDEV_AT)[0])
            self._report(Warned("unreadable", show_path(path), reason))
            return True
        if len(path) > MAX_PATH:
            self._report(Warned("unreadable", show_path(path), f"its path has more than {MAX_PATH:,} bytes"))
            return True
        if kind == SOCKET and self._skip.sockets:
            self.skipped += 1
            return True
        if self._picky and kind == REGULAR:
            mode = int.from_bytes(stat[:4], "little")
            mtime_ns = int.from_bytes(stat[_MTIME_AT : _MTIME_AT + 8], "little", signed=True)
            if skip_reason(name, mode, mtime_ns, self._now, self._skip):
                self.skipped += 1
                return True
        return False


def _is_picky(skip: SkipRules) -> bool:
    """Whether regular files must be looked at one by one."""
    return bool(skip.changed_within_ns or skip.patterns)


def _is_cache(path: bytes) -> bool:
    try:
        fd = open_to_read(path + b"/" + CACHE_TAG_NAME)
        try:
            return is_cache_tag(os.read(fd, 64))
        finally:
            os.close(fd)
    except OSError:
        return False


def _identity(store: str) -> bytes | None:
    """Device and inode of the store's folder as a packed stat holds them; None when it is no folder of this host."""
    try:
        found = os.stat(store)
    except OSError:
        return None
    return _DEV.pack(found.st_dev) + _DEV.pack(found.st_ino)


def same_device(store: str, roots: Sequence[bytes]) -> bool:
    """Whether the store lies on the device of some root, where both would be lost together."""
    try:
        device = os.stat(store).st_dev
    except OSError:
        return False
    for root in roots:
        try:
            if os.lstat(root).st_dev == device:
                return True
        except OSError:
            continue
    return False
