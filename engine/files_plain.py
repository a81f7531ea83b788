"""Many files at once, in plain Python: what `_files.c` and `_listing.c` do, where there is no compiler.

Rule: this is the definition, and the C twin is held to it by the tests: the same bytes, numbers and errors. A listing
is one directory, and no symlink is followed. A batch goes on after a file that fails, and says of each how it went.
Paths are bytes and may be longer than the kernel takes at once.
It does not promise that a file stood still while it was read (the stat after reading shows it), nor finds holes.
"""

import errno
import os
import stat as kinds
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from .flags import SETTABLE, read_flags

STAT = struct.Struct("<IIIIQqqQQQQ")
"""mode, uid, gid, nlink, size, mtime_ns, ctime_ns, ino, rdev, and beyond the head: dev, blocks of 512 bytes."""
HEAD_BYTES = 56
"""The head of a stat: what a manifest keeps of it and two scans compare."""

_PATH_MAX = 4096
_NOATIME = getattr(os, "O_NOATIME", 0)
_FURTHEST = 2**63  # nanoseconds either way of 1970 that a stat can hold: years 1677 to 2262


class Listing(Protocol):
    """The entries of one directory as (name, stat), sorted by the bytes of the name."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> tuple[bytes, bytes]: ...
    def __iter__(self) -> Iterator[tuple[bytes, bytes]]: ...


def unexamined(stat: bytes) -> int:
    """The errno for which an entry of a listing could not be examined, or 0: the stat is one."""
    mode, *_, rdev, _dev, _blocks = STAT.unpack(stat)
    return 0 if mode else int(rdev)


def scan_directory(path: bytes | int, small: bool = False, /) -> Listing:
    """The entries of a directory (a path, or a descriptor of it), each with its stat: 72 bytes, see STAT.

    Entries that vanish meanwhile are left out. One that exists and cannot be examined (someone else's FUSE mount, a
    damaged inode) is there with the stat that `unexamined` knows. OSError when the directory cannot be listed,
    also when `path` is a symlink. `small`: the caller expects few entries, for which the compiled twin keeps the
    interpreter lock.
    """
    try:
        fd = open_to_read(path, os.O_DIRECTORY) if isinstance(path, bytes) else _reopen(path)
        try:
            with os.scandir(fd) as found:
                names = sorted({os.fsencode(entry.name) for entry in found})  # replaced meanwhile: listed twice
            listing = [(name, stat) for name in names if (stat := _examine(fd, name)) is not None]
        finally:
            os.close(fd)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None
    return listing


class Lister:
    """Lists a directory and all below it on one device (a number), in path order, for a scan that comes behind it.

    What it gives is what `scan_directory` would; what it leaves out is listed by the scan. So this one leaves out all:
    it would only fight with the scan for the interpreter lock, which its twin does without. One thread.
    """

    def __init__(self, path: bytes, device: int, /) -> None:
        pass

    def more(self, entries: int, /) -> list[tuple[bytes, Listing]]:
        """The next directories, until they have so many entries, with their listings; [] at the end."""
        return []

    def skip(self, path: bytes, /) -> None:
        """Where that directory, or one below it, is next: go on behind it."""


def stat_path(path: bytes, /) -> bytes:
    """The stat of a path, itself and not what it may point at, as in a listing. OSError."""
    try:
        base, rest = _reach(path)
        try:
            return _pack(os.stat(rest, dir_fd=base, follow_symlinks=False))
        finally:
            _leave(base)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None


def probe_directory(path: bytes, /) -> tuple[int, int]:
    """(xattr_bytes, flags) of a directory, as read_files says of a file. Raises OSError where it cannot be opened."""
    fd = open_to_read(path, os.O_DIRECTORY)
    try:
        return _xattr_bytes(fd), _flags(fd)
    finally:
        os.close(fd)


def stat_of(fd: int) -> bytes:
    """The stat of an open file, as in a listing."""
    return _pack(os.fstat(fd))


def read_files(
    paths: Sequence[bytes], sizes: Sequence[int], buffer: bytearray | memoryview, /
) -> list[tuple[int, int, int, bytes, int, int]]:
    """Reads regular files into the buffer, one after the other without gaps; at most sizes[i] bytes of each.

    Of each file (errno, start, length, stat, xattr_bytes, flags). The stat is taken after reading: the file is what the
    scan saw if errno is 0, length is sizes[i] and the heads are equal. A file that grew has another size there, for one
    byte more than expected is asked for. xattr_bytes: of the list of xattr names, 0 when there are none. flags: those
    of flags.SETTABLE that are set, 0 where the file system has none.

    On errno, length is 0, and stat is b"" unless the file could be opened. ELOOP: a symlink; ENOTSUP: no regular file.
    ValueError, and nothing is read, when the buffer is smaller than the sizes together.
    """
    if len(paths) != len(sizes):
        raise ValueError("the lists are not of one length")
    if any(b"\0" in path for path in paths):
        raise ValueError("embedded null byte")
    if any(size < 0 for size in sizes):
        raise ValueError("a negative size")
    view = memoryview(buffer).cast("B")
    if sum(sizes) > len(view):
        raise ValueError("the buffer is smaller than the sizes together")
    results, at = [], 0
    for path, size in zip(paths, sizes, strict=True):
        code, length, stat, xattr_bytes, flags = _read_one(path, view[at : at + size])
        results.append((code, at, length, stat, xattr_bytes, flags))
        at += length
    return results


def _pack(st: os.stat_result, least: int = 0) -> bytes:
    mtime, ctime = (min(max(time, -_FURTHEST), _FURTHEST - 1) for time in (st.st_mtime_ns, st.st_ctime_ns))
    links, size = min(st.st_nlink, 2**32 - 1), max(st.st_size, least)
    head = (st.st_mode, st.st_uid, st.st_gid, links, size, mtime, ctime, st.st_ino, st.st_rdev)
    return STAT.pack(*head, st.st_dev, st.st_blocks)


def _examine(directory: int, name: bytes) -> bytes | None:
    try:
        return _pack(os.stat(name, dir_fd=directory, follow_symlinks=False))
    except FileNotFoundError:
        return None
    except OSError as error:
        return STAT.pack(0, 0, 0, 0, 0, 0, 0, 0, error.errno or errno.EIO, 0, 0)


def _reach(path: bytes) -> tuple[int | None, bytes]:
    """A directory and a path from there, short enough for the kernel, that together are `path`. None: as it is."""
    base = None
    while len(path) >= _PATH_MAX:
        cut = path.rfind(b"/", 0, _PATH_MAX)
        if cut <= 0:
            _leave(base)
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        try:
            deeper = os.open(path[:cut], getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY, dir_fd=base)
        finally:
            _leave(base)
        base, path = deeper, path[cut:].lstrip(b"/")
    return base, path or (b"" if base is None else b".")


def _leave(base: int | None) -> None:
    if base is not None:
        os.close(base)


@contextmanager
def short_path(path: bytes) -> Iterator[tuple[int | None, bytes]]:
    """How to name a path to calls that take none too long: (None, path), or its directory's descriptor and its name."""
    if len(path) < _PATH_MAX:
        yield None, path
        return
    above, _, name = path.rpartition(b"/")
    base, rest = _reach(above)
    try:
        directory = os.open(rest, getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY, dir_fd=base)
    finally:
        _leave(base)
    try:
        yield directory, name
    finally:
        os.close(directory)


