"""What an entry has beyond its stat, taken at backup and put back at restore: owner, attributes, mode, times, flags.

Rule: apply follows the one order that the kernel leaves standing. Owner first (it clears setuid and file capabilities),
then extended attributes and ACLs (their owner must still be allowed to write), the mode, the times, and the flags last
(an immutable file takes nothing more). Then it looks at what came of it, because file systems round times and drop bits
without saying so. What could not be put back is counted in `Problems`, by kind, and never raised: a restore that is not
root, or goes to a file system without attributes, still restores the content.
A setuid or setgid bit of a file is dropped when its owner or group could not be put back, as `cp -a` does.

It does not promise access times (they become mtime), ctime and inode numbers. It needs /proc, and it leaves alone
attributes in `trusted.` and `security.` that the entry does not have: some are the file system's and not the user's.
"""

import errno
import os
import stat
from collections.abc import Callable

from siltstone.store import SiltError

from .entry import Entry
from .flags import LOCKS, SETTABLE, flag_letters, read_flags, write_flags
from .owners import OwnerMap
from .problems import Problems, reason_of

# XFS lists its ACLs a second time under these names, with numbers that no mapping of owners would reach.
_DOUBLES = frozenset({b"trusted.SGI_ACL_FILE", b"trusted.SGI_ACL_DEFAULT"})
_ACL = b"system.posix_acl_"
_DEFAULT_ACL = b"system.posix_acl_default"
# What a user may have set on the file that stands there, or what it inherited from its directory.
_REMOVABLE = (b"user.", _ACL, b"security.capability")
_NOTHING_THERE = (errno.EOPNOTSUPP, errno.ENOSYS)
_PRIVILEGED = stat.S_ISUID | stat.S_ISGID
# A file system refuses with OSError; a name or number that no file system could take never gets that far.
_REFUSED = (OSError, ValueError, OverflowError)


class MetadataError(SiltError):
    """Some metadata could not be read. `xattrs` and `flags` hold what could; the message names what could not."""

    def __init__(self, message: str, xattrs: dict[bytes, bytes], flags: int) -> None:
        super().__init__(message)
        self.xattrs = xattrs
        self.flags = flags


def capture(where: bytes | int, mode: int, *, dir_fd: int | None = None) -> tuple[dict[bytes, bytes], int]:
    """The extended attributes (raw name -> raw value) and the chattr flags (0 = none) of a file of any kind.

    `where` is an open descriptor, or a path (with `dir_fd`: a name in that directory); a symlink is never followed.
    `mode` is its st_mode. Only files and directories have flags: opening a device may wind a tape.
    A file system that has neither gives ({}, 0). FileNotFoundError: it vanished. MetadataError: all other errors.
    """
    faults: list[str] = []
    xattrs: dict[bytes, bytes] = {}
    flags = 0
    try:
        full = where if dir_fd is None or isinstance(where, int) else b"/proc/self/fd/%d/%b" % (dir_fd, where)
        xattrs = _read_xattrs(full, faults)
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
            flags = _captured_flags(where, dir_fd)
    except FileNotFoundError:
        raise
    except OSError as error:
        faults.append(reason_of(error))
    if faults:
        raise MetadataError("not all metadata could be read: " + "; ".join(faults), xattrs, flags)
    return xattrs, flags


