"""Where a restore writes: one folder, below which every directory is walked to by descriptor, and nothing else reached.

Rule: a path of a manifest is a list of names, each checked, each opened in the directory before it without following
links. So neither a manifest nor somebody who plants symlinks meanwhile makes a restore write elsewhere, and paths
longer than the system's limit work.

`roots` are the paths that are restored (none given: everything below the target). What stands at or below a root is the
manifest's: a directory that its owner locked (rights, flags) is unlocked, for its metadata follows, and with `replace`
(restoring in place) what stands in the way is removed as `Directory` says. What stands above the roots belongs to the
host and is never changed; only what is missing is made, as `mkdir -p` would. A symlink there is refused even in place:
what it leads to is not what was backed up, and whoever may write above a root could send the restore anywhere.

A directory may be made hidden, under a temporary name: then all that is written into it may have its own name at once,
for nobody finds it before the directory is shown. For most small files that saves the rename, a sixth of their cost.

It does not promise that what was written survives a power loss (the caller syncs), nor that a directory which somebody
moves away meanwhile is found again: what is still written to it goes with it.
"""

import itertools
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from .directory import Directory, Terms, refused
from .errors import TargetError
from .hidden import OPENING
from .metadata import disinherit, inherits, reopen, unlock

# Enough for the directories of some hundred files in flight; a process has 1024 descriptors unless told otherwise.
OPEN_DIRECTORIES = 256


