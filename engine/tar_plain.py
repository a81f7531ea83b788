"""Headers of plain members of a tar archive: a ustar block, with no more than common pax records before it.

Nearly all members of nearly all archives are such, and Python's tarfile takes three times as long for one as everything
else that an import does with it. Rule: whatever is out of the ordinary (numbers that are not octal, a wrong checksum,
sparse files, records of other keywords, GNU's long names) is None here, and for tarfile to read or to refuse. What both
read they read alike: the tests hold one against the other.
"""

import re
import struct
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import NamedTuple

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
_PAX, _MOST_RECORDS = b"x", 64 << 10
_ADLER = 65521


class Plain(NamedTuple):
    """A member: its type ('0', '1', '2' or '5'), where its content lies and where the next member begins.

    `mtime` is the text of a record, or empty.
    """

    kind: bytes
    path: bytes
    target: bytes
    mode: int
    uid: int
    gid: int
    size: int
    seconds: int
    mtime: bytes
    owner: bytes
    group: bytes
    content: int
    end: int


def plain_member(view: Callable[[int, int], memoryview], at: int) -> Plain | None:
    """The member whose headers begin at `at`, if it is a plain one. `view` gives so many bytes from a place."""
    blocks = bytes(view(at, 3 * BLOCK))  # of nearly all members these are all that there is before the content
    block = blocks[:BLOCK]
    if block[_REST_AT : _REST_AT + 1] != _PAX:
        return _from_block(block, at + BLOCK, {})
    size = _records_size(block)
    if size is None or size > _MOST_RECORDS:
        return None
    body = blocks[BLOCK : BLOCK + size] if size <= BLOCK else bytes(view(at + BLOCK, size))
    records = _records(body) if len(body) == size else None
    if records is None:
        return None
    at += BLOCK + size + -size % BLOCK
    block = blocks[2 * BLOCK :] if size <= BLOCK else bytes(view(at, BLOCK))
    return _from_block(block, at + BLOCK, records)


def _from_block(block: bytes, behind: int, records: Mapping[bytes, bytes]) -> Plain | None:
    numbers = _numbers(block)
    if numbers is None:
        return None
    mode, uid, gid, size, seconds = numbers
    kind, target, magic, names, prefix = _REST.unpack_from(block, _REST_AT)
    owner, group = _owner_names(names)
    path = block[:NAME_SIZE].partition(b"\0")[0]
    if kind in _FILES:
        if path[-1:] == b"/":
            return None  # how archives before ustar wrote a folder
        kind = b"0"
    elif kind in (_LINK, _SYMLINK, _FOLDER):
        size = 0
    else:
        return None
    if prefix[0] and magic != GNU_MAGIC:
        if magic != b"ustar\x0000":
            return None
        path = prefix.partition(b"\0")[0] + b"/" + path
    return Plain(
        kind,
        records.get(b"path", path),
        records.get(b"linkpath", target.partition(b"\0")[0]),
        mode,
        uid,
        gid,
        size,
        seconds,
        records.get(b"mtime", b""),
        records.get(b"uname", owner),
        records.get(b"gname", group),
        behind,
        behind + size + -size % BLOCK,
    )


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
    counted = (zlib.adler32(block) & 0xFFFF) - 1 - sum(block[_SUM_AT:_REST_AT]) + 8 * ord(" ")
    if (int(said, 8) - counted) % _ADLER:
        return None
    return *owner, int(size, 8), int(seconds, 8)


@lru_cache(maxsize=1024)  # owners and modes repeat
def _owner(data: bytes) -> tuple[int, int, int] | None:
    """Mode, uid, gid."""
    match = _OWNER.fullmatch(data)
    return (int(match[1], 8), int(match[2], 8), int(match[3], 8)) if match else None


@lru_cache(maxsize=1024)
def _owner_names(data: bytes) -> tuple[bytes, bytes]:
    return data[:32].partition(b"\0")[0], data[32:].partition(b"\0")[0]


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