def _captured_flags(where: bytes | int, dir_fd: int | None) -> int:
    if isinstance(where, int):
        return (read_flags(where) or 0) & SETTABLE
    fd = os.open(where, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        return (read_flags(fd) or 0) & SETTABLE
    finally:
        os.close(fd)


def _read_xattrs(where: bytes | int, faults: list[str]) -> dict[bytes, bytes]:
    """Every attribute that is listed; one that cannot be read is a fault, one that has just gone is not."""
    found: dict[bytes, bytes] = {}
    for name in _listed(where, follow=isinstance(where, int)):
        try:
            found[name] = os.getxattr(where, name, follow_symlinks=isinstance(where, int))
        except OSError as error:
            if error.errno != errno.ENODATA:
                faults.append(f"{os.fsdecode(name)}: {reason_of(error)}")
    return found


def _listed(where: bytes | int, *, follow: bool) -> list[bytes]:
    try:
        names = os.listxattr(where, follow_symlinks=follow)
    except OSError as error:
        if error.errno in _NOTHING_THERE:
            return []
        raise
    return [name for name in map(os.fsencode, names) if name not in _DOUBLES]


def apply_metadata(dirfd: int, name: bytes, entry: Entry, owners: OwnerMap, problems: Problems) -> None:
    """Give what stands under `name` in the directory `dirfd` the entry's metadata, flags included.

    A symlink is never followed: it is opened as itself, and when its kind is not the entry's nothing is touched.
    """
    try:
        handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dirfd)
    except OSError as error:
        problems.add("metadata", entry.path, reason_of(error))
        return
    try:
        if stat.S_IFMT(os.fstat(handle).st_mode) != stat.S_IFMT(entry.mode):
            problems.add("metadata", entry.path, "something else stands under the name")
        elif stat.S_ISREG(entry.mode) or stat.S_ISDIR(entry.mode):
            _apply_reopened(handle, entry, owners, problems)
        else:
            apply_unlocked(b"/proc/self/fd/%d" % handle, entry, owners, problems)
    finally:
        os.close(handle)


def _apply_reopened(handle: int, entry: Entry, owners: OwnerMap, problems: Problems) -> None:
    """Flags need a real descriptor, and an O_PATH one is none."""
    try:
        fd = reopen(handle)
    except OSError:  # not ours and not readable: what else may be said about it is said
        apply_unlocked(b"/proc/self/fd/%d" % handle, entry, owners, problems)
        return
    try:
        apply_open(fd, entry, owners, problems)
    finally:
        os.close(fd)


def apply_open(fd: int, entry: Entry, owners: OwnerMap, problems: Problems) -> None:
    """Give an open file or directory the entry's metadata, flags included."""
    try:
        unlock(fd)
    except OSError:  # whatever this keeps from being put back is reported where it is missing
        pass
    apply_unlocked(fd, entry, owners, problems)
    apply_flags(fd, entry, problems)


def apply_unlocked(where: bytes | int, entry: Entry, owners: OwnerMap, problems: Problems) -> None:
    """All of the entry's metadata but the flags. `where` is a descriptor, or a path whose links are followed."""
    uid, gid = owners.uid(entry.uid), owners.gid(entry.gid)
    owner_refused = _attempt(os.chown, where, uid, gid)
    if owner_refused:
        _attempt(os.chown, where, -1, gid)  # without root, a group that one belongs to may be given
    _apply_xattrs(where, entry, owners, problems)
    mode = stat.S_IMODE(entry.mode)
    try:
        if mode & _PRIVILEGED and stat.S_ISREG(entry.mode):
            mode = _earned_mode(mode, os.stat(where), uid, gid)
            if mode != stat.S_IMODE(entry.mode):
                problems.add("mode", entry.path, "setuid and setgid are dropped where the owner could not be put back")
        mode_refused = "" if stat.S_ISLNK(entry.mode) else _attempt(os.chmod, where, mode)
        time_refused = _attempt(lambda: os.utime(where, ns=(entry.mtime_ns, entry.mtime_ns)))
        found = os.stat(where)
    except OSError as error:
        problems.add("metadata", entry.path, reason_of(error))
        return
    if (found.st_uid, found.st_gid) != (uid, gid):
        problems.add("owner", entry.path, owner_refused or "the file system keeps another")
    if stat.S_IMODE(found.st_mode) != mode and not stat.S_ISLNK(entry.mode):
        problems.add("mode", entry.path, mode_refused or "the system keeps another")
    if found.st_mtime_ns != entry.mtime_ns:
        problems.add("time", entry.path, time_refused or "the file system rounds it or cannot hold it")


def _attempt(call: Callable[..., object], *arguments: object) -> str:
    """Make a call; why it was refused, or ''."""
    try:
        call(*arguments)
    except _REFUSED as error:
        return reason_of(error)
    return ""


def _earned_mode(mode: int, found: os.stat_result, uid: int, gid: int) -> int:
    """Without setuid unless the owner is right, without setgid unless the group is."""
    if found.st_uid != uid:
        mode &= ~stat.S_ISUID
    if found.st_gid != gid:
        mode &= ~stat.S_ISGID
    return mode


