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
from .errors import TargetError, TargetFull
from .files import write_files
from .metadata import apply_metadata
from .problems import reason_of
from .restore_assembly import Site
from .restore_plan import Batch

# With these a rename tells that something stands there that only Directory.rename may judge.
_IN_THE_WAY = (errno.EISDIR, errno.EPERM, errno.EACCES)
_DONE = (0, "", 0, 0, 0)
_OWNER = slice(HEAD_AT + 4, HEAD_AT + 12)  # of a row: uid and gid

Buffer = memoryview | bytes
_Result = tuple[int, str, int, int, int]


class SmallWriter:
    """Writes small files. Any thread."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def write(self, batch: Batch, plain: Buffer) -> None:
        """Write files whose contents lie in `plain`. Raises TargetFull."""
        try:
            with self._site.target.directory(batch.directory) as directory:
                if not directory.covered or any(name in (b"", b".", b"..") or b"\0" in name for name in batch.names):
                    batch = self._allowed(batch, directory)
                if batch.plain and not directory.inherits:
                    self._write_plain(batch, directory, plain)
                else:
                    self._write_others(batch, directory, plain)
        except (OSError, TargetError) as error:
            for row in batch.rows:
                self._refused(row, error)

    def _allowed(self, batch: Batch, directory: Directory) -> Batch:
        """The files of a batch whose names may be written; the call for many refuses all for one name that is none."""
        allowed = Batch(batch.directory, plain=batch.plain)
        for name, start, length, row in zip(batch.names, batch.starts, batch.lengths, batch.rows, strict=True):
            try:
                directory.check(name)
            except TargetError as error:
                self._refused(row, error)
                continue
            allowed.names.append(name)
            allowed.starts.append(start)
            allowed.lengths.append(length)
            allowed.rows.append(row)
        return allowed

    def _write_plain(self, batch: Batch, directory: Directory, plain: Buffer) -> None:
        # One temporary name is enough: each file has its own before the next is begun.
        temporaries = [self._site.target.temporary()] * len(batch.names)
        results = self._call(batch, directory, batch.names, temporaries, plain)
        files, size = len(results), sum(batch.lengths)
        if results.count(_DONE) != files:
            for at, result in enumerate(results):
                if result != _DONE and not self._is_there(batch, at, result, directory, plain):
                    files -= 1
                    size -= batch.lengths[at]
        if files:
            self._site.tally.restored(files, size, size, row_path(batch.rows[-1]))

    def _call(
        self, batch: Batch, directory: Directory, names: Sequence[bytes], temporaries: Sequence[bytes], plain: Buffer
    ) -> list[_Result]:
        directories, heads = [directory.fd] * len(names), self._heads(batch.rows)
        return write_files(directories, names, temporaries, batch.starts, batch.lengths, heads, plain, owner=True)

    def _is_there(self, batch: Batch, at: int, result: _Result, directory: Directory, plain: Buffer) -> bool:
        """Whether a file that did not simply go well is in place in the end."""
        code, step, *refused = result
        if code and step == "rename" and code in _IN_THE_WAY:
            one = Batch(batch.directory, plain=False)
            one.names, one.starts, one.lengths, one.rows = (
                [batch.names[at]], [batch.starts[at]], [batch.lengths[at]], [batch.rows[at]],
            )  # fmt: skip
            self._write_others(one, directory, plain)
            return False  # counted there, if it is
        entry = parse_row(batch.rows[at])
        if code:
            self._refused(batch.rows[at], OSError(code, os.strerror(code)))
            return False
        for kind, number in zip(("owner", "mode", "time"), refused, strict=True):
            if number:
                self._site.tally.problems.add(kind, entry.path, reason_of(OSError(number, os.strerror(number))))
        return True

    def _write_others(self, batch: Batch, directory: Directory, plain: Buffer) -> None:
        """Files that get more than their heads say, or stand where something is in the way."""
        site = self._site
        temporaries = [site.target.temporary() for _ in batch.names]
        results = self._call(batch, directory, temporaries, temporaries, plain)  # under equal names nothing is renamed
        for at, (temporary, (code, *_)) in enumerate(zip(temporaries, results, strict=True)):
            entry = parse_row(batch.rows[at])
            try:
                if code:
                    raise OSError(code, os.strerror(code))
                apply_metadata(directory.fd, temporary, entry, site.owners, site.tally.problems)
                directory.rename(temporary, batch.names[at])
                site.tally.restored(1, batch.lengths[at], batch.lengths[at], entry.path)
            except (OSError, TargetError) as error:
                try:
                    self._refused(batch.rows[at], error)
                except TargetFull:
                    for left in temporaries[at:]:
                        directory.drop(left)
                    raise

    def _refused(self, row: bytes, error: OSError | TargetError) -> None:
        self._site.refused(row_path(row), error)

    def _heads(self, rows: Sequence[bytes]) -> list[bytes]:
        """The heads of rows with owner and group as they are on this host."""
        here = {owner: self._owner_here(owner) for owner in {row[_OWNER] for row in rows}}
        if all(owner == mapped for owner, mapped in here.items()):
            return [row[HEAD_AT:HEAD_END] for row in rows]
        return [row[HEAD_AT : _OWNER.start] + here[row[_OWNER]] + row[_OWNER.stop : HEAD_END] for row in rows]

    def _owner_here(self, owner: bytes) -> bytes:
        uid, gid = int.from_bytes(owner[:4], "little"), int.from_bytes(owner[4:], "little")
        owners = self._site.owners
        return owners.uid(uid).to_bytes(4, "little") + owners.gid(gid).to_bytes(4, "little")
