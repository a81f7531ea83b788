"""What differs between two trees, in content and in everything that a backup has to bring back.

Rule: nothing of the program under test is used here. Both trees are read by descriptors and names, so that paths longer
than the system allows are no matter.
Not compared: access and change times, inode numbers, sizes of directories, and links from outside of a tree.
"""

import errno
import fcntl
import hashlib
import os
import stat
import struct
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

UNABLE = (errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.ENOSYS)
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK

IMMUTABLE, APPEND_ONLY, NO_DUMP, NO_ATIME = 0x10, 0x20, 0x40, 0x80
COMPARED_FLAGS = IMMUTABLE | APPEND_ONLY | NO_DUMP | NO_ATIME | 0x8
_FLAG_SIZE = struct.calcsize("l")
_GET_FLAGS, _SET_FLAGS = 2 << 30 | _FLAG_SIZE << 16 | 0x6601, 1 << 30 | _FLAG_SIZE << 16 | 0x6602


def difference(a: Path, b: Path, *, but: Collection[str] = ()) -> list[str]:
    """What differs between two trees: a line for each path and aspect, none when they are equal.

    `but` leaves aspects out: "kind", "owner", "mode", "time", "size", "content", "holes", "target", "device", "xattrs",
    "flags", "links". A file has more holes than another when that takes at least 64 KiB more on the disk.
    """
    left, right = _surveyed(a), _surveyed(b)
    found = [f"{_brief(path)}: only in {a}" for path in sorted(left.keys() - right.keys())]
    found += [f"{_brief(path)}: only in {b}" for path in sorted(right.keys() - left.keys())]
    for path in sorted(left.keys() & right.keys()):
        one, other = left[path], right[path]
        for aspect in one | other:
            if aspect not in but and not _agree(aspect, one.get(aspect), other.get(aspect)):
                found.append(f"{_brief(path)}: {aspect} {_brief(one.get(aspect))} and {_brief(other.get(aspect))}")
    return found


def _agree(aspect: str, one: Any, other: Any) -> bool:
    if aspect == "holes" and one is not None and other is not None:
        return abs(int(one) - int(other)) < 65_536
    return bool(one == other)


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:100]}...{text[-100:]}"


def _surveyed(root: Path) -> dict[bytes, dict[str, Any]]:
    """Path below the root -> aspect -> value."""
    tree: dict[bytes, dict[str, Any]] = {}
    names: dict[tuple[int, int], list[bytes]] = {}
    parent = os.open(root.parent, _DIRECTORY)
    try:
        for path, found, aspects in _survey(b"", os.fsencode(root.name), parent):
            tree[path] = aspects
            if not stat.S_ISDIR(found.st_mode):
                names.setdefault((found.st_dev, found.st_ino), []).append(path)
    finally:
        os.close(parent)
    for linked in names.values():
        for path in linked:
            tree[path]["links"] = sorted(linked)
    return tree


def _survey(path: bytes, name: bytes, parent: int) -> Iterator[tuple[bytes, os.stat_result, dict[str, Any]]]:
    found = os.stat(name, dir_fd=parent, follow_symlinks=False)
    aspects: dict[str, Any] = {
        "kind": stat.S_IFMT(found.st_mode),
        "owner": (found.st_uid, found.st_gid),
        "mode": oct(stat.S_IMODE(found.st_mode)),
        "time": found.st_mtime_ns,
        "xattrs": _xattrs(b"/proc/self/fd/%d/%s" % (parent, name)),
    }
    if stat.S_ISLNK(found.st_mode):
        aspects["target"] = os.readlink(name, dir_fd=parent)
    elif stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
        aspects["device"] = found.st_rdev
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        yield path, found, aspects
        return
    fd = os.open(name, _FILE, dir_fd=parent)
    try:
        aspects["flags"] = read_flags(fd) & COMPARED_FLAGS
        if stat.S_ISREG(found.st_mode):
            aspects |= {"size": found.st_size, "holes": found.st_size - found.st_blocks * 512, "content": _digest(fd)}
        yield path, found, aspects
        if stat.S_ISDIR(found.st_mode):
            for below in sorted(map(os.fsencode, os.listdir(fd))):
                yield from _survey(path + b"/" + below, below, fd)
    finally:
        os.close(fd)


def _xattrs(path: bytes) -> dict[str, bytes]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno not in UNABLE:
            raise
        return {}
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in names}


def _digest(fd: int) -> str:
    with open(fd, "rb", closefd=False) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_flags(fd: int, flags: int) -> None:
    """Give an open file or directory these of the compared flags, and no others. OSError."""
    now = read_flags(fd)
    if now & COMPARED_FLAGS != flags:
        fcntl.ioctl(fd, _SET_FLAGS, struct.pack("=I", now & ~COMPARED_FLAGS | flags).ljust(_FLAG_SIZE, b"\0"))


def read_flags(fd: int) -> int:
    """All flag bits; 0 where the file system has none."""
    try:
        found: int = struct.unpack_from("=I", fcntl.ioctl(fd, _GET_FLAGS, bytes(_FLAG_SIZE)))[0]
    except OSError as error:
        if error.errno not in UNABLE:
            raise
        return 0
    return found
