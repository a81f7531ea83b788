"""Looking into levels: listing a folder, finding paths over all levels, and what differs between two levels.

Rule: paths come in the order of manifests (by components), each once, also where several file sets hold it. Nothing
here reads contents. Listing one folder of a level of a million files reads the few manifest chunks that its entries
are in. What `find` and `diff` do is said where they are: browse_find and browse_diff.
"""

import heapq
from bisect import bisect_right
from collections.abc import Iterator, Sequence

from siltstone.store import Store

from .browse_diff import Change, diff
from .browse_find import Found, FoundVersion, find
from .entry import Entry, order_key, parse_row, row_path, rows
from .errors import NothingSelected
from .events import show_path
from .levels import Level
from .manifest import ManifestReader

__all__ = ["Change", "Found", "FoundVersion", "diff", "find", "list_entries"]

PathRow = tuple[bytes, bytes]


def list_entries(store: Store, level: Level, path: bytes | None = None, *, recursive: bool = False) -> Iterator[Entry]:
    """The entries in a folder, or everything below it; of a path that is no folder, itself.

    Without a path, and for folders above what was backed up: the topmost entries there are. Raises NothingSelected when
    the level has nothing there, Corrupt, ObjectMissing.
    """
    folder = b"/" if path is None else path.rstrip(b"/") or b"/"
    readers = [ManifestReader(store, level, files) for files in level.sets]
    alone = path is not None and _that_is_no_folder(readers, folder)
    if alone:
        yield parse_row(alone)
        return
    below = [_below(reader, folder) if recursive else _topmost(store, reader, folder) for reader in readers]
    empty = True
    for _, row in merged(below):
        empty = False
        yield parse_row(row)
    if empty and path is not None and not any(_at(reader, folder) for reader in readers):
        hint = "'silt ls' without a path shows what was backed up"
        raise NothingSelected(f"level {level.ref} holds no {show_path(folder)}", hint=hint)


def merged(streams: Sequence[Iterator[PathRow]]) -> Iterator[PathRow]:
    """Rows of several file sets in path order; a path that several of them have comes from the first of these."""
    last = None
    for path, row in heapq.merge(*streams, key=lambda found: order_key(found[0])):
        if path != last:
            last = path
            yield path, row


def _at(reader: ManifestReader, path: bytes) -> bytes | None:
    """The row of exactly this path."""
    found = next(reader.rows(under=path), None)
    return found[1] if found and found[0] == path else None


def _that_is_no_folder(readers: Sequence[ManifestReader], path: bytes) -> bytes | None:
    for reader in readers:
        row = _at(reader, path)
        if row is not None and row[5] & 0xF0 != 0x40:
            return row
    return None


def _below(reader: ManifestReader, folder: bytes) -> Iterator[PathRow]:
    return (found for found in reader.rows(under=folder) if found[0] != folder or folder == b"/")


def _topmost(store: Store, reader: ManifestReader, folder: bytes) -> Iterator[PathRow]:
    """The rows below a folder that are below no other row: its entries, or the roots that lie deeper in it.

    After each, the search goes on behind everything below it: whole manifest chunks are passed over.
    """
    prefix = folder if folder == b"/" else folder + b"/"
    chunks = list(reader.chunks())
    keys = [order_key(first) for _, first in chunks]
    sought = order_key(prefix) if folder != b"/" else b""
    at = max(0, bisect_right(keys, sought) - 1)
    while at < len(chunks):
        for row in rows(store.read_chunk(chunks[at][0])):
            path = row_path(row)
            key = order_key(path)
            if key < sought:
                continue
            if not path.startswith(prefix):
                return
            yield path, row
            sought = key + b"\1"  # the keys of what is below it go on with a zero
            if path == b"/":
                sought = key
        at = max(at + 1, bisect_right(keys, sought) - 1)
