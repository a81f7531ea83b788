"""One open directory of a restore's target: what may happen to the names in it.

Rule: whatever is made has a temporary name (`.silt-<random>-<n>`) until it is whole, and then takes its own by a rename
in the same directory; what is made in a directory that has such a name itself needs none. A name is one name: no slash,
no NUL, not `.` or `..`. Names that no root covers are never taken; of those that one covers, a file or link gives way
always, an empty directory only where `replace` says so, and a directory that is not empty never.

It does not promise that two restores into one directory at once leave each other's temporaries alone; then one of
them fails and says so.
"""

import errno
import os
import re
import stat
from collections.abc import Callable, Container
from types import TracebackType
from typing import Self

from msgspec import Struct

from .entry import HEAD
from .errors import TargetError
from .events import show_path
from .flags import locks_lifted
from .hidden import OPENING, remove_tree, show_directory
from .metadata import reopen, unlock

_TEMPORARY = re.compile(rb"\.silt-([0-9a-f]{16})-[0-9]+")
_IN_WORDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a symlink",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def in_words(mode: int) -> str:
    """What a mode (st_mode) is of: a file, a symlink, ..."""
    return _IN_WORDS.get(stat.S_IFMT(mode), "something")


def refused(path: bytes, what: str, *, hint: str = "") -> TargetError:
    """The error for a path below the target under which nothing may be written."""
    return TargetError(f"{show_path(path)}: {what}", hint=hint)


class Terms(Struct, frozen=True):
    """What one restore may do: below which folder, which paths of it (none: all), and whether obstacles give way."""

    root: bytes
    roots: frozenset[bytes]
    replace: bool
    name_max: int
    run: bytes  # 16 hex digits, in the names of this restore's temporaries

    def checked_name(self, name: bytes, path: bytes) -> bytes:
        """The name, if it can only mean an entry of its own directory; `path` is for the message."""
        if name in (b"", b".", b".."):
            raise refused(path, f"'{name.decode()}' is no name for a file")
        if b"/" in name or b"\0" in name:
            raise refused(path, "a name with a slash or a NUL in it")
        if len(name) > self.name_max:
            raise refused(path, f"a name of {len(name)} bytes, and {self.name_max} are possible here")
        return name

    def named(self, error: OSError, path: bytes) -> OSError:
        """The same error with the full path, which an error of a system call on a descriptor lacks."""
        return OSError(error.errno, error.strerror, os.fsdecode(self.root.rstrip(b"/") + path))


