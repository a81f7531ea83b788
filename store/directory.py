"""A backend in a directory, local or mounted.

    <root>/<folder>/<object>          mode 0600, in folders of mode 0700; a umask can only narrow that
    <root>/<folder>/.tmp-<16 hex>     a temporary (see durable.py): never an object, whatever it holds

Rule: everything goes through one descriptor of the root, so that a mount that goes away never turns writes into the
empty folder below it; each change first asks whether the root's path still leads there. Whatever the system says
becomes an error of the store that names the object and the reason, and only what is proved absent is ObjectMissing:
under a root that is gone, nothing is.

Symbolic links are followed (`packs` may live on another disk). What bears no object name is passed over.
"""

import errno
import mmap
import os
import re
import stat
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from .backend import PART, Buffer, ObjectInfo, check_name, check_prefix
from .direct import read_into
from .durable import TEMPORARY, DurableFiles, make_folders
from .errors import BackendError, NotAStore, ObjectExists, ObjectMissing, StoreFull

_MISSING = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR}
_FULL = {errno.ENOSPC, errno.EDQUOT}
_HINTS = {
    errno.ENOSPC: "make room there and repeat the command: nothing that was stored is lost",
    errno.EDQUOT: "raise the quota or make room, and repeat the command: nothing that was stored is lost",
    errno.EROFS: "mount it writable; after errors of a disk the kernel makes a mount read-only, and dmesg says so",
    errno.EACCES: "run as the user who owns the store",
    errno.EPERM: "run as the user who owns the store",
    errno.EIO: "the disk, or the connection to it, is failing: look at dmesg",
    errno.ESTALE: "unmount the network share and mount it again",
    errno.EOPNOTSUPP: "this file system neither links nor renames without replacing: keep the store on another",
}


