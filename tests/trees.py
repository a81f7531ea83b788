"""Trees for tests: `make_tree` makes one that holds every kind of entry the running user can make.

Rule: nothing of the program under test is used here. What the user or the file system cannot do is left out of a tree;
`make_tree` returns what it could do, so that a test can insist on it. The same seed makes the same tree.
"""

import os
import random
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.tree_difference import APPEND_ONLY, IMMUTABLE, NO_ATIME, NO_DUMP, UNABLE, difference, write_flags

__all__ = [
    "ACL",
    "APPEND_ONLY",
    "CAPABILITY",
    "IMMUTABLE",
    "NO_ATIME",
    "NO_DUMP",
    "difference",
    "make_tree",
    "remove_tree",
    "require",
    "set_flags",
]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK

SIZES = (0, 1, 511, 4095, 4096, 4097, 65_536, 200_003, 1_048_583)
NAMES = (
    b"caf\xe9", b"\xff\xfe\x80", "gr\u00fc\u00dfe".encode(), b"new\nline", b" blanks ", b"-rf", b"*?[a-z]",
    b"back\\slash", b"\x01\x1b[31m\x7f", b"#tag", b"!bang", b"...", b".silt-no", b"quote'\"", b"n" * 255,
    "\u00fc".encode() * 127,
)  # fmt: skip
TARGETS = (b"../files/1", b"nowhere", b"/etc/passwd", b"/no/such/place", b"3", b"..", b"\xe9\xff\n", b"x/" * 2000)
SECOND = 1_000_000_000
TIMES = (0, 1, -1, SECOND - 1, -1_234_567_890_123_456_789, 1_700_000_000_123_456_789, 2**33 * SECOND + 7)
FILE_MODES = (0o000, 0o400, 0o200, 0o644, 0o755, 0o4755, 0o2755, 0o6711, 0o1600)
DIRECTORY_MODES = (0o500, 0o555, 0o700, 0o1777, 0o2775, 0o711)
XATTRS = {b"user.empty": b"", b"user.bytes": bytes(range(256)), b"user.\xe9\xff": b"name", b"user.long": b"l" * 1500}
# A version, then (tag, permissions, id): owner, user 1234, group, group 4321, mask, others.
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, permissions, number)
    for tag, permissions, number in (
        *((0x01, 7, 2**32 - 1), (0x02, 4, 1234), (0x04, 4, 2**32 - 1)),
        *((0x08, 5, 4321), (0x10, 5, 2**32 - 1), (0x20, 0, 2**32 - 1)),
    )
)
# cap_net_bind_service, permitted and effective
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)


def make_tree(root: Path, seed: int, *, locks: bool = False) -> set[str]:
    """Make a tree at `root`, the same for the same seed; what of it was possible here.

    That is any of "sockets", "devices", "xattrs", "trusted", "capability", "ACL", "flags", "locks", "owners". `locks`
    adds immutable and append-only entries; such a tree is removed by `remove_tree` alone.
    """
    maker = _Maker(root, seed)
    for make in (maker.files, maker.sparse_files, maker.names, maker.links, maker.specials, maker.attributes):
        make()
    maker.owners_modes_times()
    if locks:
        for name, flag in (("files/1", IMMUTABLE), ("files/511", APPEND_ONLY), ("many", IMMUTABLE)):
            maker.attempt("locks", set_flags, root / name, flag)
    return maker.made


def require(folder: Path) -> None:
    """Skip the test where this file system has no xattrs, no ACLs or no flags."""
    probe = folder / "probe"
    probe.touch()
    try:
        os.setxattr(probe, "user.probe", b"")
        os.setxattr(probe, "system.posix_acl_access", ACL)
        set_flags(probe, NO_DUMP)
    except OSError as error:
        pytest.skip(f"a file system without xattrs, ACLs or flags: {error}")
    finally:
        probe.unlink()