def open_to_read(path: bytes, flags: int = 0) -> int:
    """Opens without touching the access time where that is allowed, and without waiting but for a lease to end.

    A symlink is not followed. OSError.
    """
    base, rest = _reach(path)
    flags |= os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | _NOATIME
    try:
        while True:
            try:
                return os.open(rest, flags, dir_fd=base)
            except PermissionError as error:
                if error.errno != errno.EPERM or not flags & _NOATIME:
                    raise
                flags &= ~_NOATIME
            except BlockingIOError:
                if not flags & os.O_NONBLOCK:
                    raise
                flags &= ~os.O_NONBLOCK
    finally:
        _leave(base)


def _reopen(directory: int) -> int:
    """Another descriptor, whose place in the directory is its own."""
    return os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=directory)


def _read_one(path: bytes, into: memoryview) -> tuple[int, int, bytes, int, int]:
    """(errno, length, stat, xattr_bytes, flags)"""
    stat = b""
    try:
        fd = open_to_read(path, 0)
        try:
            st = os.fstat(fd)
            stat = _pack(st)
            if not kinds.S_ISREG(st.st_mode):
                return errno.ENOTSUP, 0, stat, 0, 0
            seen = _read_all(fd, into, st.st_size)
            xattr_bytes, flags = _xattr_bytes(fd), _flags(fd)
            # /proc says 0 whatever there is; what was seen counts.
            stat = _pack(os.fstat(fd), seen if seen > len(into) else 0)
            return 0, min(seen, len(into)), stat, xattr_bytes, flags
        finally:
            os.close(fd)
    except OSError as error:
        return error.errno or errno.EIO, 0, stat, 0, 0


def _read_all(fd: int, into: memoryview, told: int) -> int:
    """Bytes that are there, as far as was looked: at most one more than `into` holds."""
    seen = 0
    while True:
        n = os.readv(fd, [into[seen:], bytearray(1)])
        seen += n
        if n == 0 or seen > len(into) or seen == told:
            return seen


def _xattr_bytes(fd: int) -> int:
    if not hasattr(os, "listxattr"):
        return 0
    try:
        return sum(len(os.fsencode(name)) + 1 for name in os.listxattr(fd))
    except OSError as error:
        return 0 if error.errno == errno.EOPNOTSUPP else 1  # it cannot be said: who asks for them gets the error


def _flags(fd: int) -> int:
    try:
        return (read_flags(fd) or 0) & SETTABLE
    except OSError:
        return 0
