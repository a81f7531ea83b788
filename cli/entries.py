"""Entries of a level as lines, like those of `ls -l`, and as JSON.

Rule: owners are told by the names that the level knows, else by number; times are local in lines and UTC in JSON. An
entry record is

    path, kind (file | directory | symlink | fifo | socket | character device | block device), mode (octal text)
    uid, gid, owner, group (names, or null), size, mtime, nlink
    target (of a symlink), rdev ("major:minor", of a device), changed (true: it changed while it was backed up)
"""

import os
import stat
from typing import Any

from siltstone.engine import Entry, Level

from .figures import local_time, size, utc_time
from .paths import path_record, shown

KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "character device",
    stat.S_IFBLK: "block device",
}
_DEVICES = (stat.S_IFCHR, stat.S_IFBLK)


def entry_line(entry: Entry, level: Level) -> str:
    """-rw-r--r--  root      root        1.20 KiB  2025-11-23 17:42:10  /etc/hosts."""
    owner = shown(level.owners.get(entry.uid) or str(entry.uid))
    group = shown(level.groups.get(entry.gid) or str(entry.gid))
    amount = _device(entry) if stat.S_IFMT(entry.mode) in _DEVICES else size(entry.size)
    pointing = f" -> {shown(entry.target)}" if entry.target else ""
    when = local_time(entry.mtime_ns)
    return f"{stat.filemode(entry.mode)}  {owner:<8}  {group:<8}  {amount:>10}  {when}  {shown(entry.path)}{pointing}"


def entry_record(entry: Entry, level: Level) -> dict[str, Any]:
    """An entry as JSON."""
    record: dict[str, Any] = {
        **path_record(entry.path),
        "kind": KINDS.get(stat.S_IFMT(entry.mode), "unknown"),
        "mode": f"{stat.S_IMODE(entry.mode):04o}",
        "uid": entry.uid,
        "gid": entry.gid,
        "owner": level.owners.get(entry.uid),
        "group": level.groups.get(entry.gid),
        "size": entry.size,
        "mtime": utc_time(entry.mtime_ns),
        "nlink": entry.nlink,
    }
    if stat.S_ISLNK(entry.mode):
        record |= path_record(entry.target, "target")
    if stat.S_IFMT(entry.mode) in _DEVICES:
        record["rdev"] = _device(entry)
    if entry.changed:
        record["changed"] = True
    return record


def _device(entry: Entry) -> str:
    return f"{os.major(entry.rdev)}:{os.minor(entry.rdev)}"
