"""Which entries an incremental tar archive holds: what changed from one level to another, and what each folder lists.

The rules are those of GNU tar's incremental archives ("Dumpdir", in its manual): a folder in which something came,
changed or went is a member with the names of all that is in it, each behind a letter; `tar --incremental -x` removes
what is there and not listed. Rule: rows differ when any byte of them does, so that a change of an inode's number is a
change, too, and all names of a file come together. Pure: rows in, decisions out. Memory holds the names in the folders
above the current row, and the listings of folders that changed.

It cannot say that a path went that a file set named itself, since no folder in the archive lists it: `gone_roots`.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from .entry import order_key
from .restore_rows import DIRECTORY, row_mode
from .selection import is_within

Rows = Iterable[tuple[bytes, bytes]]  # (path, row) in path order, each path once

IN_ARCHIVE, UNCHANGED, FOLDER = b"Y", b"N", b"D"


class Compared(NamedTuple):
    """A path of either level. `row` is that of the later one, None when it went."""

    path: bytes
    row: bytes | None
    changed: bool


def compare(before: Rows, after: Rows) -> Iterator[Compared]:
    """Both levels merged, in path order."""
    old = iter(before)
    path, row = next(old, (None, b""))
    for new_path, new_row in after:
        while path is not None and path != new_path and order_key(path) < order_key(new_path):
            yield Compared(path, None, True)
            path, row = next(old, (None, b""))
        same = path == new_path
        yield Compared(new_path, new_row, not same or row != new_row)
        if same:
            path, row = next(old, (None, b""))
    while path is not None:
        yield Compared(path, None, True)
        path, row = next(old, (None, b""))


class _Folder:
    """A folder above the current row."""

    def __init__(self, path: bytes, *, changed: bool) -> None:
        self.path = path
        self.prefix = path if path == b"/" else path + b"/"
        self.changed = changed
        self.names: list[bytes] = []


class FolderListings:
    """The listing of each folder that has to be in the archive, by its path; and roots that went."""

    def __init__(self, compared: Iterable[Compared]) -> None:
        self.of: dict[bytes, bytes] = {}
        self.gone_roots: list[bytes] = []
        self._open: list[_Folder] = []
        self._covered: bytes | None = None  # the last path that went, or is no folder: what lay below went with it
        for each in compared:
            self._take(each)
        self._close(lambda _: True)

    def _take(self, each: Compared) -> None:
        self._close(lambda folder: not each.path.startswith(folder.prefix))
        name = os.path.basename(each.path)
        parent = self._open[-1] if self._open and self._open[-1].path == os.path.dirname(each.path) else None
        if each.row is None:
            if parent is not None:
                parent.changed = True
            elif self._covered is None or not is_within(each.path, self._covered):
                self.gone_roots.append(each.path)
            if self._covered is None or not is_within(each.path, self._covered):
                self._covered = each.path
            return
        is_folder = row_mode(each.row) >> 8 & 0xF0 == DIRECTORY
        if parent is not None:
            letter = FOLDER if is_folder else IN_ARCHIVE if each.changed else UNCHANGED
            parent.names.append(letter + name + b"\0")
            parent.changed |= each.changed
        if is_folder:
            self._open.append(_Folder(each.path, changed=each.changed))
        else:
            self._covered = each.path

    def _close(self, is_over: Callable[[_Folder], bool]) -> None:
        while self._open and is_over(self._open[-1]):
            folder = self._open.pop()
            if folder.changed:
                self.of[folder.path] = b"".join(folder.names) + b"\0"


def members(compared: Iterable[Compared], listings: FolderListings) -> Iterator[tuple[bytes, bytes]]:
    """(row, listing of the folder or empty) of each member, in path order."""
    for path, row, changed in compared:
        if row is None:
            continue
        listing = listings.of.get(path, b"")
        if changed or listing:
            yield row, listing
