"""Writing small files out of a frame's plaintext, many in one call.

Rule: the call creates each file under a temporary name, whole and with what its row's head says, and renames it; the
interpreter lock is released meanwhile. A file that has more to it (attributes, or a directory that passes things on)
is left under the temporary name until that is put right. One file that fails fails alone; a full target ends all.

What is written is whole or it is not there, but it is not synced: that is the caller's choice.
"""

import errno
import os
from collections.abc import Mapping, Sequence

from .directory import Directory
from .entry import parse_row, row_path
from .errors import TargetError, TargetFull
from .files import write_files
from .metadata import apply_metadata
from .problems import reason_of
from .restore_assembly import Site
from .restore_plan import Batch

# With these a rename tells that something stands there that only Directory.rename may judge.
_IN_THE_WAY = (errno.EISDIR, errno.EPERM, errno.EACCES)
_DONE = (0, "", 0, 0, 0)
_NO_NAMES = frozenset((b"", b".", b".."))

Buffer = memoryview | bytes
_Result = tuple[int, str, int, int, int]


class SmallWriter:
    """Writes small files. Any thread."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def write(self, batch: Batch, plain: Buffer) -> None:
        """Write files whose contents lie in `plain`. Raises TargetFull."""
        target = self._site.target
        held, refused = target.directories(batch.directories)
        try:
            usual = all(directory.covered and not directory.inherits for directory in held.values())
            if usual and batch.plain and not refused and _all_names(batch.names):
                self._write_plain(batch, held, plain)
                return
            for path, numbers in batch.by_directory().items():
                part = batch.part(numbers, plain=batch.plain)
                if path in held:
                    self._write_into(held[path], part, plain)
                else:
                    for row in part.rows:
                        self._refused(row, refused[path])
        finally:
            target.release(held.values())

    def _write_into(self, directory: Directory, batch: Batch, plain: Buffer) -> None:
        """Write files of one directory."""
        if not directory.covered or not _all_names(batch.names):
            batch = self._allowed(batch, directory)
        if batch.plain and not directory.inherits:
            self._write_plain(batch, {directory.path: directory}, plain)
        else:
            self._write_others(batch, directory, plain)

    def _allowed(self, batch: Batch, directory: Directory) -> Batch:
        """The files of a batch whose names may be written; the call for many refuses all for one name that is none."""
        allowed = []
        for at, name in enumerate(batch.names):
            try:
                directory.check(name)
            except TargetError as error:
                self._refused(batch.rows[at], error)
                continue
            allowed.append(at)
        return batch.part(allowed, plain=batch.plain)

    def _write_plain(self, batch: Batch, held: Mapping[bytes, Directory], plain: Buffer) -> None:
        # One temporary name is enough: each file has its own before the next is begun.
        temporaries = [self._site.target.temporary()] * len(batch.names)
        descriptors = {path: directory.fd for path, directory in held.items()}
        results = self._call(batch, [descriptors[path] for path in batch.directories], batch.names, temporaries, plain)
        files, size = len(results), sum(batch.lengths)
        if results.count(_DONE) != files:
            for at, result in enumerate(results):
                if result != _DONE and not self._is_there(batch, at, result, held[batch.directories[at]], plain):
                    files -= 1
                    size -= batch.lengths[at]
        if files:
            self._site.tally.restored(files, size, size, row_path(batch.rows[-1]))

    def _call(
        self,
        batch: Batch,
        descriptors: Sequence[int],
        names: Sequence[bytes],
        temporaries: Sequence[bytes],
        plain: Buffer,
    ) -> list[_Result]:
        heads = self._site.heads(batch.rows)
        return write_files(descriptors, names, temporaries, batch.starts, batch.lengths, heads, plain, owner=True)

    def _is_there(self, batch: Batch, at: int, result: _Result, directory: Directory, plain: Buffer) -> bool:
        """Whether a file that did not simply go well is in place in the end."""
        code, step, *refused = result
        if code and step == "rename" and code in _IN_THE_WAY:
            one = batch.part([at], plain=False)
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
        descriptors = [directory.fd] * len(temporaries)
        # Under equal names nothing is renamed.
        results = self._call(batch, descriptors, temporaries, temporaries, plain)
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


def _all_names(names: Sequence[bytes]) -> bool:
    """Whether each of them can be the name of a file."""
    joined = b"".join(names)
    return _NO_NAMES.isdisjoint(names) and b"\0" not in joined and b"/" not in joined
