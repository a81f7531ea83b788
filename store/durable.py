"""Files that are whole under their names and survive a power loss: the order in which the directory backend writes.

Rule: (1) the folders, each synced into the one above; (2) a temporary beside the final place: write, fsync, close;
(3) a hard link under the final name, which fails where that is taken; (4) the temporary unlinked; (5) fsync of the
folder. Bytes whose fsync failed are not trusted: they are written again, once, under a new temporary name.

Assumed: a file system that keeps what fsync confirmed, and that links, or renames without replacing. This module knows
names below one open folder and raises OSError; what the errors mean to a store is the backend's business. It uses no
flock, no atime and no clock, and never removes a folder.
"""

import errno
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from .backend import Buffer
from .direct import write_blocks

TEMPORARY = re.compile(r"\.tmp-[0-9a-f]{16}")

_FOLDER = os.O_RDONLY | os.O_DIRECTORY
_IOV_MAX = os.sysconf("SC_IOV_MAX")  # 1024 on Linux: writev refuses longer lists
# vfat, some FUSE and some SMB mounts cannot link. A fresh file cannot have too many links: EMLINK means "none at all".
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
# Some SMB and FUSE mounts know no fsync of a folder: either their server makes names durable by itself, or nobody can.
_NO_FOLDER_SYNC = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS}
_RENAME_NOREPLACE = 1


class _NotSynced(OSError):
    """fsync or close failed. What the file holds is unknown, and a second fsync may hide that instead of mending it."""


class DurableFiles:
    """Creates, overwrites and deletes files below an open folder. Safe to share between threads and processes."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._durable: set[str] = set()  # folders whose names in the folders above are synced

    def create(self, name: str, pieces: Sequence[Buffer]) -> bool:
        """Create the file, mode 0600; False where the name is taken, and then what bears it is durable too."""
        temporary = self.temporary(folder_of(name), pieces)
        try:
            ours = self._link(temporary, name)
        finally:
            self.drop(temporary)
        self._sync(folder_of(name))  # where the name was taken too: its writer may not have come this far
        return ours

    def overwrite(self, name: str, pieces: Sequence[Buffer]) -> None:
        """Create the file or put it in the place of the old one."""
        temporary = self.temporary(folder_of(name), pieces)
        try:
            os.rename(temporary, name, src_dir_fd=self._root, dst_dir_fd=self._root)
        except OSError:
            self.drop(temporary)
            raise
        self._sync(folder_of(name))

    def delete(self, name: str) -> None:
        """Unlink the file."""
        os.unlink(name, dir_fd=self._root)
        self._sync(folder_of(name))

    def temporary(self, folder: str, pieces: Sequence[Buffer]) -> str:
        """The pieces, durable in a new temporary of that folder: its name."""
        try:
            self._make(folder)
            return self._written(folder, pieces)
        except FileNotFoundError:  # somebody tidied empty folders away
            self._durable.clear()
            self._make(folder)
            return self._written(folder, pieces)

    def drop(self, temporary: str) -> None:
        """Unlink a temporary if it is still there. One that cannot be unlinked harms nobody."""
        with suppress(OSError):
            os.unlink(temporary, dir_fd=self._root)

    @contextmanager
    def entries(self, folder: str) -> Iterator[Iterator[os.DirEntry[str]]]:
        """What is in the folder; the entries can be asked for more only inside the `with`."""
        above = os.open(folder or ".", _FOLDER, dir_fd=self._root)
        try:
            with os.scandir(above) as entries:
                yield entries
        finally:
            os.close(above)

    def _written(self, folder: str, pieces: Sequence[Buffer]) -> str:
        try:
            return self._write(folder, pieces)
        except _NotSynced:
            return self._write(folder, pieces)

    def _write(self, folder: str, pieces: Sequence[Buffer]) -> str:
        temporary = f"{folder}.tmp-{os.urandom(8).hex()}"
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=self._root)
        try:
            try:
                write_all(file, pieces)
                _checked(os.fsync, file)
            except BaseException:
                with suppress(OSError):
                    os.close(file)
                raise
            _checked(os.close, file)
        except BaseException:
            self.drop(temporary)
            raise
        return temporary

    def _link(self, temporary: str, name: str) -> bool:
        """Give the temporary its final name; False where that is taken."""
        try:
            os.link(temporary, name, src_dir_fd=self._root, dst_dir_fd=self._root)
        except FileExistsError:  # or NFS linked, lost the answer, and asked again
            return os.stat(temporary, dir_fd=self._root).st_nlink > 1
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return rename_exclusively(self._root, temporary, name)
        return True

    def _make(self, folder: str) -> None:
        """Make the folder and those above, durably; one that another writer made and did not sync yet is synced too."""
        if not folder or folder in self._durable:
            return
        above = folder_of(folder[:-1])
        self._make(above)
        with suppress(FileExistsError):
            os.mkdir(folder, 0o700, dir_fd=self._root)
        # One sync settles all that were seen before it: a store's 256 folders of packs cost a writer one, not 256.
        with self.entries(above) as entries:
            seen = [f"{above}{entry.name}/" for entry in entries if entry.is_dir()]
        self._sync(above)
        self._durable.update(seen)

    def _sync(self, folder: str) -> None:
        sync_folder(folder or ".", dir_fd=self._root)


def make_folders(path: str) -> None:
    """Make the folder at this absolute path, and what is missing above it, mode 0700, each durable in the one above."""
    above = os.path.dirname(path)
    if not os.path.isdir(above):
        make_folders(above)
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
    with suppress(PermissionError):  # we may not read the folder above; so we did not make this one
        sync_folder(above)


def sync_folder(folder: str, *, dir_fd: int | None = None) -> None:
    """fsync of a folder: the names in it are durable then."""
    descriptor = os.open(folder, _FOLDER, dir_fd=dir_fd)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(descriptor)


def write_all(file: int, pieces: Sequence[Buffer]) -> None:
    """Write the pieces without joining them (a pack is 32 MiB of frames), through short writes."""
    views = [memoryview(piece).cast("B") for piece in pieces if len(piece)]
    if views:
        views[0] = views[0][write_blocks(file, views[0]) :]
    first = 0
    while first < len(views):
        done = os.writev(file, views[first : first + _IOV_MAX])
        while first < len(views) and done >= len(views[first]):
            done -= len(views[first])
            first += 1
        if done:
            views[first] = views[first][done:]


def rename_exclusively(root: int, old: str, new: str) -> bool:
    """renameat2 without replacing; False where the new name is taken. Raises OSError: EOPNOTSUPP if there is none."""
    import ctypes

    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:  # an old libc
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    if renameat2(root, os.fsencode(old), root, os.fsencode(new), _RENAME_NOREPLACE) == 0:
        return True
    code = ctypes.get_errno()
    if code == errno.EEXIST:
        return False
    if code in (errno.EINVAL, errno.ENOSYS):  # this file system, or this kernel, does not know the flag
        code = errno.EOPNOTSUPP
    raise OSError(code, os.strerror(code))


def folder_of(name: str) -> str:
    """The folder of a name with its '/', or '' at the top."""
    return name[: name.rfind("/") + 1]


def _checked(call: Callable[[int], None], file: int) -> None:
    try:
        call(file)
    except OSError as error:
        raise _NotSynced(*error.args) from error
