"""The chattr flags of files and directories: reading and writing them through ioctl.

Rule: only flags count that a user sets and that stay (`SETTABLE`); what a file system notes there for itself (extents,
inline data, encryption, a hashed directory) is neither kept nor disturbed. `LOCKS` are those that stop further change.
It does not promise that a flag which was set has stayed: some file systems ignore a flag without saying so. Read again.
"""

import errno
import fcntl
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from .problems import reason_of

# From linux/fs.h; the letters are those of lsattr and chattr.
_LETTERS = {
    0x00000001: "s",  # to be wiped when deleted
    0x00000002: "u",  # can be undeleted
    0x00000004: "c",  # compressed
    0x00000008: "S",  # written synchronously
    0x00000040: "d",  # not dumped
    0x00000080: "A",  # no access times
    0x00000400: "m",  # not compressed
    0x00004000: "j",  # data is journalled
    0x00008000: "t",  # no tail packing
    0x00010000: "D",  # directory is written synchronously
    0x00020000: "T",  # top of a directory hierarchy
    0x00800000: "C",  # no copy on write; only an empty file takes it
    0x02000000: "x",  # direct access
    0x20000000: "P",  # children inherit the project
    0x40000000: "F",  # names fold their case; only an empty directory takes it
    0x00000010: "i",  # immutable
    0x00000020: "a",  # append only
}
SETTABLE = sum(_LETTERS)
LOCKS = 0x10 | 0x20
# What a file must have before its first byte: where blocks go is decided while they are written.
EARLY = 0x00000004 | 0x00000400 | 0x00800000

_NO_FLAGS = (errno.ENOTTY, errno.EOPNOTSUPP, errno.ENOSYS)


def _request(reads: bool, number: int) -> int:
    """_IOR or _IOW of ('f', number, long). The kernel moves an int all the same; the long is an old mistake."""
    if os.uname().machine.startswith(("ppc", "mips", "sparc", "alpha")):
        direction = (2 if reads else 4) << 29
    else:
        direction = (2 if reads else 1) << 30
    return direction | struct.calcsize("l") << 16 | ord("f") << 8 | number


_GETFLAGS = _request(True, 1)
_SETFLAGS = _request(False, 2)


def read_flags(fd: int) -> int | None:
    """All flag bits of an open file or directory; None where the file system has none. OSError for all else."""
    buffer = bytearray(struct.calcsize("l"))
    try:
        fcntl.ioctl(fd, _GETFLAGS, buffer)
    except OSError as error:
        if error.errno in _NO_FLAGS:
            return None
        raise
    flags: int = struct.unpack_from("=I", buffer)[0]
    return flags


def write_flags(fd: int, current: int, wanted: int) -> str:
    """Turn the settable flags from `current` (as read) into `wanted`, the locks last. Why a part was refused, or ''.

    One flag that the file system does not know makes it refuse all at once, so then each is tried alone.
    """
    if not _written(fd, current & ~SETTABLE | wanted & SETTABLE):
        return ""
    refused = ""
    for flag in _LETTERS:
        if (current ^ wanted) & flag:
            turned = current ^ flag
            why = _written(fd, turned)
            refused = refused or why
            current = current if why else turned
    return refused


def _written(fd: int, flags: int) -> str:
    buffer = bytearray(struct.calcsize("l"))
    struct.pack_into("=I", buffer, 0, flags)
    try:
        fcntl.ioctl(fd, _SETFLAGS, buffer)
    except OSError as error:
        return reason_of(error)
    return ""


@contextmanager
def locks_lifted(dirfd: int, name: bytes) -> Iterator[None]:
    """For the length of a block, the file `name` in a directory is neither immutable nor append-only. OSError.

    What has a lock can be given neither another name nor one more. Anything but a regular file has none.
    """
    if not stat.S_ISREG(os.stat(name, dir_fd=dirfd, follow_symlinks=False).st_mode):
        yield
        return
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dirfd)
    try:
        flags = read_flags(fd) or 0
        write_flags(fd, flags, flags & ~LOCKS)
        try:
            yield
        finally:
            write_flags(fd, flags & ~LOCKS, flags)
    finally:
        os.close(fd)


def flag_letters(flags: int) -> str:
    """Flags as lsattr would write them; bits without a letter in hex."""
    unknown = flags & ~SETTABLE
    return "".join(letter for flag, letter in _LETTERS.items() if flags & flag) + (f"{unknown:#x}" if unknown else "")
