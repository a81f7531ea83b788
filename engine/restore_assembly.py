"""Files that are put together of several pieces, in any order and by several threads, and where a restore happens.

Rule: an `Assembly` counts what is still to come; whoever brings the last piece gives the file its metadata and its
name. One failed piece fails the file: its temporary is gone at once, and pieces that still come are dropped.
A full target ends the restore (TargetFull). Anything else that goes wrong with one entry is that entry's failure.
"""

import errno
import threading
from collections.abc import Iterable, Sequence

from msgspec import Struct, field

from .create import BigFile
from .entry import HEAD_AT, HEAD_END, Entry
from .errors import TargetError, TargetFull
from .owners import OwnerMap
from .problems import reason_of
from .restore_tally import Tally
from .target import Target

FULL = (errno.ENOSPC, errno.EDQUOT)
_OWNER = slice(HEAD_AT + 4, HEAD_AT + 12)  # of a row: uid and gid


class Site(Struct):
    """Where a restore happens, and its records. `base`: what is cut off the paths of the level. `patch`: large files of
    which something is there are changed where they stand, and not written anew: for what nobody uses meanwhile.
    """

    target: Target
    owners: OwnerMap
    tally: Tally
    base: bytes = b""
    patch: bool = False
    assemblies: set["Assembly"] = field(default_factory=set)

    def below(self, path: bytes) -> bytes:
        """The path below the target of a path of the level."""
        return path[len(self.base) :] or b"/"

    def above(self, path: bytes) -> bytes:
        """The path of the level, of a path below the target."""
        return self.base + path if path != b"/" or not self.base else self.base

    def heads(self, rows: Sequence[bytes]) -> list[bytes]:
        """The heads of rows, with owner and group as they are on this host."""
        here = {owner: self._owner_here(owner) for owner in {row[_OWNER] for row in rows}}
        if all(owner == mapped for owner, mapped in here.items()):
            return [row[HEAD_AT:HEAD_END] for row in rows]
        return [row[HEAD_AT : _OWNER.start] + here[row[_OWNER]] + row[_OWNER.stop : HEAD_END] for row in rows]

    def _owner_here(self, owner: bytes) -> bytes:
        uid, gid = int.from_bytes(owner[:4], "little"), int.from_bytes(owner[4:], "little")
        return self.owners.uid(uid).to_bytes(4, "little") + self.owners.gid(gid).to_bytes(4, "little")

    def refused(self, path: bytes, error: Exception) -> None:
        """Note that the entry at this path of the level failed. Raises TargetFull when nothing more can be written."""
        if isinstance(error, OSError) and error.errno in FULL:
            raise self.full(error.errno) from error
        self.tally.fail(path, reason_of(error) if isinstance(error, OSError) else str(error))

    def show(self, paths: Iterable[bytes]) -> None:
        """Give directories below the target that are hidden their names. Raises TargetFull."""
        for path, error in self.target.show(paths).items():
            self.refused(self.above(path), error)

    def full(self, number: int) -> TargetFull:
        """The error for a target that is full."""
        what = "no room is left" if number == errno.ENOSPC else "the quota is used up"
        root = self.target.terms.root.decode("utf-8", "backslashreplace")
        return TargetFull(f"{root}: {what}", hint="make room and run the same command again: it goes on from there")

    def abandon(self) -> None:
        """Remove the temporaries of all files that are not whole, and show what is hidden."""
        while self.assemblies:
            self.assemblies.pop().abandon()
        self.target.show_all()


class Assembly:
    """A file in the making, of `entry.size` bytes. What nobody writes stays a hole."""

    __slots__ = ("_big", "_coming", "_ended", "_lock", "_pending", "_site", "_written", "entry", "patched", "path")

    def __init__(self, site: Site, path: bytes, entry: Entry, *, patched: bool = False) -> None:
        """`path`: below the target; `patched`: the file that stands there is changed. Nothing is opened before the
        first piece comes. The maker settles it, too.
        """
        self.entry, self.path, self.patched = entry, path, patched
        self._site = site
        self._lock = threading.Lock()
        self._big: BigFile | None = None
        self._pending = 1
        self._written = 0
        self._ended = False
        self._coming: list[tuple[int, int]] = []  # (start, end) of data that is planned, with no room reserved yet

    def foresee(self, at: int, length: int) -> None:
        """So many bytes will be written there. Calls come in the order of the file."""
        with self._lock:
            last = self._coming[-1] if self._coming else None
            if last is not None and last[1] == at:
                self._coming[-1] = last[0], at + length
            else:
                self._coming.append((at, at + length))

    def expect(self) -> None:
        """One more piece will come: it is written and settled, or the file fails."""
        with self._lock:
            self._pending += 1

    def write(self, at: int, data: memoryview) -> None:
        """Write a piece at its place. Raises TargetFull."""
        try:
            with self._lock:
                if self._ended:
                    return
                big = self._big or self._open()
                for start, end in self._coming:
                    big.reserve(start, end)
                self._coming.clear()
                self._written += len(data)
            big.write(at, data)
        except (OSError, TargetError) as error:
            self._refuse(error)

    def settle(self) -> None:
        """A piece is done. With the last one the file gets its metadata and its name. Raises TargetFull."""
        try:
            with self._lock:
                self._pending -= 1
                if self._pending or self._ended:
                    return
                big = self._big or self._open()
                self._ended = True
            big.finish(self._site.owners, self._site.tally.problems)
        except (OSError, TargetError) as error:
            self._refuse(error)
            return
        self._site.assemblies.discard(self)
        self._site.tally.restored(1, self.entry.size, self._written, self.path)

    def fail(self, reason: str, *, damaged: bool = False) -> None:
        """Give the file up. See Tally.fail."""
        self._site.tally.fail(self.entry.path, reason, damaged=damaged)
        self.abandon()

    def abandon(self) -> None:
        """Remove what was written, if the file is not whole."""
        with self._lock:
            self._ended, big, self._big = True, self._big, None
        if big is not None:
            big.abandon()
        self._site.assemblies.discard(self)

    def _open(self) -> BigFile:
        self._big = big = BigFile(self._site.target, self.path, self.entry, in_place=self.patched)
        self._site.assemblies.add(self)
        return big

    def _refuse(self, error: OSError | TargetError) -> None:
        if self._ended and self._big is None:
            return  # it was given up while this thread was writing
        self.abandon()
        self._site.refused(self.entry.path, error)
