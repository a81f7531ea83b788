"""Listing: the entries in a folder of a level, or all that lies below it.

Rule: paths come in the order of manifests (by components), each once, also where several file sets hold it. Contents
are not read. Listing one folder of a level of a million files reads only the manifest chunks that its entries are in.
Finding paths over all levels, and what differs between two, are in browse_find and browse_diff.
"""

import heapq
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from siltstone.store import Store

from .entry import HEAD_AT, Entry, order_key, parse_row, row_path, rows
from .errors import NothingSelected
from .events import show_path
from .levels import Level
from .manifest import ManifestReader
from .scan import DIRECTORY, TYPE_AT
from .selection import is_within

PathRow = tuple[bytes, bytes]


def list_entries(store: Store, level: Level, path: bytes | None = None, *, recursive: bool = False) -> Iterator[Entry]:
    """The entries in a folder, or everything below it; of a path that is no folder, itself.

    Without a path: the topmost entries there are, or all. In folders above what was backed up, too, the topmost entries
    are listed. Raises NothingSelected when the level has nothing there, Corrupt, ObjectMissing.
    """
    readers = [ManifestReader(store, level, files) for files in level.sets]
    folder = None if path is None else path.rstrip(b"/") or b"/"
    row = None if folder is None else _row_at(readers, folder)
    if row is not None and row[HEAD_AT + TYPE_AT] & 0xF0 != DIRECTORY:
        yield parse_row(row)
        return
    below = [_below(reader, folder) if recursive else _topmost(store, reader, folder) for reader in readers]
    empty = row is None and folder is not None
    for found in _merged(below, nested=recursive):
        empty = False
        yield parse_row(found)
    if empty and folder is not None:
        hint = "'silt ls' without a path shows what was backed up"
        raise NothingSelected(f"level {level.ref} holds no {show_path(folder)}", hint=hint)


def _merged(streams: Sequence[Iterator[PathRow]], *, nested: bool) -> Iterator[bytes]:
    """Rows of several file sets in path order; a path that several of them have comes from the first of these.

    Unless `nested`, what lies below the row before it is left out, too: one file set may be rooted inside another.
    """
    last = b""
    for path, row in heapq.merge(*streams, key=lambda found: order_key(found[0])):
        if path != last and (nested or not last or not is_within(path, last)):
            last = path
            yield row


def _row_at(readers: Sequence[ManifestReader], path: bytes) -> bytes | None:
    """The row of exactly this path, in the first file set that has it."""
    for reader in readers:
        found = next(reader.rows(under=path), None)
        if found and found[0] == path:
            return found[1]
    return None


def _below(reader: ManifestReader, folder: bytes | None) -> Iterator[PathRow]:
    return (found for found in reader.rows(under=folder) if found[0] != folder)


def _topmost(store: Store, reader: ManifestReader, folder: bytes | None) -> Iterator[PathRow]:
    """The rows below a folder that are below no other of them: its entries, or the roots that lie deeper in it.

    After each, the search goes on behind everything below it: whole manifest chunks are passed over.
    """
    prefix = b"" if folder is None else folder if folder == b"/" else folder + b"/"
    chunks = list(reader.chunks())
    keys = [order_key(first) for _, first in chunks]
    sought = order_key(prefix)
    at = max(0, bisect_right(keys, sought) - 1)
    while at < len(chunks):
        for row in rows(store.read_chunk(chunks[at][0])):
            path = row_path(row)
            key = order_key(path)
            if key < sought or path == folder:
                continue
            if not path.startswith(prefix):
                return
            yield path, row
            sought = b"\1" if path == b"/" else key + b"\1"  # the keys of what is below it go on with a zero
        at = max(at + 1, bisect_right(keys, sought) - 1)