class _Maker:
    def __init__(self, root: Path, seed: int) -> None:
        root.mkdir(parents=True)
        self.root = root
        self.random = random.Random(seed)
        self.made: set[str] = set()

    def attempt(self, what: str, call: Callable[..., object], *arguments: Any, **options: Any) -> None:
        """Do what may be impossible here, and note it when it was not."""
        try:
            call(*arguments, **options)
            self.made.add(what)
        except OSError as error:
            if error.errno not in UNABLE:
                raise

    def folder(self, name: str) -> Path:
        (self.root / name).mkdir()
        return self.root / name

    def content(self, size: int) -> bytes:
        """Random bytes, or text that compresses."""
        if self.random.random() < 0.5:
            return self.random.randbytes(size)
        line = b"%d grains laid down in layers\n" % self.random.randrange(1000)
        return (line * (size // len(line) + 1))[:size]

    def files(self) -> None:
        folder, many = self.folder("files"), self.folder("many")
        for size in SIZES:
            (folder / str(size)).write_bytes(self.content(size))
        for number in range(150):
            (many / f"{number:03}").write_bytes(self.content(self.random.randrange(3000)))
        self.folder("empty")
        self.folder("only a folder").joinpath("in a folder").mkdir()

    def sparse_files(self) -> None:
        folder = self.folder("sparse")
        for name, start in (("hole first", 1 << 20), ("hole last", 0), ("holes around", 777_777)):
            with (folder / name).open("wb") as file:
                file.seek(start)
                file.write(self.content(5000))
                file.truncate(3 << 20)
        (folder / "only a hole").touch()
        os.truncate(folder / "only a hole", 5 << 20)
        (folder / "zeros").write_bytes(bytes(300_000))

    def names(self) -> None:
        folder = os.fsencode(self.folder("names"))
        for name in NAMES:
            Path(os.fsdecode(folder + b"/" + name)).write_bytes(name)
            os.mkdir(folder + b"/" + name[:-1] + b"d")
        fd = os.open(folder, _DIRECTORY)
        for level in range(24):  # some 4800 bytes in all, and PATH_MAX is 4096
            os.mkdir(b"%02d" % level + b"deep" * 49, dir_fd=fd)
            above, fd = fd, os.open(b"%02d" % level + b"deep" * 49, _DIRECTORY, dir_fd=fd)
            os.close(above)
        bottom = os.open(b"bottom", os.O_WRONLY | os.O_CREAT, 0o640, dir_fd=fd)
        os.write(bottom, b"down here")
        os.symlink(b"bottom", b"link", dir_fd=fd)
        os.close(bottom)
        os.close(fd)

    def links(self) -> None:
        folder, other = self.folder("links"), self.folder("other links")
        for number, target in enumerate(TARGETS):
            os.symlink(target, os.fsencode(folder / str(number)))
        (folder / "first").write_bytes(self.content(10_000))
        os.mkfifo(folder / "fifo")
        for first, name in (("first", folder / "second"), ("first", other / "third"), ("fifo", other / "fifo")):
            os.link(folder / first, name)
        os.link(folder / "1", other / "symlink", follow_symlinks=False)
        (other / "equal, not linked").write_bytes((folder / "first").read_bytes())

    def specials(self) -> None:
        folder = self.folder("special")
        os.mkfifo(folder / "fifo", 0o620)
        self.attempt("sockets", os.mknod, folder / "socket", stat.S_IFSOCK | 0o755)
        self.attempt("devices", os.mknod, folder / "zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
        self.attempt("devices", os.mknod, folder / "disk", stat.S_IFBLK | 0o600, os.makedev(259, 70_000))

    def attributes(self) -> None:
        folder = self.folder("attributes")
        for name in ("file", "acl", "capability"):
            (folder / name).write_bytes(name.encode())
        os.mkfifo(folder / "fifo")
        os.symlink("file", folder / "link")
        for path in (folder / "file", folder):
            for attribute, value in XATTRS.items():
                self.attempt("xattrs", os.setxattr, path, attribute, value)
        for path in (folder / "file", folder / "fifo", folder / "link", folder):
            self.attempt("trusted", os.setxattr, path, b"trusted.of root", b"\0\1", follow_symlinks=False)
        for path, which in ((folder / "acl", "access"), (folder, "access"), (folder, "default")):
            self.attempt("ACL", os.setxattr, path, f"system.posix_acl_{which}", ACL)
        for path in (folder / "file", folder):
            self.attempt("flags", set_flags, path, NO_DUMP | NO_ATIME)

    def owners_modes_times(self) -> None:
        """From the leaves up: what is made in a directory changes its time, and some let nobody in."""
        for _, folders, files, fd in os.fwalk(self.root, topdown=False):
            for name in sorted(folders) + sorted(files):
                self._dress(name, fd)
        capable = self.root / "attributes/capability"
        self.attempt("capability", os.setxattr, capable, "security.capability", CAPABILITY)
        os.utime(self.root, ns=(0, 1_600_000_000_000_000_001))

    def _dress(self, name: str, fd: int) -> None:
        kind = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode
        if os.geteuid() == 0:
            uid, gid = self.random.choice((0, 1, 1234, 4_000_000_000)), self.random.choice((0, 2, 3_999_999_999))
            self.attempt("owners", os.chown, name, uid, gid, dir_fd=fd, follow_symlinks=False)
        if not stat.S_ISLNK(kind):
            modes = DIRECTORY_MODES if stat.S_ISDIR(kind) else FILE_MODES
            readable = [mode for mode in modes if mode & stat.S_IRUSR or os.geteuid() == 0]
            os.chmod(name, self.random.choice(readable), dir_fd=fd)
        moment = self.random.choice((*TIMES, self.random.randrange(2**62)))
        os.utime(name, ns=(moment, moment), dir_fd=fd, follow_symlinks=False)


def set_flags(path: Path, flags: int) -> None:
    """Give a file or directory these of the compared flags, and no others. OSError."""
    fd = os.open(path, _FILE)
    try:
        write_flags(fd, flags)
    finally:
        os.close(fd)


def remove_tree(root: Path) -> None:
    """Remove a tree with locks, rights that keep its owner out, and paths that are too long."""
    fd = os.open(root.parent, _DIRECTORY)
    try:
        _remove(os.fsencode(root.name), fd)
    finally:
        os.close(fd)


def _remove(name: bytes, parent: int) -> None:
    kind = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    if stat.S_ISDIR(kind) and not kind & stat.S_IRUSR:
        os.chmod(name, 0o700, dir_fd=parent)
    if stat.S_ISDIR(kind) or (stat.S_ISREG(kind) and os.access(name, os.R_OK, dir_fd=parent)):
        fd = os.open(name, _FILE, dir_fd=parent)
        try:
            write_flags(fd, 0)
            if stat.S_ISDIR(kind):
                os.chmod(fd, 0o700)
                for below in os.listdir(fd):
                    _remove(os.fsencode(below), fd)
        finally:
            os.close(fd)
    if stat.S_ISDIR(kind):
        os.rmdir(name, dir_fd=parent)
    else:
        os.unlink(name, dir_fd=parent)
