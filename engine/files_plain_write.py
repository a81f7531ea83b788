"""Many small files at once, in plain Python: creating them; what `_files.c` does, where there is no compiler.

Rule: this is the definition, and the C twin is held to it by the tests. A file appears under its name only when whole;
one that fails leaves nothing behind, and the others are written. Nothing is written outside the open directories.
It promises no durability (nothing is synced), and sets no xattrs and no flags: files that have some are not for it.
"""

import errno
import os
import stat as kinds
import struct
from collections.abc import Callable, Sequence

from .files_plain import HEAD_BYTES

_HEAD = struct.Struct("<IIIIQq")  # of a stat, as far as the mtime
_NOBODY = 2**32 - 1  # which chown takes for "leave it as it is"


def write_files(
    directories: Sequence[int],
    names: Sequence[bytes],
    temps: Sequence[bytes],
    starts: Sequence[int],
    lengths: Sequence[int],
    heads: Sequence[bytes],
    buffer: bytes | bytearray | memoryview,
    /,
    *,
    owner: bool,
) -> list[tuple[int, str, int, int, int]]:
    """Creates files of buffer[start : start + length], whole and with their metadata, or not at all.

    Each is written as temps[i] in the directory open as directories[i] and renamed to names[i], replacing what has that
    name (but a directory); where both names are equal it is not renamed. heads[i] begins with the head of the stat to
    restore: mode, mtime, and with `owner` uid and gid. Setuid and setgid are given only to a file whose owner or group
    is the recorded one.

    Of each file (errno, step, owner_errno, mode_errno, times_errno): errno and the step at which it came ("create",
    "write", "close", "rename"; the temp is gone again) or 0 and "": then the others say what of the metadata could not
    be set. ValueError, and nothing is written, for names that are none and contents outside the buffer.
    """
    columns = (directories, names, temps, starts, lengths, heads)
    if len({len(column) for column in columns}) > 1:
        raise ValueError("the lists are not of one length")
    for name in (*names, *temps):
        if name in {b"", b".", b".."} or b"/" in name or b"\0" in name:
            raise ValueError(f"not the name of a file: {name!r}")
    view = memoryview(buffer).cast("B")
    if any(n < 0 for n in (*starts, *lengths)):
        raise ValueError("a negative size")
    if any(start + length > len(view) for start, length in zip(starts, lengths, strict=True)):
        raise ValueError("a file's content lies outside the buffer")
    if any(len(head) < HEAD_BYTES for head in heads):
        raise ValueError("a head is shorter than 56 bytes")
    files = zip(*columns, strict=True)
    return [_write_one(fd, name, temp, view[at : at + n], head, owner) for fd, name, temp, at, n, head in files]


def _write_one(
    directory: int, name: bytes, temp: bytes, data: memoryview, head: bytes, owner: bool
) -> tuple[int, str, int, int, int]:
    """(errno, step, owner_errno, mode_errno, times_errno)"""
    code, step, refused = 0, "create", (0, 0, 0)
    recorded, uid, gid, *_ = _HEAD.unpack_from(head)
    ours = not owner or (uid, gid) == (os.geteuid(), os.getegid())
    mode = recorded & 0o777 if ours else 0o600  # nobody else's before it belongs to them
    try:
        fd = os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode, dir_fd=directory)
    except OSError as error:  # a temp that was there already is not ours to remove
        return error.errno or errno.EIO, step, *refused
    try:
        try:
            step = "write"
            refused = _fill(fd, data, head, owner)
        except BaseException:
            os.close(fd)
            raise
        step = "close"
        os.close(fd)
        step = "rename"
        if temp != name:
            os.rename(temp, name, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError as error:
        code = error.errno or errno.EIO
        _remove(directory, temp)
    return code, step if code else "", *refused


def _remove(directory: int, temp: bytes) -> None:
    try:
        os.unlink(temp, dir_fd=directory)
    except OSError:
        pass  # the failure that led here is the one to tell


def _fill(fd: int, data: memoryview, head: bytes, owner: bool) -> tuple[int, int, int]:
    """Writes and gives the metadata: (owner_errno, mode_errno, times_errno). OSError where the writing fails."""
    mode, uid, gid, _links, _size, mtime, *_ = _HEAD.unpack_from(head)
    now = os.fstat(fd)
    while data:
        if (n := os.write(fd, data)) == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        data = data[n:]
    owner_errno = _set_owner(fd, uid, gid, now) if owner else 0
    now = os.fstat(fd)
    mode &= 0o7777
    if now.st_uid != uid:
        mode &= ~kinds.S_ISUID  # a setuid program of somebody else must not become one of whoever restores
    if now.st_gid != gid:
        mode &= ~kinds.S_ISGID
    mode_errno = _refusal(lambda: os.fchmod(fd, mode))
    return owner_errno, mode_errno, _refusal(lambda: os.utime(fd, ns=(now.st_atime_ns, mtime)))


def _set_owner(fd: int, uid: int, gid: int, now: os.stat_result) -> int:
    if (now.st_uid, now.st_gid) == (uid, gid):
        return 0
    if _NOBODY in {uid, gid}:
        return errno.EINVAL
    refused = _refusal(lambda: os.fchown(fd, uid, gid))
    if refused and now.st_gid != gid:
        _refusal(lambda: os.fchown(fd, -1, gid))  # which a member of that group may
    return refused


def _refusal(change: Callable[[], None]) -> int:
    """The errno with which a change of metadata is refused, or 0."""
    try:
        change()
    except OSError as error:
        return error.errno or errno.EIO
    return 0
