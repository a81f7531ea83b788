"""The server's tar, taken apart as it comes: bytes of any length go in, headers and slices of contents come out.

    archive  member* terminator?
    member   header (512 bytes, ustar), content, zeros up to the next multiple of 512
    header   name[100] mode[8] uid[8] gid[8] size[12] mtime[12] checksum[8] type link[100] magic[8] ...

Rule: exactly what PostgreSQL writes (src/port/tar.c, 13 to 18) is understood: files, folders and symbolic links;
numbers in octal, or in base 256 where they are too large; names and link targets below 100 bytes, since the server
raises an error for a longer one. So GNU's and pax's long names are refused like everything else that is not known.

Contents are passed on as slices of what was fed, never copied or joined. Names are plain relative paths: one that leads
out of its folder is refused. Contents are not verified here: a tar holds no checksum of them.
"""

import struct
import zlib
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from .errors import Malformed

BLOCK = 512

_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s6s2s")
_SPACES = 8 * 0x20  # the checksum is made as if its own field held spaces
_PRIME = 65521


class Kind(Enum):
    """What a member is, by the type in its header."""

    FILE = b"0"
    LINK = b"2"
    FOLDER = b"5"


class TarEntry(NamedTuple):
    """The header of a member. `name` has no './' before it and no '/' behind; the archive's own folder is b''.

    `mode` holds the permission bits alone, `mtime` is in seconds, `target` is that of a link.
    """

    name: bytes
    kind: Kind
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    target: bytes


class EntryEnd:
    """The content of the last entry is complete."""


ENTRY_END = EntryEnd()

TarEvent = TarEntry | memoryview | EntryEnd


class TarStream:
    """A parser of one archive. `name` is what errors call it.

    `terminated` says whether two blocks of zeros must end it: servers from 15 on send them, older ones do not.
    """

    def __init__(self, name: str, *, terminated: bool) -> None:
        self._name = name
        self._must_terminate = terminated
        self._head = bytearray()  # the part of a header that came so far
        self._content = 0  # bytes still to come of the entry's content
        self._padding = 0  # and of the zeros behind it
        self._open = False
        self._zero_blocks = 0
        self.offset = 0  # of the archive: what was taken in

    def feed(self, data: memoryview) -> Iterator[TarEvent]:
        """What these bytes bring: an entry, slices of its content, ENTRY_END; and so on. Raises Malformed.

        The iterator must be used up before the next call. Slices are valid as long as `data` is.
        """
        at, end = 0, len(data)
        while at < end:
            if self._content:
                piece = data[at : at + self._content]
                at += len(piece)
                self._content -= len(piece)
                yield piece
            elif self._padding:
                skipped = min(self._padding, end - at)
                at += skipped
                self._padding -= skipped
            else:
                taken = data[at : at + BLOCK - len(self._head)]
                at += len(taken)
                self._head += taken
                if len(self._head) == BLOCK and (entry := self._entry()) is not None:
                    yield entry
            if self._open and not self._content:
                self._open = False
                yield ENTRY_END
        self.offset += end

    def finish(self) -> None:
        """The archive has ended. Raises Malformed when it is truncated."""
        if self._content or self._padding or self._head:
            raise Malformed(self._name, f"it breaks off after {self.offset} bytes, in the middle of a file")
        if self._must_terminate and self._zero_blocks < 2:
            raise Malformed(self._name, f"it breaks off after {self.offset} bytes, without the mark of its end")

    def _entry(self) -> TarEntry | None:
        block = bytes(self._head)
        self._head.clear()
        if not block.strip(b"\0"):
            self._zero_blocks += 1
            return None
        if self._zero_blocks:
            raise Malformed(self._name, "more comes after the mark of its end")
        entry = parse_header(block, self._name)
        self._content = entry.size
        self._padding = -entry.size % BLOCK
        self._open = True
        return entry


def parse_header(block: bytes, archive: str) -> TarEntry:
    """A header's 512 bytes. `archive` is what errors call what it belongs to. Raises Malformed."""
    name, mode, uid, gid, size, mtime, checksum, kind, target, magic, _ = _HEADER.unpack_from(block)
    sound = (_number(checksum, archive) - _SPACES + sum(checksum) - _byte_sum(block)) % _PRIME == 0
    if not sound or not magic.startswith(b"ustar"):
        raise Malformed(archive, "a header is damaged")
    if kind not in _KINDS:
        raise Malformed(archive, f"{_show(name)}: a member of type {kind!r}, which no server sends")
    entry_kind = _KINDS[kind]
    length = _number(size, archive)
    if entry_kind is not Kind.FILE and length:
        raise Malformed(archive, f"{_show(name)}: a folder or link with content")
    return TarEntry(
        _plain(_string(name), archive),
        entry_kind,
        _number(mode, archive) & 0o7777,
        _number(uid, archive),
        _number(gid, archive),
        length,
        _number(mtime, archive),
        _string(target),
    )


def _byte_sum(block: bytes) -> int:
    """The sum of the bytes modulo _PRIME: one half of Adler-32, which takes a tenth of the time of sum()."""
    return (zlib.adler32(block) & 0xFFFF) - 1


_KINDS = {kind.value: kind for kind in Kind}


def _number(field: bytes, archive: str) -> int:
    """Octal digits, or, marked by the highest bit, base 256."""
    if field[0] & 0x80:
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    digits = field.strip(b" \0")
    try:
        return int(digits or b"0", 8)
    except ValueError:
        raise Malformed(archive, f"a header is damaged: {digits!r} is no number") from None


def _plain(name: bytes, archive: str) -> bytes:
    parts = name.removeprefix(b"./").removesuffix(b"/")
    if parts in (b"", b".") and name:
        return b""
    if any(part in (b"", b".", b"..") for part in parts.split(b"/")):
        raise Malformed(archive, f"{_show(name)}: no plain relative path")
    return parts


def _string(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _show(name: bytes) -> str:
    return _string(name).decode("utf-8", "backslashreplace")
