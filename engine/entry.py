"""Entries: one file, directory, link or special file of a level, and the row that keeps it in a manifest.

    row := length of what follows (u32) | head (56) | path length (u16) | extents (u32) | path | extent ... | extra
    head := mode, uid, gid, nlink (u32 each) | size (u64) | mtime_ns, ctime_ns (i64) | inode, rdev (u64)
    extent := chunk id (32, zeros for a hole) | offset in the chunk (u32) | length (u32)
              one with the highest bit of the offset set makes no bytes of the content, but says how those of the next
              one differ from it: a cell of a database's file (postgres/differences.py)
    extra := msgpack map, absent when empty: 1 link target, 2 xattrs, 3 flags, 4 [dev, inode] of a hard link,
             5 changed while it was read, 6 extents are of the extent list, 7 extents of the records of a database
             file's cells (postgres/cells.py)

All integers are little-endian. The head is what a scan yields, byte for byte: an entry is unchanged when path and head
are equal, and its row is then copied without being parsed. A content of many extents is kept as chunks itself
(`indirect`): the row's extents then lead to the list of extents. Paths are absolute bytes, without a trailing slash.
Rule: nothing here reads or writes anything.
"""

import struct
from collections.abc import Iterable, Iterator
from stat import S_IFDIR, S_IFREG
from typing import Any, NamedTuple

import msgpack
from msgspec import Struct, field

from siltstone.store import ChunkId

HEAD = struct.Struct("<IIIIQqqQQ")
EXTENT = struct.Struct("<32sII")
_FIXED = struct.Struct(f"<I{HEAD.size}sHI")
_PLAIN = (S_IFREG, S_IFDIR)
_PARTS = struct.Struct("<IIIIIQq24xHI")  # the same, with the head's parts but for what follows the mtime
HEAD_AT, HEAD_END = 4, 4 + HEAD.size
PATH_AT = _FIXED.size
MAX_PIECE = 0xFFFFFFFF  # of one extent; longer holes take several
DIFFERENCE = 1 << 31  # in the offset of an extent; no chunk is that long
HOLE = bytes(32)  # stands where an extent has the id of a chunk

_TARGET, _XATTRS, _FLAGS, _LINK, _CHANGED, _INDIRECT, _CELLS = 1, 2, 3, 4, 5, 6, 7


class Extent(NamedTuple):
    """A run of a file's content: `length` bytes from `offset` of a chunk, or of zeros where `id` is None. Or, with
    DIFFERENCE in the offset, where it is written how the content differs from the extent that follows.
    """

    id: ChunkId | None
    offset: int
    length: int

    @property
    def is_difference(self) -> bool:
        """Whether it is one."""
        return self.offset >= DIFFERENCE

    @property
    def start(self) -> int:
        """Where in the chunk it begins."""
        return self.offset & ~DIFFERENCE

    @property
    def size(self) -> int:
        """How many bytes of the content it makes."""
        return 0 if self.offset >= DIFFERENCE else self.length


class Entry(Struct):
    """One entry of a level. Times in nanoseconds since 1970; `rdev` is of devices; `link` of files of several names;
    `cells` are packed extents.
    """

    path: bytes
    mode: int
    uid: int
    gid: int
    nlink: int
    size: int
    mtime_ns: int
    ctime_ns: int
    ino: int
    rdev: int
    extents: list[Extent] = field(default_factory=list)
    target: bytes = b""
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    flags: int = 0
    link: tuple[int, int] | None = None
    changed: bool = False
    indirect: bool = False
    cells: bytes = b""


def size_of(head: bytes) -> int:
    """The size that a head, or the stat it is the beginning of, says."""
    return int.from_bytes(head[16:24], "little")


def with_size(head: bytes, size: int) -> bytes:
    """The head with another size: that of the content that was really read."""
    return head[:16] + size.to_bytes(8, "little") + head[24:]


def order_key(path: bytes) -> bytes:
    """Sorts paths by their components: a folder, all that is in it, then what follows."""
    return path.replace(b"/", b"\0")


def pack_extents(extents: Iterable[Extent]) -> bytes:
    """Extents as they stand in rows and in extent lists."""
    return b"".join(EXTENT.pack(extent.id or HOLE, extent.offset, extent.length) for extent in extents)


