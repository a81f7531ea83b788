"""Writing small files out of a frame's plaintext, many in one call.

Rule: the call creates each file under a temporary name, whole and with what its row's head says, and renames it, or at
once under its own in a hidden directory; the interpreter lock is released meanwhile. A file that has more to it
(attributes, or a directory that passes things on) is left under the temporary name until that is put right. One file
that fails fails alone; a full target ends all.

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
from .restore_window import Batch, SmallFile

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
        held, refused = target.directories(file[0] for file in batch.files)
        try:
            usual = batch.plain and not refused and _all_names([file[1] for file in batch.files])
            if usual and all(directory.covered and not directory.inherits for directory in held.values()):
                self._write_plain(batch.files, held, plain)
                return
            for path, part in batch.by_directory().items():
                if path in held:
                    self._write_into(held[path], part, plain)
                else:
                    for file in part.files:
                        self._refused(file, refused[path])
        finally:
            target.release(held.values())

    def _write_into(self, directory: Directory, batch: Batch, plain: Buffer) -> None:
        """Write files of one directory."""
        files = batch.files
        if not directory.covered or not _all_names([file[1] for file in files]):
            files = [file for file in files if self._is_allowed(file, directory)]
        if not files:
            return
        if batch.plain and not directory.inherits:
            self._write_plain(files, {directory.path: directory}, plain)
        else:
            self._write_others(files, directory, plain)

    def _is_allowed(self, file: SmallFile, directory: Directory) -> bool:
        """Whether its name may be written; the call for many refuses all for one name that is none."""
        try:
            directory.check(file[1])
        except TargetError as error:
            self._refused(file, error)
            return False
        return True

    def _write_plain(self, files: Sequence[SmallFile], held: Mapping[bytes, Directory], plain: Buffer) -> None:
        # One temporary name is enough: each file has its own before the next is begun.
        names, temporary = [file[1] for file in files], self._site.target.temporary()
        found = {path for path, directory in held.items() if not directory.hidden}
        temporaries = [temporary if file[0] in found else file[1] for file in files] if found else names
        descriptors = {path: directory.fd for path, directory in held.items()}
        results = self._call(files, descriptors, names, temporaries, plain)
        count, size = len(files), sum(file[3] for file in files)
        if results.count(_DONE) != count:
            for file, result in zip(files, results, strict=True):
                if result != _DONE and not self._is_there(file, result, held[file[0]], plain):
                    count -= 1
                    size -= file[3]
        if count:
            self._site.tally.restored(count, size, size, row_path(files[-1][4]))

    def _call(
        self,
        files: Sequence[SmallFile],
        descriptors: Mapping[bytes, int],
        names: Sequence[bytes],
        temporaries: Sequence[bytes],
        plain: Buffer,
    ) -> list[_Result]:
        directories, _, starts, lengths, rows = zip(*files, strict=True)
        where = [descriptors[path] for path in directories]
        return write_files(where, names, temporaries, starts, lengths, self._site.heads(rows), plain, owner=True)

    def _is_there(self, file: SmallFile, result: _Result, directory: Directory, plain: Buffer) -> bool:
        """Whether a file that did not simply go well is in place in the end."""
        code, step, *refused = result
        if code and step == "rename" and code in _IN_THE_WAY:
            self._write_others([file], directory, plain)
            return False  # counted there, if it is
        if code:
            self._refused(file, OSError(code, os.strerror(code)))
            return False
        for kind, number in zip(("owner", "mode", "time"), refused, strict=True):
            if number:
                why = reason_of(OSError(number, os.strerror(number)))
                self._site.tally.problems.add(kind, row_path(file[4]), why)
        return True

    def _write_others(self, files: Sequence[SmallFile], directory: Directory, plain: Buffer) -> None:
        """Files that get more than their heads say, or stand where something is in the way."""
        site = self._site
        temporaries = [site.target.temporary() for _ in files]
        # Under equal names nothing is renamed.
        results = self._call(files, {directory.path: directory.fd}, temporaries, temporaries, plain)
        for at, (file, temporary, (code, *_)) in enumerate(zip(files, temporaries, results, strict=True)):
            entry = parse_row(file[4])
            try:
                if code:
                    raise OSError(code, os.strerror(code))
                apply_metadata(directory.fd, temporary, entry, site.owners, site.tally.problems)
                directory.rename(temporary, file[1])
                site.tally.restored(1, file[3], file[3], entry.path)
            except (OSError, TargetError) as error:
                try:
                    self._refused(file, error)
                except TargetFull:
                    for left in temporaries[at:]:
                        directory.drop(left)
                    raise

    def _refused(self, file: SmallFile, error: OSError | TargetError) -> None:
        self._site.refused(row_path(file[4]), error)


def _all_names(names: Sequence[bytes]) -> bool:
    """Whether each of them can be the name of a file."""
    joined = b"".join(names)
    return _NO_NAMES.isdisjoint(names) and b"\0" not in joined and b"/" not in joined
