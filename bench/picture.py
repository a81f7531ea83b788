"""What a file tree looks like, taken by other means than the program's own: the judge of whether a restore was exact.

Rule: two trees are equal when their pictures are: contents (SHA-256), type and mode, owner, mtime to the nanosecond,
symlink targets, device numbers, xattrs (ACLs among them), and which names are hard links of one file.
It uses nothing of `siltstone`, and promises nothing about what no backup can set: ctime, inode numbers, atime.
"""

import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Callable, Iterator

from msgspec import Struct


class Seen(Struct, frozen=True):
    """One entry. `content` is a digest, a symlink's target or a device number; `twins`: all its names, if several."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int
    size: int
    content: bytes
    xattrs: tuple[tuple[bytes, bytes], ...]
    twins: tuple[bytes, ...]


Picture = dict[bytes, Seen]


def take_picture(root: bytes, *, left_out: Callable[[bytes], bool] = lambda _: False) -> Picture:
    """Every entry of a tree by its path below `root`; the root itself is b''. `left_out` judges the last name."""
    stats = {path: os.lstat(os.path.join(root, path) if path else root) for path in _walk(root, b"", left_out)}
    names: dict[tuple[int, int], list[bytes]] = defaultdict(list)
    for path, found in stats.items():
        names[found.st_dev, found.st_ino].append(path)
    return {path: _see(root, path, found, names[found.st_dev, found.st_ino]) for path, found in stats.items()}


def _walk(root: bytes, below: bytes, left_out: Callable[[bytes], bool]) -> Iterator[bytes]:
    yield below
    with os.scandir(os.path.join(root, below)) as entries:
        for entry in entries:
            path = os.path.join(below, entry.name)
            if left_out(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(root, path, left_out)
            else:
                yield path


def _see(root: bytes, path: bytes, found: os.stat_result, names: list[bytes]) -> Seen:
    full = os.path.join(root, path) if path else root
    return Seen(
        found.st_mode,
        found.st_uid,
        found.st_gid,
        found.st_mtime_ns,
        # A directory's size is a matter of the file system.
        0 if stat.S_ISDIR(found.st_mode) else found.st_size,
        _content(full, found),
        _xattrs(full),
        tuple(sorted(names)) if len(names) > 1 else (),
    )


def _content(path: bytes, found: os.stat_result) -> bytes:
    if stat.S_ISREG(found.st_mode):
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    if stat.S_ISLNK(found.st_mode):
        return os.readlink(path)
    if stat.S_ISBLK(found.st_mode) or stat.S_ISCHR(found.st_mode):
        return str(found.st_rdev).encode()
    return b""


def _xattrs(path: bytes) -> tuple[tuple[bytes, bytes], ...]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return tuple(sorted((os.fsencode(name), os.getxattr(path, name, follow_symlinks=False)) for name in names))
    except OSError:  # a file system without any
        return ()


def differences(expected: Picture, found: Picture) -> list[str]:
    """What differs, one line each; empty if the trees are equal."""
    lines = [f"missing: {_shown(path)}" for path in sorted(expected.keys() - found.keys())]
    lines += [f"unexpected: {_shown(path)}" for path in sorted(found.keys() - expected.keys())]
    for path in sorted(expected.keys() & found.keys()):
        one, other = expected[path], found[path]
        fields = [name for name in Seen.__struct_fields__ if getattr(one, name) != getattr(other, name)]
        lines += [f"{_shown(path)}: {name} {getattr(one, name)!r} became {getattr(other, name)!r}" for name in fields]
    return lines


def _shown(path: bytes) -> str:
    return repr(os.fsdecode(path))[1:-1] or "the root"