def _apply_xattrs(where: bytes | int, entry: Entry, owners: OwnerMap, problems: Problems) -> None:
    """Exactly the entry's attributes, but for those in `trusted.` and `security.` that it does not name."""
    try:
        present = _listed(where, follow=True)
    except OSError:
        present = []
    for name in present:
        if name not in entry.xattrs and name.startswith(_REMOVABLE) and (why := _attempt(os.removexattr, where, name)):
            problems.add(_xattr_kind(name), entry.path, why)
    for name, value in entry.xattrs.items():
        wanted = owners.acl(value) if name.startswith(_ACL) else value
        why = _attempt(os.setxattr, where, name, wanted)
        if why and not (name in present and _holds(where, name, wanted)):
            problems.add(_xattr_kind(name), entry.path, why)


def _holds(where: bytes | int, name: bytes, value: bytes) -> bool:
    """A label that nobody may set, and that is there already, is not missing."""
    try:
        return os.getxattr(where, name) == value
    except OSError:
        return False


def _xattr_kind(name: bytes) -> str:
    if name.startswith(_ACL):
        return "ACL"
    return f"extended attribute {os.fsdecode(name.partition(b'.')[0])}.*"


def apply_flags(fd: int, entry: Entry, problems: Problems) -> None:
    """Give an open file or directory the entry's chattr flags, and take away those that it does not have.

    The last thing done to a file, after it got its name: what is immutable cannot be renamed either.
    """
    why = "the file system does not keep them"
    try:
        current = read_flags(fd)
        if current is not None and current & SETTABLE != entry.flags & SETTABLE:
            why = write_flags(fd, current, entry.flags) or why
            current = read_flags(fd)
    except OSError as error:
        current, why = None, reason_of(error)
    if current is None:
        lost = entry.flags
    else:
        lost = (current & SETTABLE) ^ entry.flags
    if lost:
        problems.add(f"flags ({flag_letters(lost)})", entry.path, why)


def unlock(fd: int) -> bool:
    """Lift what keeps even its owner from changing a file or directory; putting its metadata back locks it again.

    These are the immutable and append-only flags (True: one was lifted), and, without root, rights that the owner took
    from himself. OSError.
    """
    flags = read_flags(fd) or 0
    lifted = bool(flags & LOCKS) and not write_flags(fd, flags, flags & ~LOCKS)
    if os.geteuid() != 0:
        found = os.fstat(fd)
        needed = _owner_rights(found.st_mode)
        if found.st_uid == os.geteuid() and found.st_mode & needed != needed:
            os.fchmod(fd, stat.S_IMODE(found.st_mode) | needed)
    return lifted


def reopen(handle: int) -> int:
    """A descriptor for reading what the O_PATH descriptor `handle` holds, a file or directory. OSError.

    An owner who took the right to read from himself gives it back first: in both cases nothing is looked up by name.
    """
    where = b"/proc/self/fd/%d" % handle
    try:
        return os.open(where, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        mode = os.fstat(handle).st_mode
        os.chmod(where, stat.S_IMODE(mode) | _owner_rights(mode))
        return os.open(where, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)


def _owner_rights(mode: int) -> int:
    return stat.S_IRWXU if stat.S_ISDIR(mode) else stat.S_IRUSR | stat.S_IWUSR


def inherits(fd: int) -> bool:
    """Whether what is made in this directory gets something from it: a default ACL, its group, flags. OSError."""
    if os.fstat(fd).st_mode & stat.S_ISGID or (read_flags(fd) or 0) & SETTABLE & ~LOCKS:
        return True
    return _DEFAULT_ACL in _listed(fd, follow=True)


def disinherit(fd: int) -> None:
    """Take from a directory that was just made what it got from its parent, before anything is made in it. OSError."""
    for name in _listed(fd, follow=True):
        if name.startswith(_ACL):
            os.removexattr(fd, name)
    flags = read_flags(fd) or 0
    if flags & SETTABLE:
        write_flags(fd, flags, 0)
    os.fchown(fd, -1, os.getegid())
    os.fchmod(fd, stat.S_IRWXU)
