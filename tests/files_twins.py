"""For the tests of `engine/files`: both twins, what the operating system says of a file, and files of every kind.

Rule: nothing of the program under test computes what is expected. It holds no tests.
"""

import ctypes
import gc
import os
import socket
import stat
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from bench.files_bench import twins

plain, compiled = twins()["plain"], twins().get("C")
needs_both = pytest.mark.skipif(compiled is None, reason="the C module was not built")
each_twin = pytest.mark.parametrize("files", [plain, pytest.param(compiled, marks=needs_both)], ids=["plain", "C"])

NOBODY = 65534
US, OURS = os.geteuid(), os.getegid()
KINDS = ["file", "hole", "directory", "symlink", "fifo", "socket"] + (["device"] if os.geteuid() == 0 else [])


def packed(s: os.stat_result) -> bytes:
    times = [max(-(2**63), min(2**63 - 1, ns)) for ns in (s.st_mtime_ns, s.st_ctime_ns)]
    numbers = (s.st_mode, s.st_uid, s.st_gid, s.st_nlink, s.st_size, *times, s.st_ino, s.st_rdev, s.st_dev, s.st_blocks)
    return struct.pack("<IIIIQqqQQQQ", *numbers)


def expected_listing(folder: bytes) -> list[tuple[bytes, bytes]]:
    return [(name, packed(os.lstat(os.path.join(folder, name)))) for name in sorted(os.listdir(folder))]


@contextmanager
def somebody_else(groups: Sequence[int] = ()) -> Iterator[None]:
    """As a user who owns nothing here, in these groups; as we are, where we are not root."""
    root = os.geteuid() == 0
    ours = os.getgroups()
    if root:
        os.setgroups(groups)
        os.setegid(NOBODY)
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
            os.setegid(0)
            os.setgroups(ours)


def make(folder: bytes, name: bytes, kind: str) -> None:
    path = os.path.join(folder, name)
    if kind == "directory":
        os.mkdir(path)
    elif kind == "symlink":
        os.symlink(b"nowhere/" + name, path)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            here = os.open(folder, os.O_PATH)  # a socket's path must be short
            server.bind(os.fsencode(f"/proc/self/fd/{here}/") + name)
            os.close(here)
    elif kind == "device":
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    else:
        with open(path, "wb") as file:
            file.write(b"x" * (len(name) * 7 % 50))
            if kind == "hole":
                file.truncate(1 << 20)
    if kind == "linked":
        os.link(path, path[:-1] + b"\xfe")


class Footprint(NamedTuple):
    """What a process holds: open descriptors, blocks of Python's allocator, and bytes of malloc."""

    descriptors: int
    blocks: int
    allocated: int


def footprint(run: Callable[[], None], times: int) -> Footprint:
    """After so many runs: two in a row differ by what the runs of the second one left behind."""
    for _ in range(times):
        run()
    gc.collect()
    return Footprint(len(os.listdir("/proc/self/fd")), sys.getallocatedblocks(), malloc_bytes())


class MallInfo(ctypes.Structure):
    """`struct mallinfo2` of glibc."""

    _fields_ = [(name, ctypes.c_size_t) for name in ("_0", "_1", "_2", "_3", "mapped", "_5", "_6", "used", "_8", "_9")]


def malloc_bytes() -> int:
    """What malloc has given out; 0 where it does not say."""
    ask = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if ask is None:
        return 0
    ask.restype = MallInfo
    told = ask()
    return int(told.used + told.mapped)


def head(mode: int = 0o644, uid: int = US, gid: int = OURS, mtime: int = 1_600_000_000_123_456_789) -> bytes:
    return struct.pack("<IIIIQqqQQ", stat.S_IFREG | mode, uid, gid, 1, 0, mtime, 0, 0, 0)


@contextmanager
def opened(folder: Path) -> Iterator[int]:
    fd = os.open(folder, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)