class Directory:
    """An open directory of the target, held until it is released (use it in a `with` statement). `fd` lives as long.

    `covered`: it lies at or below a root. `fresh`: this restore made it, so nothing stands in it that it did not write.
    `inherits`: what is made in it gets an ACL, a group or flags from it, so that even a plain file needs
    `apply_metadata` to get rid of them. `holders` and `cached` are the target's own.
    """

    __slots__ = (
        "_all_hidden",
        "_give_back",
        "cached",
        "covered",
        "fd",
        "fresh",
        "holders",
        "inherits",
        "path",
        "terms",
    )

    def __init__(
        self,
        path: bytes,
        fd: int,
        *,
        terms: Terms,
        covered: bool,
        fresh: bool,
        inherits: bool,
        all_hidden: Container[bytes],
        give_back: Callable[["Directory"], None],
    ) -> None:
        self.path = path
        self.fd = fd
        self.terms = terms
        self.covered = covered
        self.fresh = fresh
        self.inherits = inherits
        self.holders = 0
        self.cached = True
        self._all_hidden = all_hidden
        self._give_back = give_back

    @property
    def hidden(self) -> bool:
        """Whether it has a temporary name still, so that nobody finds what lies in it."""
        return self.path in self._all_hidden

    def release(self) -> None:
        """Give it back, once for each time it was handed out."""
        self._give_back(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()

    def path_of(self, name: bytes) -> bytes:
        """The path below the target of a name in here."""
        return b"/" + name if self.path == b"/" else self.path + b"/" + name

    def covers(self, name: bytes) -> bool:
        """Whether this name is at or below a root."""
        return self.covered or self.path_of(name) in self.terms.roots

    def check(self, name: bytes) -> None:
        """TargetError when nothing may be written under this name."""
        self.terms.checked_name(name, self.path_of(name))
        if not self.covers(name):
            raise refused(self.path_of(name), "it lies outside of what is restored")

    def finish(self, head: bytes) -> bool:
        """Give a fresh one, which has nothing else to lose, the owner, mode and time of a head (see entry.py). Whether
        it has them now; what is refused is told by `metadata.apply_open`, which does all of it.
        """
        assert self.fresh, "it may have attributes and flags of its own"
        mode, uid, gid, _, _, mtime, *_ = HEAD.unpack(head)
        mode = stat.S_IMODE(mode)
        try:
            found = os.fstat(self.fd)
            if (found.st_uid, found.st_gid) != (uid, gid):
                os.fchown(self.fd, uid, gid)
            os.fchmod(self.fd, mode)
            os.utime(self.fd, ns=(mtime, mtime))
            found = os.fstat(self.fd)
        except (OSError, OverflowError):  # no system call takes such an owner or time
            return False
        return (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode), found.st_mtime_ns) == (uid, gid, mode, mtime)

    def rename(self, temporary: bytes, name: bytes) -> None:
        """Give what is whole its name, over whatever may be replaced. When this fails, the temporary is gone."""
        try:
            self.check(name)
            try:
                os.rename(temporary, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)
            except IsADirectoryError:
                self._remove_empty(name)
                os.rename(temporary, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)
            except PermissionError:  # perhaps a lock: that of `name` goes with it, that of the temporary stays on it
                self._unlocked(name)
                with locks_lifted(self.fd, temporary):
                    os.rename(temporary, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        except BaseException as error:
            self.drop(temporary)
            if isinstance(error, OSError):
                raise self.terms.named(error, self.path_of(name)) from error
            raise

    def show(self, temporary: bytes, name: bytes) -> bool:
        """Give a directory its name. False where another one has it by now, which has all of it, and what is open of
        this one is no more. OSError.
        """
        try:
            return show_directory(self.fd, temporary, name)
        except OSError as error:
            raise self.terms.named(error, self.path_of(name)) from error

    def drop(self, temporary: bytes) -> None:
        """Remove a temporary that will not become whole. Should this fail, `remove_leftovers` finds it next time."""
        try:
            self._unlink(temporary)
        except OSError:
            pass

    def remove_leftovers(self) -> int:
        """Remove the temporaries that interrupted restores left here; how many. OSError.

        Directories go with all that lies in them. Not its business: names of any other form, directories that no root
        covers, and what this restore is writing.
        """
        place = os.open(b".", OPENING, dir_fd=self.fd)  # threads that share a descriptor share its place in the list
        try:
            with os.scandir(place) as entries:
                found = (entry for entry in entries if self._is_leftover(os.fsencode(entry.name)))
                listed = [(os.fsencode(entry.name), entry.is_dir(follow_symlinks=False)) for entry in found]
        finally:
            os.close(place)
        left = [each for each in listed if self.covered or not each[1]]
        for name, is_directory in left:
            if is_directory:
                remove_tree(self.fd, name)
            else:
                self._unlink(name)
        return len(left)

    def _is_leftover(self, name: bytes) -> bool:
        temporary = _TEMPORARY.fullmatch(name)
        return temporary is not None and temporary[1] != self.terms.run

    def evict(self, name: bytes) -> None:
        """Take away a file or link that stands where a directory must be. TargetError where it must not give way."""
        if not (self.terms.replace and self.covers(name)):
            raise self._obstacle(name, "a directory")
        self._unlink(name)

    def _unlink(self, name: bytes) -> None:
        try:
            os.unlink(name, dir_fd=self.fd)
        except PermissionError:
            if not self._unlocked(name):
                raise
            os.unlink(name, dir_fd=self.fd)

    def _remove_empty(self, name: bytes) -> None:
        """Take away a directory that stands where a file must be. TargetError where it must not give way."""
        if not (self.terms.replace and self.covers(name)):
            raise self._obstacle(name, "a file")
        try:
            os.rmdir(name, dir_fd=self.fd)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            raise self._obstacle(name, "a file") from None

    def _unlocked(self, name: bytes) -> bool:
        """Whether an immutable or append-only file stands there, which now is neither."""
        try:
            handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.fd)
        except FileNotFoundError:
            return False
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return False
            fd = reopen(handle)
            try:
                return unlock(fd)
            finally:
                os.close(fd)
        finally:
            os.close(handle)

    def _obstacle(self, name: bytes, wanted: str) -> TargetError:
        """The error for what stands in the way."""
        mode = os.stat(name, dir_fd=self.fd, follow_symlinks=False).st_mode
        hint = "restore to another folder, or move it away"
        if stat.S_ISLNK(mode) and not self.covers(name):
            hint = "a restore follows no symlink: restore --to the folder that it leads to, or move it away"
        return refused(
            self.path_of(name),
            f"{in_words(mode)} stands where {wanted} must be",
            hint=hint,
        )
