"""What differs between two levels, path by path.

Rule: both manifests are walked side by side, and where they go on with the same manifest chunk it is passed over
unread: they are cut where paths say so, so after a difference they soon meet again. What two levels of a million files
with few changes cost is what changed. File sets are compared by name and
host, or by name alone where each level has one copy; what only one level has is added or removed.

Content differs when the lists of extents do. The same bytes always have the same extents, but for a file that got or
lost holes. Change times, inode numbers and numbers of links are no differences.
"""

import stat
from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from siltstone.store import ChunkId, Corrupt, Store

from .entry import Entry, order_key, parse_row, row_path, rows
from .levels import Level, SetInfo
from .manifest import ManifestReader

_TYPE = 0o170000


class Change(Struct, frozen=True):
    """A path that differs. `what` (of changed ones): content, mode, owner, mtime, type, xattrs, flags, target."""

    path: bytes
    kind: Literal["added", "removed", "changed"]
    what: frozenset[str]
    before: Entry | None
    after: Entry | None
    host: str = ""  # whose it is, where hosts have names


def diff(store: Store, a: Level, b: Level) -> Iterator[Change]:
    """What changed from level `a` to level `b`, file set by file set, in path order. Raises Corrupt, ObjectMissing."""
    for old, new in pairs(a.sets, b.sets):
        host = new.host if new else old.host if old else ""
        for change in _diff_sets(_Side(store, a, old), _Side(store, b, new)):
            yield replace(change, host=host) if host else change


def pairs(old: Sequence[SetInfo], new: Sequence[SetInfo]) -> list[tuple[SetInfo | None, SetInfo | None]]:
    """The file sets of two levels that are to be compared. Those of a name that each level has once go together, on
    whichever host they are: a deployment may have got hosts, or have moved.
    """
    found: list[tuple[SetInfo | None, SetInfo | None]] = []
    for name in dict.fromkeys(files.name for files in (*new, *old)):
        before, after = ([files for files in each if files.name == name] for each in (old, new))
        if len(before) == len(after) == 1:
            found.append((before[0], after[0]))
            continue
        on_old, on_new = ({files.host: files for files in each} for each in (before, after))
        found += [(on_old.get(host), on_new.get(host)) for host in dict.fromkeys([*on_new, *on_old])]
    return found


def changes(before: Entry, after: Entry) -> frozenset[str]:
    """In which respects two entries of one path differ."""
    aspects = {
        "mode": before.mode & ~_TYPE != after.mode & ~_TYPE,
        "owner": (before.uid, before.gid) != (after.uid, after.gid),
        "mtime": before.mtime_ns != after.mtime_ns,
        "xattrs": before.xattrs != after.xattrs,
        "flags": before.flags != after.flags,
    }
    if before.mode & _TYPE != after.mode & _TYPE:
        aspects["type"] = True
    else:
        aspects["content"] = _content(before) != _content(after)
        aspects["target"] = before.target != after.target
    return frozenset(aspect for aspect, differs in aspects.items() if differs)


def _content(entry: Entry) -> object:
    """What a file holds; of a device, its number."""
    if stat.S_ISREG(entry.mode):
        return entry.size, entry.indirect, entry.extents
    return entry.rdev


class _Side:
    """One level's rows of a file set. `path` is that of the next row (None: no more), known before it is read."""

    def __init__(self, store: Store, level: Level, files: SetInfo | None) -> None:
        self._store, self._level = store, level
        self._chunks = ManifestReader(store, level, files).chunks() if files else iter(())
        self._rows: Iterator[bytes] = iter(())
        self._row: bytes | None = None
        self.chunk: ChunkId | None = None  # of the next row, while that is the first of its chunk
        self.path: bytes | None = None
        self.pass_chunk()

    def pass_chunk(self) -> None:
        """Go to the next chunk, leaving what is left of this one."""
        self.chunk, self.path = next(self._chunks, (None, None))
        self._row = None

    def _open(self) -> None:
        assert self.chunk is not None
        self._rows = self._parsed(self.chunk)
        self.chunk = None
        self._row = next(self._rows)

    def _parsed(self, chunk: ChunkId) -> Iterator[bytes]:
        try:
            yield from rows(self._store.read_chunk(chunk))
        except ValueError:
            raise Corrupt(self._level.name, "its manifest does not parse") from None

    def take(self) -> bytes:
        """The next row; then the one after it is next."""
        if self._row is None:
            self._open()
        assert self._row is not None
        row, self._row = self._row, next(self._rows, None)
        if self._row is None:
            self.pass_chunk()
        else:
            self.path = row_path(self._row)
        return row


def _diff_sets(old: _Side, new: _Side) -> Iterator[Change]:
    while old.path is not None or new.path is not None:
        if old.chunk is not None and old.chunk == new.chunk:
            old.pass_chunk()
            new.pass_chunk()
        elif new.path is None or (old.path is not None and order_key(old.path) < order_key(new.path)):
            entry = parse_row(old.take())
            yield Change(entry.path, "removed", frozenset(), entry, None)
        elif old.path is None or old.path != new.path:
            entry = parse_row(new.take())
            yield Change(entry.path, "added", frozenset(), None, entry)
        else:
            was, now = old.take(), new.take()
            if was != now:
                before, after = parse_row(was), parse_row(now)
                what = changes(before, after)
                if what:
                    yield Change(before.path, "changed", what, before, after)
