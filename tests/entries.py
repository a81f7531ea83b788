"""Entries for tests of metadata: as a backup records them, put back by name, and what came of it.

Rule: what is read from the disk here is read by the program's own `capture`; comparing trees without it is for `trees`.
"""

import os
import stat
from pathlib import Path

from siltstone.engine.entry import Entry
from siltstone.engine.metadata import apply_metadata, capture
from siltstone.engine.owners import OwnerMap
from siltstone.engine.problems import Problems

NUMBERS = OwnerMap(by_name=False)


def entry_of(path: Path, **changes: object) -> Entry:
    """The entry of what stands there, as a backup would record it, with some fields changed."""
    found = path.lstat()
    xattrs, flags = capture(os.fsencode(path), found.st_mode)
    entry = Entry(
        path=os.fsencode(path),
        mode=found.st_mode,
        uid=found.st_uid,
        gid=found.st_gid,
        nlink=found.st_nlink,
        size=found.st_size,
        mtime_ns=found.st_mtime_ns,
        ctime_ns=found.st_ctime_ns,
        ino=found.st_ino,
        rdev=found.st_rdev,
        xattrs=xattrs,
        flags=flags,
    )
    for name, value in changes.items():
        setattr(entry, name, value)
    return entry


def put_back(path: Path, entry: Entry, owners: OwnerMap = NUMBERS) -> Problems:
    """Apply an entry to what stands there."""
    problems = Problems()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        apply_metadata(folder, os.fsencode(path.name), entry, owners, problems)
    finally:
        os.close(folder)
    return problems


def state(path: Path) -> tuple[object, ...]:
    """All that apply_metadata answers for."""
    found = path.lstat()
    xattrs, flags = capture(os.fsencode(path), found.st_mode)
    return found.st_mode, found.st_uid, found.st_gid, found.st_mtime_ns, xattrs, flags


def make(path: Path, kind: str) -> None:
    """Make something small of a kind."""
    match kind:
        case "file":
            path.write_bytes(b"content")
        case "directory":
            path.mkdir()
        case "symlink":
            path.symlink_to("nowhere")
        case "FIFO":
            os.mkfifo(path)
        case "socket":
            os.mknod(path, stat.S_IFSOCK | 0o600)
        case "device":
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