class Target:
    """A folder to restore below, made if it is missing. Any thread may use it.

    `root`: its path, whose symlinks are followed. `roots`: absolute paths below it. `open_directories`: how many are
    kept open; one that is needed again costs five system calls. Errors: TargetError for what is refused here, OSError
    (with the full path) for what the system refuses.
    """

    def __init__(
        self,
        root: bytes,
        *,
        roots: Iterable[bytes] = (),
        replace: bool = False,
        open_directories: int = OPEN_DIRECTORIES,
    ) -> None:
        os.makedirs(root, exist_ok=True)
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        run = os.urandom(8).hex().encode()
        self.terms = Terms(root, frozenset(roots), replace, os.fpathconf(fd, "PC_NAME_MAX"), run)
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._most_open = open_directories
        self._open: OrderedDict[bytes, Directory] = OrderedDict()  # by path, the longest unused first
        self._hidden: dict[bytes, bytes] = {}  # the temporary names of directories, by path
        self._to_hide: set[bytes] = set()  # those that are hidden as soon as they are made
        covered = not self.terms.roots or b"/" in self.terms.roots
        self._top = self._opened(b"/", fd, covered=covered, fresh=False, inheriting=True)
        self._top.holders = 1  # the target's own

    def close(self) -> None:
        """Close all directories; those that are still held, when they are released."""
        with self._lock:
            for path in list(self._open):
                self._forget(path)
            if self._top.cached:
                self._top.cached = False
                self._top.holders -= 1
                self._close_unheld(self._top)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def temporary(self) -> bytes:
        """A name that nobody else uses, for what is not whole yet."""
        return b".silt-%b-%d" % (self.terms.run, next(self._numbers))

    def split(self, path: bytes) -> tuple[bytes, bytes]:
        """The path of the directory, and the checked name in it. TargetError for the target itself."""
        parent, slash, name = path.rpartition(b"/")
        if not slash or parent.endswith(b"/"):
            raise refused(path, "no absolute path of names that are not empty")
        return parent or b"/", self.terms.checked_name(name, path)

    def place(self, path: bytes) -> tuple[Directory, bytes]:
        """Where an entry goes: its directory (held; release it) and its name. TargetError when no root covers it."""
        parent, name = self.split(path)
        directory = self.directory(parent)
        try:
            directory.check(name)
        except BaseException:
            directory.release()
            raise
        return directory, name

    def hide(self, path: bytes) -> None:
        """If this directory is made, then under a temporary name until it is shown. Its path means it all the same."""
        self._to_hide.add(path)

    def directory(self, path: bytes) -> Directory:
        """The directory at an absolute path below the target (b'/': the target itself), made where it is missing.

        At or below the roots it is made with mode 0700 and inherits nothing; its metadata comes when it is full.
        """
        with self._lock:
            assert self._top.cached, "the target is closed"
            found = self._walk(path)
            found.holders += 1
            return found

    def show(self, paths: Iterable[bytes]) -> dict[bytes, OSError | TargetError]:
        """Give their names to those of these directories that are hidden, or would be; why some cannot have them, and
        stay hidden.
        """
        refusals: dict[bytes, OSError | TargetError] = {}
        for path in paths:
            with self._lock:  # for each: those who write need not wait for all of them
                try:
                    self._show(path)
                except (OSError, TargetError) as error:
                    refusals[path] = error
        return refusals

    def _show(self, path: bytes) -> None:
        self._to_hide.discard(path)
        temporary = self._hidden.get(path)
        if temporary is None:
            return
        parent, name = self.split(path)
        renamed = self._walk(parent).show(temporary, name)
        del self._hidden[path]
        if not renamed and path in self._open:
            self._forget(path)

    def show_all(self) -> None:
        """Show what is hidden, where that can be done."""
        self.show(list(self._hidden))

    def directories(self, paths: Iterable[bytes]) -> tuple[dict[bytes, Directory], dict[bytes, OSError | TargetError]]:
        """Several of them, each as `directory` gives it: those that are held now, and why others cannot be had."""
        held: dict[bytes, Directory] = {}
        refusals: dict[bytes, OSError | TargetError] = {}
        with self._lock:
            for path in dict.fromkeys(paths):
                try:
                    found = self._walk(path)
                except (OSError, TargetError) as error:
                    refusals[path] = error
                else:
                    found.holders += 1
                    held[path] = found
        return held, refusals

    def release(self, directories: Iterable[Directory]) -> None:
        """Give several back at once."""
        with self._lock:
            for directory in directories:
                self._let_go(directory)

    def _walk(self, path: bytes) -> Directory:
        """From the nearest directory that is still open down to the path. The lock is held: one thread makes each."""
        missing: list[bytes] = []
        known = path
        while known != b"/" and known not in self._open:
            known, name = self.split(known)
            missing.append(name)
        current = self._top
        if known != b"/":
            current = self._open[known]
            self._open.move_to_end(known)
        while missing:
            name = missing.pop()
            current = self._step(current, name)
            self._open[current.path] = current
            if len(self._open) > self._most_open:
                self._forget(next(iter(self._open)))
        return current

    def _step(self, parent: Directory, name: bytes) -> Directory:
        """The directory `name` in `parent`, opened or made."""
        path = parent.path_of(name)
        hidden, hide = self._hidden.get(path), path in self._to_hide
        self._to_hide.discard(path)
        try:
            try:
                # In what this restore made stands hardly anything that it did not make.
                if hidden is not None or not parent.fresh:
                    return self._admitted(parent, name, hidden or name)
            except NotADirectoryError:
                parent.evict(name)
            except FileNotFoundError:
                pass
            covered = parent.covers(name)
            called = self.temporary() if hide and covered else name
            try:
                os.mkdir(called, 0o700 if covered else 0o777, dir_fd=parent.fd)
            except FileExistsError:  # somebody else made it just now
                return self._admitted(parent, name, called)
            if called != name:
                self._hidden[path] = called
            fd = os.open(called, OPENING, dir_fd=parent.fd)
            return self._opened(path, fd, covered=covered, fresh=True, inheriting=parent.inherits)
        except OSError as error:
            raise self.terms.named(error, path) from error

    def _admitted(self, parent: Directory, name: bytes, called: bytes) -> Directory:
        """A directory that is there already, `called` so at the moment."""
        covered = parent.covers(name)
        try:
            fd = os.open(called, OPENING, dir_fd=parent.fd)
        except PermissionError:  # perhaps its owner took the right to read it from himself
            if not covered:
                raise
            handle = os.open(called, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent.fd)
            try:
                fd = reopen(handle)
            finally:
                os.close(handle)
        return self._opened(parent.path_of(name), fd, covered=covered, fresh=False, inheriting=True)

    def _opened(self, path: bytes, fd: int, *, covered: bool, fresh: bool, inheriting: bool) -> Directory:
        """Prepare a directory for what is to be written into it. `inheriting`: there may be something to inherit."""
        try:
            if covered and fresh and inheriting:
                disinherit(fd)
            elif covered and not fresh:
                unlock(fd)
            passes_on = inheriting and not (covered and fresh) and inherits(fd)
            return Directory(
                path,
                fd,
                terms=self.terms,
                covered=covered,
                fresh=fresh,
                inherits=passes_on,
                all_hidden=self._hidden,
                give_back=self._take_back,
            )
        except BaseException:
            os.close(fd)
            raise

    def _take_back(self, directory: Directory) -> None:
        with self._lock:
            self._let_go(directory)

    def _let_go(self, directory: Directory) -> None:
        directory.holders -= 1
        assert directory.holders >= 0, "released more often than it was handed out"
        self._close_unheld(directory)

    def _forget(self, path: bytes) -> None:
        directory = self._open.pop(path)
        directory.cached = False
        self._close_unheld(directory)

    @staticmethod
    def _close_unheld(directory: Directory) -> None:
        if not directory.holders and not directory.cached:
            os.close(directory.fd)
