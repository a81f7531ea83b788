"""Directories with temporary names: how one gets its own, and how one goes that a killed restore left.

Rule: everything is done by descriptors, no link is followed, and depth costs neither stack nor descriptors.
"""

import errno
import os
from contextlib import suppress

OPENING = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

# What is said where a directory of that name has come meanwhile, and by a file system that lets none be renamed, or not
# while something in it is open.
_IS_THERE = (errno.ENOTEMPTY, errno.EEXIST)
_WILL_NOT = (errno.EACCES, errno.EPERM, errno.EBUSY, errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


def show_directory(fd: int, temporary: bytes, name: bytes) -> bool:
    """Rename a directory in the one that is open as `fd`. Where a directory of that name is there by now, or the file
    system will not and one is made, that gets all that lies in the other, over files of the same names: then False, and
    whoever has the old one open has nothing. OSError where something else has the name.
    """
    try:
        os.rename(temporary, name, src_dir_fd=fd, dst_dir_fd=fd)
        return True
    except OSError as error:
        if error.errno not in _IS_THERE + _WILL_NOT:
            raise
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=fd)
    old, new = os.open(temporary, OPENING, dir_fd=fd), -1
    try:
        new = os.open(name, OPENING, dir_fd=fd)
        for inner, _ in _entries(old):
            os.rename(inner, inner, src_dir_fd=old, dst_dir_fd=new)
    finally:
        os.close(old)
        if new >= 0:
            os.close(new)
    os.rmdir(temporary, dir_fd=fd)
    return False


def remove_tree(fd: int, name: bytes) -> None:
    """Remove a directory in the one that is open as `fd`, with what lies in it: directories in it are moved up first.
    OSError.
    """
    waiting = [name]
    while waiting:
        name = waiting.pop()
        opened = os.open(name, OPENING, dir_fd=fd)
        try:
            for inner, is_directory in _entries(opened):
                if is_directory:
                    waiting.append(b".silt-%b-0" % os.urandom(8).hex().encode())
                    os.rename(inner, waiting[-1], src_dir_fd=opened, dst_dir_fd=fd)
                else:
                    os.unlink(inner, dir_fd=opened)
        finally:
            os.close(opened)
        os.rmdir(name, dir_fd=fd)


def _entries(fd: int) -> list[tuple[bytes, bool]]:
    """The names in an open directory, and which are directories; all of them, since they are about to change."""
    with os.scandir(fd) as entries:
        return [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in entries]
