"""A level as a tar file of its own: whole, as an incremental archive, or the very archive that was imported.

Rule: the file is written under another name beside its place, synced, and gets its name when it is whole. A file that
is there is replaced only where that is said. It is the caller's alone to read: it holds what others may not read.
"""

import errno
import os
import tempfile
from pathlib import Path

from msgspec import Struct

from siltstone.store import Store, write_blocks

from .archive import write_imported, write_incremental, write_whole
from .archive_content import Sink
from .errors import TargetError, TargetFull
from .events import Report
from .level_hosts import hosts_of, of_host
from .levels import Level, LevelRef
from .tar_import import earlier_level


class Exported(Struct, frozen=True):
    """What was written. `members` is None of an archive that had been imported."""

    ref: LevelRef
    bytes: int
    members: int | None
    incremental: bool


def export_level(
    store: Store, level: Level, path: Path, *, incremental: bool = False, replace: bool = False, report: Report
) -> Exported:
    """Write a level of one host, or what one host has of a level, to a tar file; `incremental`: what changed since the
    level before, where there is one.

    Raises LevelNotFound, TargetError, TargetFull, and what write_tar raises. No file is there then.
    """
    if not replace and path.exists():
        raise TargetError(f"{path}: the file is there already", hint="use --replace, or another folder")
    before = _before(store, level) if incremental and level.level and not level.archive else None
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            try:
                file = _PastCache(descriptor)
                members = _write(store, level, before, file, report)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            _give_name(temporary, path, replace=replace)
        except BaseException:
            os.unlink(temporary)
            raise
    except FileExistsError:
        raise TargetError(f"{path}: somebody else made the file meanwhile") from None
    except OSError as error:
        kind = TargetFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else TargetError
        raise kind(f"{path}: {error.strerror}", hint="choose another folder with --to") from error
    return Exported(level.ref, file.size, members, before is not None)


def _before(store: Store, level: Level) -> Level | None:
    """What the same host had in the level before; None where it was not yet one of its hosts."""
    before = earlier_level(store, level.ref)
    host = next(iter(hosts_of(level)), "")
    return of_host(before, host) if host in hosts_of(before) else None


class _PastCache:
    """A file written from its beginning to its end, which nobody reads soon. `size` is what was written.

    Not as large files are restored: here one thread does nothing but write, so it may as well wait for the disk.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = 0

    def write(self, data: memoryview, /) -> int:
        written = write_blocks(self._descriptor, data) or os.write(self._descriptor, data)
        self.size += written
        return written


def _give_name(temporary: str, path: Path, *, replace: bool) -> None:
    if not replace:
        try:
            os.link(temporary, path)
            os.unlink(temporary)
            return
        except FileExistsError:
            raise
        except OSError:
            pass  # a file system without links, as on many a USB stick
    os.replace(temporary, path)


def _write(store: Store, level: Level, before: Level | None, out: Sink, report: Report) -> int | None:
    if level.archive is not None:
        write_imported(store, level, out)
        return None
    if before is not None:
        return write_incremental(store, before, level, out, report=report)
    return write_whole(store, level, out, report=report)
