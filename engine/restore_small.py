"""Writing small files out of a frame's plaintext, many in one call.

Rule: the call creates each file under a temporary name, whole and with what its row's head says, and renames it; the
interpreter lock is released meanwhile. A file that has more to it (attributes, or a directory that passes things on)
is left under the temporary name until that is put right. One file that fails fails alone; a full target ends all.

What is written is whole or it is not there, but it is not synced: that is the caller's choice.
"""

import errno
import os
from collections.abc import Sequence

from .directory import Directory
from .entry import HEAD_AT, HEAD_END, parse_row, row_path
from .errors import TargetError
from .files import write_files
from .metadata import apply_metadata
from .problems import reason_of
from .restore_assembly import Site
from .restore_plan import Small

# Files of at most so many directories are written by one call, for their descriptors are open meanwhile.
DIRECTORIES_AT_ONCE = 64

# With these a rename tells that something stands there that only Directory.rename may judge.
_IN_THE_WAY = (errno.EISDIR, errno.EPERM, errno.EACCES)
_DONE = (0, "", 0, 0, 0)

Buffer = memoryview | bytes
_Result = tuple[int, str, int, int, int]


class SmallWriter:
    """Writes small files. Any thread."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._owners: dict[bytes, bytes] = {}

    def write(self, files: Sequence[Small], plain: Buffer) -> None:
        """Write files whose contents lie in `plain`. Raises TargetFull."""
        held: dict[bytes, Directory] = {}
        batch: list[tuple[Small, Directory]] = []
        try:
            for file in files:
                directory = held.get(file.directory)
                if directory is None:
                    if len(held) == DIRECTORIES_AT_ONCE:
                        self._write_batch(batch, plain)
                        batch.clear()
                        _release(held)
                    directory = self._hold(file, held)
                if directory is not None and self._allowed(file, directory):
                    batch.append((file, directory))
            self._write_batch(batch, plain)
        finally:
            _release(held)

    def _hold(self, file: Small, held: dict[bytes, Directory]) -> Directory | None:
        try:
            directory = held[file.directory] = self._site.target.directory(file.directory)
        except (OSError, TargetError) as error:
            self._site.refused(row_path(file.row), error, parse_row(file.row).link)
            return None
        return directory

    def _allowed(self, file: Small, directory: Directory) -> bool:
        """Whether the name may be written; the call for many refuses all for one name that is none."""
        name = file.name
        if directory.covered and name not in (b"", b".", b"..") and b"\0" not in name:
            return True
        try:
            directory.check(name)
        except TargetError as error:
            self._site.refused(row_path(file.row), error, parse_row(file.row).link)
            return False
        return True

    def _write_batch(self, batch: list[tuple[Small, Directory]], plain: Buffer) -> None:
        if not batch:
            return
        temporary = self._site.target.temporary
        temps = [temporary() for _ in batch]
        # A file with more to it than its head says is whole only later; under equal names it is not renamed.
        whole = [file.plain and not directory.inherits for file, directory in batch]
        results = write_files(
            [directory.fd for _, directory in batch],
            [file.name if done else temp for (file, _), temp, done in zip(batch, temps, whole, strict=True)],
            temps,
            [file.start for file, _ in batch],
            [file.length for file, _ in batch],
            [self._head(file.row) for file, _ in batch],
            plain,
            owner=True,
        )
        files = size = 0
        for (file, directory), temp, done, result in zip(batch, temps, whole, results, strict=True):
            if (result == _DONE and done) or self._finished(file, directory, temp, done, result, plain):
                files += 1
                size += file.length
        self._site.tally.restored(files, size, size, row_path(batch[-1][0].row))

    def _finished(
        self, file: Small, directory: Directory, temp: bytes, done: bool, result: _Result, plain: Buffer
    ) -> bool:
        """Whether a file that did not just go well is in place in the end."""
        code, step, *refused = result
        entry = parse_row(file.row)
        try:
            if code and step == "rename" and code in _IN_THE_WAY and done:
                return self._write_over(file, directory, plain)
            if code:
                raise OSError(code, os.strerror(code))
            if not done:
                apply_metadata(directory.fd, temp, entry, self._site.owners, self._site.tally.problems)
                directory.rename(temp, file.name)
                return True
        except (OSError, TargetError) as error:
            self._site.refused(entry.path, error, entry.link)
            return False
        for kind, number in zip(("owner", "mode", "time"), refused, strict=True):
            if number:
                self._site.tally.problems.add(kind, entry.path, reason_of(OSError(number, os.strerror(number))))
        return True

    def _write_over(self, file: Small, directory: Directory, plain: Buffer) -> bool:
        """Write a file where something stands that a rename alone does not replace. OSError, TargetError."""
        temp = self._site.target.temporary()
        (result,) = write_files(
            [directory.fd], [temp], [temp], [file.start], [file.length], [self._head(file.row)], plain, owner=True
        )
        if result[0]:
            raise OSError(result[0], os.strerror(result[0]))
        directory.rename(temp, file.name)
        return True

    def _head(self, row: bytes) -> bytes:
        """The head of a row with its owner and group as they are on this host."""
        owner = row[HEAD_AT + 4 : HEAD_AT + 12]
        here = self._owners.get(owner)
        if here is None:
            uid, gid = int.from_bytes(owner[:4], "little"), int.from_bytes(owner[4:], "little")
            owners = self._site.owners
            here = self._owners[owner] = owners.uid(uid).to_bytes(4, "little") + owners.gid(gid).to_bytes(4, "little")
        if here == owner:
            return row[HEAD_AT:HEAD_END]
        return row[HEAD_AT : HEAD_AT + 4] + here + row[HEAD_AT + 12 : HEAD_END]


def _release(held: dict[bytes, Directory]) -> None:
    for directory in held.values():
        directory.release()
    held.clear()
