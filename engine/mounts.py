"""What the kernel's table of mounts says: whether a share is mounted where a deployment says so, and what kind it is.

Rule: an unmounted mount point is an empty folder of the host's own disk, which a backup would take for a deployment of
which all files are gone, and a restore would fill. It asks the kernel's table too: a bind mount of the same file
system does not show in device numbers.
"""

import os
import re

TABLE = "/proc/self/mountinfo"
_OCTAL = re.compile(rb"\\([0-7]{3})")


def mount_fault(path: bytes, *, may_be_empty: bool = False) -> str | None:
    """What is wrong with a mount point, or None."""
    shown = path.decode("utf-8", "backslashreplace")
    if not os.path.isdir(path):
        return f"the mount point {shown} is not there"
    if not (os.path.ismount(path) or path in _mounted()):
        return f"nothing is mounted at {shown}"
    try:
        if not may_be_empty and not os.listdir(path):
            return f"what is mounted at {shown} is empty"
    except OSError as error:
        return f"{shown} cannot be read: {error.strerror}"
    return None


def file_system(device: int) -> str:
    """The kind of file system that has this device number (st_dev): ext4, say; empty where the table has none."""
    number = f"{os.major(device)}:{os.minor(device)}".encode()
    for mounted, kind in _table():
        if mounted[2] == number:
            return kind.decode()
    return ""


def _mounted() -> set[bytes]:
    """The mount points that the kernel lists, whose special characters it writes as octal escapes."""
    return {_OCTAL.sub(lambda match: bytes([int(match[1], 8)]), mounted[4]) for mounted, _ in _table()}


def _table() -> list[tuple[list[bytes], bytes]]:
    """Of each mount (proc(5)): its fields (device number third, mount point fifth), and its kind of file system."""
    try:
        with open(TABLE, "rb") as file:
            halves = [line.split(b" - ", 1) for line in file]  # between them any number of optional fields
    except OSError:
        return []
    return [(mounted.split(), rest.split()[0]) for mounted, rest in halves]
