"""How an entry that is no small file comes to be below a target: links, FIFOs, devices, sockets, and large files.

Rule: each is made under a temporary name, gets its metadata, and then its own name; a lock (immutable, append-only)
comes after that, since what has it can neither be renamed nor linked to. Content arrives in any order and from
several threads; what nobody writes stays a hole.
What this system cannot make (a device without root, a FIFO where the file system has none) is a problem to be told
once, not the end of the restore.
"""

import errno
import os
import stat
import threading
from types import TracebackType
from typing import Self

from .directory import Directory, refused
from .entry import Entry
from .flags import EARLY, locks_lifted, read_flags, write_flags
from .large_write import LargeWriter
from .metadata import apply_flags, apply_metadata, apply_unlocked
from .owners import OwnerMap
from .problems import Problems, reason_of
from .target import Target

_KINDS = {
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "FIFO",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}
# What a file system or a container says to a kind of file, or a link, that it does not have or allow.
_NOT_HERE = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_NO_LINK = (*_NOT_HERE, errno.EMLINK, errno.EXDEV)


def create_special(target: Target, path: bytes, entry: Entry, owners: OwnerMap, problems: Problems) -> bool:
    """Make a symlink, FIFO, device or socket with its metadata. False: not possible here, and added to the problems.

    TargetError when the entry is of no such kind, or what it says cannot be made of anything; OSError for all else.
    """
    kind = stat.S_IFMT(entry.mode)
    if kind not in _KINDS:
        raise refused(path, f"an entry of an unknown kind (mode {entry.mode:#o})")
    directory, name = target.place(path)
    with directory:
        temporary = target.temporary()
        try:
            if kind == stat.S_IFLNK:
                os.symlink(entry.target, temporary, dir_fd=directory.fd)
            else:
                os.mknod(temporary, kind | 0o600, entry.rdev, dir_fd=directory.fd)
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise target.terms.named(error, path) from error
            problems.add(_KINDS[kind], entry.path, reason_of(error))
            return False
        except (ValueError, OverflowError) as error:  # a NUL in a link's target, a device number beyond all bounds
            raise refused(path, f"no {_KINDS[kind]} can be made of it: {error}") from error
        apply_metadata(directory.fd, temporary, entry, owners, problems)
        directory.rename(temporary, name)
        return True


def create_hardlink(target: Target, first: bytes, path: bytes, problems: Problems) -> bool:
    """Make `path` another name of `first`; both lie below the target, and `first` is restored already.

    False: they cannot be linked here (another file system is mounted between, or has no more links), which is added to
    the problems; then the content must be written once more. TargetError, OSError for all else.
    """
    source, source_name = target.place(first)
    with source:
        directory, name = target.place(path)
        with directory:
            try:
                if not _are_linked(source, source_name, directory, name):
                    _link(source, source_name, directory, name, target.temporary())
                return True
            except OSError as error:
                if error.errno not in _NO_LINK:
                    raise target.terms.named(error, path) from error
                problems.add("hard link", path, reason_of(error))
                return False


def _are_linked(source: Directory, source_name: bytes, directory: Directory, name: bytes) -> bool:
    """Whether both are one file already. Then a rename of a third name over the second would do nothing at all."""
    try:
        there = os.stat(name, dir_fd=directory.fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(there, os.stat(source_name, dir_fd=source.fd, follow_symlinks=False))


def _link(source: Directory, source_name: bytes, directory: Directory, name: bytes, temporary: bytes) -> None:
    def link() -> None:
        os.link(source_name, temporary, src_dir_fd=source.fd, dst_dir_fd=directory.fd, follow_symlinks=False)
        directory.rename(temporary, name)

    try:
        link()
    except PermissionError:
        with locks_lifted(source.fd, source_name):
            link()


class BigFile:
    """A file that several threads write at once, at any offsets, and that nobody sees before `finish`, if it is new.

    Its size is set first, so what is never written stays a hole. Leaving a `with` block that did not finish it
    abandons it. TargetError for a place that is refused and for bytes beyond the size, OSError for all else.
    """

    def __init__(self, target: Target, path: bytes, entry: Entry, *, in_place: bool = False) -> None:
        """`in_place`: the file that has the name already is changed, and stays as far as it is not written."""
        self._target = target
        self._path = path
        self._entry = entry
        self._lock = threading.Lock()
        self._writers = 0
        self._ended = False
        self._directory, self._name = target.place(path)
        self._temporary = None if in_place else target.temporary()
        opening = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            if self._temporary is None:
                self._fd = os.open(self._name, opening, dir_fd=self._directory.fd)
            else:
                opening |= os.O_CREAT | os.O_EXCL
                self._fd = os.open(self._temporary, opening, 0o600, dir_fd=self._directory.fd)
        except OSError as error:
            self._directory.release()
            raise target.terms.named(error, path) from error
        # What changes in a file comes in single pages, for each of which the disk would be asked.
        self._writer = LargeWriter(self._fd, 0 if in_place else entry.size)
        try:
            self._prepare()
        except BaseException:
            self.abandon()
            raise

    def _prepare(self) -> None:
        if self._entry.flags & EARLY:
            flags = read_flags(self._fd) or 0
            write_flags(self._fd, flags, flags | self._entry.flags & EARLY)
        try:
            os.ftruncate(self._fd, self._entry.size)
        except OverflowError as error:
            raise refused(self._path, f"no file can have {self._entry.size} bytes") from error
        except OSError as error:
            raise self._target.terms.named(error, self._path) from error

    def reserve(self, start: int, end: int) -> None:
        """See LargeWriter.reserve."""
        try:
            self._writer.reserve(start, end)
        except OSError as error:
            raise self._target.terms.named(error, self._path) from error

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write bytes at their place. TargetError once the file is finished or abandoned."""
        with self._lock:
            if self._ended:
                raise refused(self._path, "written after its end: it was abandoned or is finished")
            self._writers += 1
        try:
            rest = memoryview(data).cast("B")
            if offset < 0 or offset + len(rest) > self._entry.size:
                raise refused(self._path, f"bytes beyond its size of {self._entry.size}")
            self._writer.write(rest, offset)
        except OSError as error:
            raise self._target.terms.named(error, self._path) from error
        finally:
            with self._lock:
                self._writers -= 1
                self._close_when_left()

    def finish(self, owners: OwnerMap, problems: Problems) -> None:
        """Give it its metadata and its name. Nobody may be writing any more. OSError, and then it is abandoned."""
        assert not self._ended, "finished twice, or after it was abandoned"
        assert not self._writers, "finished while somebody writes"
        try:
            # A network file system tells of a failed write when a descriptor is closed: any, so not yet this one.
            os.close(os.dup(self._fd))
            apply_unlocked(self._fd, self._entry, owners, problems)
            if self._temporary is not None:
                self._directory.rename(self._temporary, self._name)
        except BaseException as error:
            self.abandon()
            if isinstance(error, OSError) and not error.filename:
                raise self._target.terms.named(error, self._path) from error
            raise
        apply_flags(self._fd, self._entry, problems)
        self._end()

    def abandon(self) -> None:
        """Remove what is new. Safe while others still write, and after the end."""
        if not self._ended:
            if self._temporary is not None:
                self._directory.drop(self._temporary)
            self._end()

    def _end(self) -> None:
        with self._lock:
            self._ended = True
            self._close_when_left()

    def _close_when_left(self) -> None:
        """The last one out closes: a descriptor closed under a writer may by then be another file."""
        if self._ended and not self._writers:
            os.close(self._fd)
            self._directory.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.abandon()
