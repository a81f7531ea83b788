"""Headers of plain members of a tar archive: a ustar block, with no more than common pax records before it.

Nearly all members of nearly all archives are such, and Python's tarfile takes three times as long for one as everything
else that an import does with it. Rule: whatever is out of the ordinary (numbers that are not octal, a wrong checksum,
sparse files, records of other keywords, GNU's long names) is None here, and for tarfile to read or to refuse. What both
read they read alike: the tests hold one against the other. Of the usual files and folders a C kernel reads the same.
"""

import re
import stat
import struct
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

from .entry import HEAD
from .tar_member import Member, Stretch, nanoseconds, rooted

Usual = tuple[bytes, int, bytes, int, tuple[int, str, int, str], int]  # see _tar_plain.pyi

try:
    from ._tar_plain import usual
except ImportError:

    def usual(_headers: memoryview, /) -> Usual | None:
        """Where there is no compiler, what follows reads them all."""
        return None


BLOCK = 512
# The fields of numbers as GNU tar, Python and we write them: octal digits to the end but one, and a zero byte.
_OWNER = re.compile(rb"([0-7]{7})\0([0-7]{7})\0([0-7]{7})\0")
_NUMBERS = re.compile(rb"([0-7]{11})\0([0-7]{11})\0([0-7]{6})\0 ")
NAME_SIZE = 100
_OWNER_AT, _NUMBERS_AT = slice(100, 124), 124
# Where others have the beginning of a long name, an incremental archive of GNU tar has times of access and change.
GNU_MAGIC = b"ustar  \0"
_REST = struct.Struct("c100s8s64s16x155s12x")
_REST_AT, _SUM_AT = 156, 148
MAGIC = slice(257, 265)
_RECORD = re.compile(rb"(\d{1,5}) ([^=]+)=")
_TIME_ALONE = re.compile(rb"(\d\d) mtime=([\d.]+)\n")  # what nearly all members have for records
_KEYWORDS = frozenset((b"mtime", b"atime", b"ctime", b"path", b"linkpath", b"uname", b"gname"))
_FILES, _LINK, _SYMLINK, _FOLDER = (b"0", b"\0"), b"1", b"2", b"5"
_KINDS = (*_FILES, _LINK, _SYMLINK, _FOLDER)
_NO_RECORDS: Mapping[bytes, bytes] = {}
_PAX, _MOST_RECORDS = b"x", 64 << 10
_ADLER = 65521


class _Tail(NamedTuple):
    """What stands behind the checksum: the type flag, a target, names of owner and group, the beginning of the path."""

    kind: bytes
    target: bytes
    owner: bytes
    group: bytes
    prefix: bytes


def plain_member(view: Callable[[int, int], memoryview], at: int) -> Member | None:
    """The member whose headers begin at `at`, if it is a plain one. `view` gives so many bytes from a place."""
    headers = view(at, 3 * BLOCK)  # of nearly all members these are all that there is before the content
    found = usual(headers)
    if found is None:
        return read_plain(bytes(headers), view, at)
    path, mode, head, size, owner, behind = found
    behind += at
    content = (Stretch(0, behind, size),) if size else ()
    return Member(at, behind + size + -size % BLOCK, path, mode, head, size, b"", b"", content, owner)


def read_plain(blocks: bytes, view: Callable[[int, int], memoryview], at: int) -> Member | None:
    """The same in Python, of every plain member; `blocks` are the first three."""
    block = blocks[:BLOCK]
    if block[_REST_AT : _REST_AT + 1] != _PAX:
        return _from_block(block, at, at + BLOCK, _NO_RECORDS)
    size = _records_size(block)
    if size is None or size > _MOST_RECORDS:
        return None
    body = blocks[BLOCK : BLOCK + size] if size <= BLOCK else bytes(view(at + BLOCK, size))
    records = _records(body) if len(body) == size else None
    if records is None:
        return None
    behind = at + BLOCK + size + -size % BLOCK
    block = blocks[2 * BLOCK :] if size <= BLOCK else bytes(view(behind, BLOCK))
    return _from_block(block, at, behind + BLOCK, records)


