"""The tree that a tar archive stands for: its own members, and of an incremental one what the level before it held.

Rule: what the archive holds replaces what was there under the path; a folder with a listing keeps of what was there
only what the listing names; everything else stays. An archive of the old tool has no listings: what was removed between
two of its levels stays, as it did when that tool restored them. Pure: rows in path order in, rows in path order out.
"""

import os
from collections.abc import Iterable, Iterator

from blake3 import blake3

from .entry import HEAD_AT, HEAD_END, extra, make_row, order_key, pack_extents, parse_row
from .restore_rows import DIRECTORY, row_mode
from .selection import is_within

Row = tuple[bytes, bytes]  # path, row


def listed_names(listing: bytes) -> frozenset[bytes]:
    """The names that a folder's listing says are in it: each behind a letter, and a zero byte after it."""
    return frozenset(item[1:] for item in listing.split(b"\0") if item[:1] in (b"Y", b"N", b"D"))


def merged(before: Iterable[Row], members: Iterable[Row], listings: dict[bytes, frozenset[bytes]]) -> Iterator[Row]:
    """The rows of the level before with the members of an incremental archive laid over them."""
    old, gone = iter(before), b""
    row = next(old, None)

    def keep(path: bytes) -> bool:
        nonlocal gone
        if gone and is_within(path, gone):
            return False
        names = listings.get(os.path.dirname(path))
        if names is not None and os.path.basename(path) not in names:
            gone = path
            return False
        return True

    for path, member in members:
        while row is not None and order_key(row[0]) < order_key(path):
            if keep(row[0]):
                yield row
            row = next(old, None)
        yield path, member
        if row is not None and row[0] == path:
            row = next(old, None)
        if row_mode(member) >> 8 & 0xF0 != DIRECTORY:
            gone = path  # what was below a folder of this name went with it
    while row is not None:
        if keep(row[0]):
            yield row
        row = next(old, None)


def linked_rows(first: bytes, names: Iterable[bytes]) -> list[Row]:
    """The rows of a file of several names: that of `first`, whose row is given, and of its other names."""
    entry = parse_row(first)
    every = sorted({entry.path, *names})
    head = first[HEAD_AT : HEAD_AT + 12] + len(every).to_bytes(4, "little") + first[HEAD_AT + 16 : HEAD_END]
    number = int.from_bytes(blake3(entry.path).digest(8), "little")
    more = extra(target=entry.target, xattrs=entry.xattrs, flags=entry.flags, link=(0, number), indirect=entry.indirect)
    extents = pack_extents(entry.extents)
    return [(path, make_row(path, head, extents, more)) for path in every]


def topmost(rows: Iterable[Row], most: int) -> tuple[bytes, ...]:
    """The paths that lie below no other, of rows in path order; just '/' where they are more than `most`."""
    found: list[bytes] = []
    for path, _ in rows:
        if not found or not is_within(path, found[-1]):
            found.append(path)
            if len(found) > most:
                return (b"/",)
    return tuple(found)
