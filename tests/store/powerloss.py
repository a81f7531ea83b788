"""A disk that forgets what was not synced: every state in which a power loss may leave a folder.

Rule: RecordingOs stands where a module has `os`. It does what is asked on a real folder, and keeps beside it what a
disk must remember: the bytes of a file as of its last fsync, the names in a folder as of the folder's last fsync. After
each call it goes through every combination that the rest may have come to (a file's unsynced bytes: none, the first
half, zeros, all; an unsynced name: any state that it had since the sync) and holds it against what is expected by then.
A loss is noted in `losses` and not raised, so that no clean-up of the code under test can hide it.

It is stricter than real disks, which often keep more: fsync of a file saves no name, and an fsync that failed has
dropped the bytes for good. A call that it does not know is an error, so that no write goes by unseen.
"""

import errno
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from siltstone.store.backend import PART, Buffer
from siltstone.store.durable import rename_exclusively

HARMLESS = {
    "close",
    "fsencode",
    "fspath",
    "path",
    "pread",
    "preadv",
    "scandir",
    "stat",
    "strerror",
    "sysconf",
    "urandom",
}


class File:
    """A file's bytes, and what of them survives."""

    def __init__(self) -> None:
        self.written = b""
        self.synced: bytes | None = None
        self.dropped = False  # an fsync failed: the kernel threw the bytes away and takes the file for clean

    def sync(self) -> None:
        if not self.dropped:
            self.synced = self.written

    def survivors(self) -> set[bytes]:
        """The contents that may be found after a power loss."""
        if self.synced == self.written:
            return {self.written}
        may = {b"", self.written[: len(self.written) // 2], bytes(len(self.written)), self.written}
        return may if self.synced is None else may | {self.synced}


class Folder:
    """The names in a folder, and those that a power loss may take or bring back."""

    def __init__(self) -> None:
        self.names: dict[str, File | Folder] = {}
        self.unsynced: dict[str, list[File | Folder | None]] = {}  # every state of the name since the last sync

    def change(self, name: str, node: "File | Folder | None") -> None:
        self.unsynced.setdefault(name, [self.names.get(name)]).append(node)
        self.names.pop(name, None)
        if node is not None:
            self.names[name] = node

    def sync(self) -> None:
        self.unsynced.clear()

    def survivors(self) -> Iterator[dict[str, bytes]]:
        """Every set of objects (temporaries are none), by names below this folder, that a power loss may leave."""
        names = [name for name in self.names.keys() | self.unsynced.keys() if PART.fullmatch(name)]
        for choice in itertools.product(*(self._choices(name) for name in names)):
            yield {key: content for tree in choice for key, content in tree.items()}

    def _choices(self, name: str) -> list[dict[str, bytes]]:
        choices: list[dict[str, bytes]] = []
        for node in self.unsynced.get(name, [self.names.get(name)]):
            if node is None:
                choices.append({})
            elif isinstance(node, File):
                choices += [{name: content} for content in node.survivors()]
            else:
                choices += [{f"{name}/{key}": content for key, content in tree.items()} for tree in node.survivors()]
        return choices


class RecordingOs:
    """`os` for the modules under test. Everything happens below `top`, a folder that is empty and durable.

    `deaf`: is asked at each fsync with the path (a folder's ends in '/') whether the call does nothing, as if the code
    had left it out. `failing`: the numbers, from 0, of the fsyncs of files that fail. `linking`: whether there are hard
    links. `then`: what to do, once, after the first call of that name. `calls`: each change, with its path below top.
    """

    def __init__(self, top: Path) -> None:
        self.deaf: Callable[[str], bool] = lambda path: False
        self.failing: set[int] = set()
        self.linking = True
        self.then: dict[str, Callable[[], None]] = {}
        self.calls: list[str] = []
        self.losses: list[str] = []
        self._top, self._disk = str(top), Folder()
        self._expected: dict[str, set[bytes | None]] = {}
        self._opened: dict[int, tuple[str, File | Folder]] = {}  # descriptor -> path below top, and what it is
        self._syncs = 0

    def __getattr__(self, name: str) -> Any:
        if name in HARMLESS or name.startswith("O_"):
            return getattr(os, name)
        raise AssertionError(f"the simulation does not know os.{name}")

    def expect(self, name: str, *may: bytes | None) -> None:
        """From here on the file (below top) may be found as one of these; None is: not at all."""
        self._expected[name] = set(may)
        self._changed("expect", name)

    def survivors(self) -> Iterator[dict[str, bytes]]:
        """What may be found if the power goes now, by names below top."""
        return self._disk.survivors()

    def open(self, path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        full = self._below_top(path, dir_fd)
        descriptor = os.open(path, flags, mode, dir_fd=dir_fd)
        if flags & os.O_CREAT:
            self._bear(full, File())
        self._opened[descriptor] = full, self._node(full)
        if flags & os.O_CREAT:
            self._changed("create", full)
        return descriptor

    def writev(self, descriptor: int, pieces: Sequence[Buffer]) -> int:
        count = os.writev(descriptor, pieces)
        path, file = self._opened[descriptor]
        assert isinstance(file, File)
        file.written += b"".join(pieces)[:count]
        self._changed("write", path)
        return count

    def write(self, descriptor: int, piece: Buffer) -> int:
        count = os.write(descriptor, piece)  # perhaps past the page cache, which makes nothing durable by itself
        path, file = self._opened[descriptor]
        assert isinstance(file, File)
        file.written += bytes(piece)[:count]
        self._changed("write", path)
        return count

    def fsync(self, descriptor: int) -> None:
        path, node = self._opened[descriptor]
        if isinstance(node, Folder):
            path += "/"
        else:
            self._syncs += 1
            if self._syncs - 1 in self.failing:
                node.dropped = True
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        if not self.deaf(path):
            node.sync()
        self._changed("fsync", path)

    def mkdir(self, path: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        os.mkdir(path, mode, dir_fd=dir_fd)
        self._bear(self._below_top(path, dir_fd), Folder())
        self._changed("mkdir", self._below_top(path, dir_fd))

    def link(self, old: str, new: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        if not self.linking:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        os.link(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        self._bear(self._below_top(new, dst_dir_fd), self._node(self._below_top(old, src_dir_fd)))
        self._changed("link", self._below_top(new, dst_dir_fd))

    def rename(self, old: str, new: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        os.rename(old, new, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        self._renamed(self._below_top(old, src_dir_fd), self._below_top(new, dst_dir_fd))

    def rename_exclusively(self, root: int, old: str, new: str) -> bool:
        """In the place of the function of that name in durable.py, which does not go through os."""
        done = rename_exclusively(root, old, new)
        if done:
            self._renamed(self._below_top(old, root), self._below_top(new, root))
        return done

    def unlink(self, path: str, *, dir_fd: int | None = None) -> None:
        os.unlink(path, dir_fd=dir_fd)
        self._bear(self._below_top(path, dir_fd), None)
        self._changed("unlink", self._below_top(path, dir_fd))

    def _renamed(self, old: str, new: str) -> None:
        self._bear(new, self._node(old))
        self._bear(old, None)
        self._changed("rename", new)

    def _below_top(self, path: str, dir_fd: int | None) -> str:
        """The path below top, without '.' and '//'; its first part is top's entry."""
        if dir_fd is None:
            assert path == self._top or path.startswith(self._top + "/"), path
            whole = path[len(self._top) :]
        else:
            whole = f"{self._opened[dir_fd][0]}/{path}"
        return "/".join(part for part in whole.split("/") if part not in ("", "."))

    def _node(self, path: str) -> File | Folder:
        node: File | Folder = self._disk
        for part in path.split("/") if path else []:
            assert isinstance(node, Folder)
            node = node.names[part]
        return node

    def _bear(self, path: str, node: File | Folder | None) -> None:
        above, _, name = path.rpartition("/")
        folder = self._node(above)
        assert isinstance(folder, Folder)
        folder.change(name, node)

    def _changed(self, call: str, path: str) -> None:
        """A call has come back: the power may go here, and then others may have their turn."""
        self.calls.append(f"{call} {path}")
        for tree in self._disk.survivors():
            for name in self._expected.keys() | tree.keys():
                found = tree.get(name)
                if found not in self._expected.get(name, {None}):
                    what = "missing" if found is None else f"{len(found)} bytes"
                    self.losses.append(f"after call {len(self.calls)}, {self.calls[-1]}: {name} is {what}")
        if hook := self.then.pop(call, None):
            hook()