class DirectoryBackend:
    """Objects as files. `Backend` says what each call promises."""

    remote = False

    def __init__(self, path: str | os.PathLike[str], *, create: bool = False) -> None:
        """Open the directory; `create` makes it where it is missing. Raises NotAStore, BackendError."""
        self.location = os.fspath(path)
        self._path = os.path.abspath(self.location)
        try:
            if create:
                make_folders(self._path)
            self._root = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotAStore(f"{self.location}: {_reason(error)}", hint="is the right disk mounted there?") from error
        except OSError as error:
            raise _failure(error, f"{self.location}: cannot be opened as a store") from error
        # Not at exit: a thread that still writes then must not meet a descriptor that means something else.
        weakref.finalize(self, os.close, self._root).atexit = False
        self._identity = _identity(os.stat(self._root))
        self._files = DurableFiles(self._root)

    def holds_conditions(self) -> bool:
        return True  # linking is exclusive, and a rename whole; what does neither is refused at the first write

    def put(self, name: str, pieces: Sequence[Buffer]) -> None:
        with self._explained("write", check_name(name)):
            self._check_root()
            created = self._files.create(name, pieces)
        if not created:
            raise ObjectExists(name)

    def replace(self, name: str, pieces: Sequence[Buffer]) -> None:
        with self._explained("write", check_name(name)):
            self._check_root()
            self._files.overwrite(name, pieces)

    def get(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        with self._opened(name) as (file, size):
            return _read(file, offset, size if length is None else min(size, offset + length))

    def read(self, name: str, offset: int, room: memoryview) -> memoryview:
        with self._opened(name) as (file, _):
            return room[: read_into(file, room, offset)]

    def end(self, name: str, length: int) -> tuple[bytes, int]:
        with self._opened(name) as (file, size):
            return _read(file, max(0, size - length), size), size

    def view(self, name: str) -> memoryview:
        with self._opened(name) as (file, size):
            if not size:
                return memoryview(b"")
            try:
                return memoryview(mmap.mmap(file, size, access=mmap.ACCESS_READ))
            except OSError as error:
                if error.errno != errno.ENODEV:  # some FUSE mounts map nothing
                    raise
        return memoryview(self.get(name))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return (ObjectInfo(name, found.st_size) for name, found in self._walk(check_prefix(prefix), PART))

    def size(self, name: str) -> int:
        with self._explained("read", check_name(name)):
            return _of_file(os.stat(name, dir_fd=self._root)).st_size

    def delete(self, name: str) -> None:
        with self._explained("delete", check_name(name)):
            self._check_root()
            self._files.delete(name)

    def remove_stale(self, older_than_seconds: float = 86400) -> int:
        """As Backend says, by the storage's own clock: a fresh temporary tells the time there."""
        with self._explained("write", "a temporary file"):
            self._check_root()
            fresh = self._files.temporary("", [])
            now = os.stat(fresh, dir_fd=self._root).st_mtime
            self._files.drop(fresh)
        stale = [name for name, found in self._walk("", TEMPORARY) if now - found.st_mtime > older_than_seconds]
        for name in stale:
            self._files.drop(name)
        return len(stale)

    def free_space(self) -> int | None:
        with self._explained("ask for", "free space"):
            self._check_root()
            found = os.statvfs(self._root)
            return found.f_bavail * found.f_frsize if found.f_blocks else None

    @contextmanager
    def _opened(self, name: str) -> Iterator[tuple[int, int]]:
        """The descriptor and the size of an object."""
        with self._explained("read", check_name(name)):
            file = os.open(name, os.O_RDONLY, dir_fd=self._root)
            try:
                yield file, _of_file(os.stat(file)).st_size
            finally:
                os.close(file)

    def _walk(self, folder: str, wanted: re.Pattern[str]) -> Iterator[tuple[str, os.stat_result]]:
        """The files under the folder whose last part is wanted, in the order of their full names."""
        for name, found in self._scanned(folder, wanted):
            if found is None:
                yield from self._walk(name, wanted)
            else:
                yield name, found

    def _scanned(self, folder: str, wanted: re.Pattern[str]) -> Sequence[tuple[str, os.stat_result | None]]:
        """The folder's folders (with their '/', which sorts them rightly among the files) and its wanted files."""
        rows: dict[str, os.stat_result | None] = {}
        with self._explained("list", folder or "the store"):
            with suppress(FileNotFoundError, NotADirectoryError), self._files.entries(folder) as entries:
                for entry in entries:
                    if PART.fullmatch(entry.name) and entry.is_dir():
                        rows[f"{folder}{entry.name}/"] = None
                    elif wanted.fullmatch(entry.name) and entry.is_file():
                        with suppress(FileNotFoundError):  # deleted since it was listed
                            rows[folder + entry.name] = entry.stat()
            self._check_root()  # the folder of a root that is gone looks empty
        return sorted(rows.items(), key=lambda row: row[0])

    @contextmanager
    def _explained(self, action: str, name: str) -> Iterator[None]:
        """Turn an OSError into the error of the store that it means."""
        try:
            yield
        except OSError as error:
            self._check_root()
            if error.errno in _MISSING and action in ("read", "delete"):
                raise ObjectMissing(name) from error
            raise _failure(error, f"{self.location}: cannot {action} {name}") from error

    def _check_root(self) -> None:
        try:
            if _identity(os.stat(self._path)) == self._identity:
                return
            reason = "another directory is in its place"
        except OSError as error:
            reason = _reason(error)
        hint = "mount or connect it again and repeat the command: what was stored before is still there"
        raise BackendError(f"the store vanished: {self.location}: {reason}", hint=hint)


def _of_file(found: os.stat_result) -> os.stat_result:
    if not stat.S_ISREG(found.st_mode):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    return found


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _failure(error: OSError, sentence: str) -> BackendError:
    kind = StoreFull if error.errno in _FULL else BackendError
    return kind(f"{sentence}: {_reason(error)}", hint=_HINTS.get(error.errno or 0, ""))


def _read(file: int, start: int, stop: int) -> bytes:
    pieces = []
    while start < stop and (piece := os.pread(file, stop - start, start)):
        pieces.append(piece)
        start += len(piece)
    return b"".join(pieces)