def _from_block(block: bytes, begin: int, behind: int, records: Mapping[bytes, bytes]) -> Member | None:
    numbers = _numbers(block)
    tail = None if numbers is None else _tail(block[_REST_AT:])
    if numbers is None or tail is None:
        return None
    mode, uid, gid, size, seconds = numbers
    path = block[:NAME_SIZE].partition(b"\0")[0]
    if tail.kind in _FILES and path[-1:] == b"/":
        return None  # how archives before ustar wrote a folder
    if tail.prefix:
        path = tail.prefix + b"/" + path
    owner = (uid, _text(records.get(b"uname", tail.owner)), gid, _text(records.get(b"gname", tail.group)))
    mtime = nanoseconds(records.get(b"mtime", b""), seconds)
    path = records.get(b"path", path)
    content: tuple[Stretch, ...] = ()
    kind, target, hard_link = stat.S_IFREG, b"", b""
    if tail.kind in _FILES:
        content = (Stretch(0, behind, size),) if size else ()
    else:
        size = 0
        target = records.get(b"linkpath", tail.target)
        if tail.kind == _LINK:
            target, hard_link = b"", rooted(target)
        elif tail.kind == _SYMLINK:
            kind = stat.S_IFLNK
        else:
            kind, target = stat.S_IFDIR, b""
    mode = kind | mode & 0o7777
    head = HEAD.pack(mode, uid, gid, 1, size, mtime, 0, 0, 0)
    end = behind + size + -size % BLOCK
    return Member(begin, end, rooted(path), mode, head, size, target, hard_link, content, owner)


@lru_cache(maxsize=1024)  # but for links they repeat as owners do
def _tail(data: bytes) -> _Tail | None:
    kind, target, magic, names, prefix = _REST.unpack(data)
    if kind not in _KINDS:
        return None
    prefix = prefix.partition(b"\0")[0] if magic != GNU_MAGIC else b""
    if prefix and magic != b"ustar\x0000":
        return None
    owner, group = (name.partition(b"\0")[0] for name in (names[:32], names[32:]))
    return _Tail(kind, target.partition(b"\0")[0], owner, group, prefix)


@lru_cache(maxsize=256)  # in archives of ours the block before records says nothing but their size
def _records_size(block: bytes) -> int | None:
    numbers = _numbers(block)
    return None if numbers is None else numbers[3]


def _numbers(block: bytes) -> tuple[int, int, int, int, int] | None:
    """Mode, uid, gid, size and time, when the checksum is that of the block."""
    match, owner = _NUMBERS.match(block, _NUMBERS_AT), _owner(block[_OWNER_AT])
    if match is None or owner is None or len(block) != BLOCK:
        return None
    size, seconds, said = match.groups()
    # The low half of Adler-32 is the sum of the bytes, and one; the checksum itself counts as spaces.
    counted = (zlib.adler32(block[_REST_AT:], zlib.adler32(block[:_SUM_AT])) & 0xFFFF) - 1 + 8 * ord(" ")
    if (int(said, 8) - counted) % _ADLER:
        return None
    return *owner, int(size, 8), int(seconds, 8)


@lru_cache(maxsize=1024)  # owners and modes repeat
def _owner(data: bytes) -> tuple[int, int, int] | None:
    """Mode, uid, gid."""
    match = _OWNER.fullmatch(data)
    return (int(match[1], 8), int(match[2], 8), int(match[3], 8)) if match else None


@lru_cache(maxsize=1024)  # names of owners
def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _records(body: bytes) -> dict[bytes, bytes] | None:
    alone = _TIME_ALONE.fullmatch(body)
    if alone is not None and int(alone[1]) == len(body):
        return {b"mtime": alone[2]}
    records = {}
    at = 0
    while at < len(body):
        match = _RECORD.match(body, at)
        if match is None or match[2] not in _KEYWORDS:
            return None
        end = at + int(match[1])
        if end <= match.end() or end > len(body) or body[end - 1] != 0x0A or b"\0" in body[match.end() : end]:
            return None
        records[match[2]] = body[match.end() : end - 1]
        at = end
    return records
