"""The way of a restore through a level: what stands there is looked at, and the rest planned, window by window.

Rule: directories get their metadata when nothing below them is left to come. One that stands there is looked at while
the plan grows, a new one is made when it is first written into. In a directory that this restore makes nothing can be
in the way, so nothing is looked at; elsewhere each file is first compared with what stands there (`restore_inplace`),
and leftovers of interrupted restores are removed.
A directory that is made in one of which all is restored is hidden until its window is carried out or ends within it,
whichever is first: what is written until then is spared a rename.
The first name of a file with several is planned with its content, each further one as a link to it.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future

from msgspec import Struct

from siltstone.store import Corrupt, ObjectMissing

from .entry import Entry, parse_row
from .errors import TargetError
from .flags import LOCKS
from .problems import reason_of
from .restore_assembly import Assembly, Site
from .restore_check import Pace
from .restore_inplace import SMALL, Comparer, batches
from .restore_plan import WINDOW_FILES, Lost, Planner
from .restore_rows import LevelRows, Row, row_has_extra, row_mode, row_size
from .restore_window import Placed, Window

SLASH = ord("/")


class _Folder(Struct):
    """A folder above the current row. `fresh`: this restore made it; `chosen`: all of it is restored; `row`: its own,
    if metadata follows.
    """

    path: bytes
    prefix: bytes
    fresh: bool
    chosen: bool
    row: bytes | None


class _First(Struct):
    """The first name met of a file of several, a digest of its content, and how many names are still to come."""

    path: bytes
    content: int
    left: int


_NOWHERE = _Folder(b"", b"\0", False, False, None)


class Walk:
    """Plans the windows of a restore. One thread, the same for all of it."""

    def __init__(
        self, rows: LevelRows, planner: Planner, site: Site, comparer: Comparer, workers: Executor, pace: Pace
    ) -> None:
        self._rows, self._planner, self._site = rows, planner, site
        self._comparer, self._workers, self._pace = comparer, workers, pace
        self._cut = len(site.base)
        self._folders: list[_Folder] = []
        self._at = _NOWHERE  # the last of the folders
        self._finished: list[Placed] = []
        self._links: list[tuple[bytes, Placed]] = []
        self._candidates: list[Placed] = []  # small files that are to be compared
        self._looking: list[tuple[list[Placed], Future[list[bytes | bool | None]]]] = []
        self._firsts: dict[tuple[int, int], _First] = {}
        self._in_one_go = rows.overlap
        self.files = self.bytes = 0

    def windows(self) -> Iterator[Window]:
        """All windows; each is to be carried out before the one after the next is asked for."""
        for window in self._windows():
            self._site.show(folder.path for folder in self._folders)
            yield window

    def _windows(self) -> Iterator[Window]:
        for part in self._planner.ahead(self._rows.parts()):
            at = 0
            while at < len(part):
                at = self._take_plain(part, at)
                if at < len(part):
                    yield from self._take(part[at])
                at += 1
                if self._is_full():
                    yield from self._pass_on(last=False)
        self._leave(b"")
        yield from self._pass_on(last=True)

    def again(self, placed: Iterable[Placed]) -> Iterator[Window]:
        """Windows for further names that could not be links: the first of each file gets content once more."""
        rows = [(one, parse_row(one.row).link) for one in placed]
        waiting, self._links = self._links, []
        for _, link in rows:
            if link is not None:
                self._firsts.pop(link, None)
        for one, link in rows:
            if link is None or self._is_first(link, one):
                yield from self._plan(one, None) or ()
        window = self._planner.take()
        window.links, self._links = self._links, waiting
        yield window

    def _is_full(self) -> bool:
        finished = 0 if self._in_one_go else len(self._finished)
        return self._planner.full or max(finished, len(self._candidates) + len(self._looking)) >= WINDOW_FILES

    def _pass_on(self, *, last: bool) -> Iterator[Window]:
        yield from self._settle()
        window = self._planner.take()
        window.links, self._links = self._links, []
        if last and self._in_one_go:
            self._finished.sort(key=lambda one: -one.path.count(b"/"))
        if last or not self._in_one_go:
            window.directories, self._finished = self._finished, []
        yield window

    # ---- one row

    def _take_plain(self, rows: list[Row], at: int) -> int:
        """Plan plain files of the folder at hand, if this restore makes it. Where another row comes."""
        folder = self._at
        if not folder.fresh:
            return at
        end, size = self._planner.add_plain(rows, at, self._cut, folder.path, folder.prefix)
        self.files += end - at
        self.bytes += size
        return end

    def _take(self, row: Row) -> Iterator[Window]:
        """Plan a row; yields windows that become full meanwhile."""
        try:
            yield from self._planned(row) or ()
        except (OSError, TargetError) as error:
            self._site.refused(row.path, error)

    def _planned(self, row: Row) -> Iterator[Window] | None:
        """Plan a row. The iterator, where there is one, plans the rest of it and yields windows that become full."""
        path = self._site.below(row.path)
        self._leave(path)
        one = Placed(path, row.row)
        kind = stat.S_IFMT(row_mode(row.row))
        if kind == stat.S_IFDIR:
            self._enter(one, row.chosen)
            return None
        if kind == stat.S_IFREG:
            self.files += 1
            self.bytes += row_size(row.row)
        if row_has_extra(row.row):
            link = parse_row(row.row).link
            if link is not None and not self._is_first(link, one):
                return None
        fresh = self._folder(path).fresh
        if kind == stat.S_IFREG and not fresh:
            if row_size(one.row) > SMALL:  # it takes time, and the walk is only at its beginning
                self._compare([one])
            else:
                self._candidates.append(one)
            return None
        return self._plan(one, None)

    def _is_first(self, link: tuple[int, int], one: Placed) -> bool:
        """Whether this is the first name met of a file; a further one is noted as a link to it."""
        entry = parse_row(one.row)
        content = hash((entry.mode, entry.target, *entry.extents))
        first = self._firsts.get(link)
        if first is None:
            self._firsts[link] = _First(one.path, content, entry.nlink - 1)
            return True
        if first.content != content:
            return True  # another file, that was given the number of one that vanished while the level was made
        self._links.append((first.path, one))
        first.left -= 1
        if not first.left:
            del self._firsts[link]
        return False

    # ---- folders

    def _enter(self, one: Placed, chosen: bool) -> None:
        if self._at.chosen and not self._in_one_go:
            self._site.target.hide(one.path)
        fresh, covered = self._look_into(one.path)
        # A folder that was there, and only leads to what is selected, stays as it is; but going in may have taken away
        # what locks it (target.py).
        follows = fresh or (covered and (chosen or _locked(one.row)))
        prefix = one.path if one.path == b"/" else one.path + b"/"
        self._open(_Folder(one.path, prefix, fresh, chosen, one.row if follows else None))

    def _leave(self, path: bytes) -> None:
        """Close the folders in which this path is not."""
        while self._folders and not path.startswith(self._at.prefix):
            folder = self._folders.pop()
            self._at = self._folders[-1] if self._folders else _NOWHERE
            if folder.row is not None:
                self._finished.append(Placed(folder.path, folder.row))

    def _folder(self, path: bytes) -> _Folder:
        """The folder in which a path lies, also where the level has no entry for it. OSError, TargetError."""
        parent = path.rpartition(b"/")[0] or b"/"
        if self._at.path != parent:
            fresh, _ = self._look_into(parent)
            self._open(_Folder(parent, parent if parent == b"/" else parent + b"/", fresh, False, None))
        return self._at

    def _open(self, folder: _Folder) -> None:
        self._folders.append(folder)
        self._at = folder

    def _look_into(self, path: bytes) -> tuple[bool, bool]:
        """Whether a folder is one that this restore makes, and whether it is covered. OSError, TargetError.

        In one that it makes nothing stands: what lies in there is made by whoever first writes into it.
        """
        if self._at.fresh:
            return True, True
        with self._site.target.directory(path) as directory:
            if not directory.fresh:
                self._tidy(path)
            return directory.fresh, directory.covered

    def _tidy(self, path: bytes) -> None:
        try:
            with self._site.target.directory(path) as directory:
                directory.remove_leftovers()
        except OSError as error:
            self._site.tally.problems.add("leftovers of an interrupted restore", path, reason_of(error))

    # ---- contents

    def _plan(self, one: Placed, there: bytes | None) -> Iterator[Window] | None:
        if not stat.S_ISREG(row_mode(one.row)):
            self._planner.window.specials.append(one)
            return None
        directory, _, name = one.path.rpartition(b"/")
        entry = parse_row(one.row)
        try:
            quick = there is None and not entry.indirect and not entry.flags
            if quick and self._planner.add_small(directory or b"/", name, one.row, entry):
                return None
            if not entry.indirect or entry.changed:
                entry.size = sum(extent.size for extent in self._rows.extents(entry))
        except (Lost, Corrupt, ObjectMissing) as error:
            self._site.tally.fail(entry.path, str(error), damaged=True)
            return None
        return self._assemble(one.path, entry, there)

    def _assemble(self, path: bytes, entry: Entry, there: bytes | None) -> Iterator[Window]:
        # A large file is there once it is whole, should the restore be killed: no folder above it stays hidden.
        self._site.show(path[:at] for at in range(1, len(path)) if path[at] == SLASH)
        file = Assembly(self._site, path, entry, patched=self._site.patch and there is not None)
        return self._planner.add_pieces(file, self._rows.packed_extents(entry), there)

    def _settle(self) -> Iterator[Window]:
        """Compare what stands where files are to be, and plan those that are not right."""
        for small in batches(self._candidates):
            self._compare(small)
        looking, self._looking, self._candidates = self._looking, [], []
        try:
            self._pace.wait([future for _, future in looking], "compare")
            for group, future in looking:
                for one, there in zip(group, future.result(), strict=True):
                    if there is not True:
                        yield from self._plan(one, there or None) or ()
                    if self._planner.full:
                        yield self._planner.take()
        finally:
            for _, future in looking:
                future.cancel()

    def _compare(self, group: list[Placed]) -> None:
        self._looking.append((group, self._workers.submit(self._look, group)))

    def _look(self, group: list[Placed]) -> list[bytes | bool | None]:
        """Keep the files that are right (True); of the others, what is there of them."""
        answers: list[bytes | bool | None] = []
        for one, found in zip(group, self._comparer.look(group), strict=True):
            answers.append(True if found.right else found.there)
            if found.right:
                try:
                    self._comparer.keep(self._site, one, found)
                except (OSError, TargetError) as error:
                    self._site.refused(parse_row(one.row).path, error)
        return answers


def _locked(row: bytes) -> bool:
    """Whether a folder is one that even its owner cannot change as it stands."""
    entry = parse_row(row)
    return bool(entry.flags & LOCKS) or (os.geteuid() != 0 and bool(~entry.mode & stat.S_IRWXU))