def unpack_extents(data: bytes | memoryview) -> Iterator[Extent]:
    """The inverse of `pack_extents`."""
    for chunk, offset, length in EXTENT.iter_unpack(data):
        yield Extent(None if chunk == HOLE else ChunkId(chunk), offset, length)


def hole(length: int) -> bytes:
    """Packed extents of a hole of any length."""
    whole, rest = divmod(length, MAX_PIECE)
    return EXTENT.pack(HOLE, 0, MAX_PIECE) * whole + (EXTENT.pack(HOLE, 0, rest) if rest else b"")


def extra(
    *,
    target: bytes = b"",
    xattrs: dict[bytes, bytes] | None = None,
    flags: int = 0,
    link: tuple[int, int] | None = None,
    changed: bool = False,
    indirect: bool = False,
    cells: bytes = b"",
) -> bytes:
    """The packed extra part of a row; empty when there is nothing to say."""
    row: dict[int, Any] = {}
    if target:
        row[_TARGET] = target
    if xattrs:
        row[_XATTRS] = dict(sorted(xattrs.items()))
    if flags:
        row[_FLAGS] = flags
    if link:
        row[_LINK] = link
    if changed:
        row[_CHANGED] = True
    if indirect:
        row[_INDIRECT] = True
    if cells:
        row[_CELLS] = cells
    return msgpack.packb(row) if row else b""


def make_row(path: bytes, head: bytes, extents: bytes = b"", extra: bytes = b"") -> bytes:
    """A row from its packed parts."""
    size = PATH_AT - 4 + len(path) + len(extents) + len(extra)
    return _FIXED.pack(size, head, len(path), len(extents) // EXTENT.size) + path + extents + extra


def row_path(row: bytes) -> bytes:
    """The path of a row, without parsing the rest."""
    return row[PATH_AT : PATH_AT + int.from_bytes(row[HEAD_END : HEAD_END + 2], "little")]


def extents_of_row(row: bytes) -> Iterator[Extent]:
    """The extents of a row, without parsing the rest."""
    _, _, path_size, count = _FIXED.unpack_from(row)
    at = PATH_AT + path_size
    return unpack_extents(row[at : at + count * EXTENT.size])


def row_changed(row: bytes) -> bool:
    """Whether the entry changed while it was read, so that an equal head proves nothing."""
    _, _, path_size, count = _FIXED.unpack_from(row)
    rest = row[PATH_AT + path_size + count * EXTENT.size :]
    return bool(rest) and _CHANGED in msgpack.unpackb(rest, strict_map_key=False)


def plain_parts(row: bytes) -> tuple[int, int, int, int, bytes] | None:
    """Mode, uid, gid, mtime_ns and packed extents of a file or folder whose row says nothing else but its path; or
    None.
    """
    _, mode, uid, gid, _, _, mtime_ns, path_size, count = _PARTS.unpack_from(row)
    at = PATH_AT + path_size
    if mode & 0o170000 not in _PLAIN or len(row) != at + count * EXTENT.size:
        return None
    return mode, uid, gid, mtime_ns, row[at:]


def rows(data: bytes) -> Iterator[bytes]:
    """The rows of a manifest chunk. Raises ValueError when they do not fill it."""
    at, end = 0, len(data)
    while at < end:
        stop = at + 4 + int.from_bytes(data[at : at + 4], "little")
        if stop > end:
            raise ValueError("a row is cut off")
        yield data[at:stop]
        at = stop


def parse_row(row: bytes) -> Entry:
    """The entry of a row. Raises ValueError or struct.error when the row is none."""
    _, head, path_size, count = _FIXED.unpack_from(row)
    at = PATH_AT + path_size
    stop = at + count * EXTENT.size
    more: dict[int, Any] = msgpack.unpackb(row[stop:], strict_map_key=False) if len(row) > stop else {}
    entry = Entry(row[PATH_AT:at], *HEAD.unpack(head))
    if count:
        entry.extents = list(unpack_extents(row[at:stop]))
    if more:
        link = more.get(_LINK)
        entry.target = more.get(_TARGET, b"")
        entry.xattrs = more.get(_XATTRS, {})
        entry.flags = more.get(_FLAGS, 0)
        entry.link = (link[0], link[1]) if link else None
        entry.changed = more.get(_CHANGED, False)
        entry.indirect = more.get(_INDIRECT, False)
        entry.cells = more.get(_CELLS, b"")
    return entry
