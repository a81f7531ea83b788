"""Headers of tar archives: POSIX.1-2001 (pax) records over ustar blocks. Values in, bytes out.

    member := [pax block ('x') | records, padded] | ustar block | content, padded to blocks of 512
    record := length of the whole record in decimal | ' ' | keyword '=' value '\\n'

A record is written only for what the ustar block cannot say: nanoseconds, long or non-ASCII names, large numbers,
extended attributes (SCHILY.xattr.NAME, as GNU tar and star write them) and ACLs once more as text (SCHILY.acl.*, which
GNU tar's --acls takes). Names that are not UTF-8 stand as they are, announced by hdrcharset=BINARY, which GNU tar says
that it ignores, and then does right. In an incremental archive a folder has a GNU.dumpdir (archive_changes.py). Rule:
the same entry gives the same bytes. File flags have no keyword that GNU tar knows, and are not in the archive.
"""

import stat
import struct
import zlib
from collections.abc import Iterator, Mapping
from functools import lru_cache

from .entry import DIFFERENCE, EXTENT, Entry, plain_parts, row_path

BLOCK = 512
_ZEROS = bytes(BLOCK)
END = 2 * _ZEROS
RECORD = 20 * BLOCK  # archives are padded to this: what GNU tar writes to a tape at once

REGULAR, HARD_LINK, FOLDER = b"0", b"1", b"5"
_TYPES = {
    stat.S_IFREG: REGULAR,
    stat.S_IFLNK: b"2",
    stat.S_IFCHR: b"3",
    stat.S_IFBLK: b"4",
    stat.S_IFDIR: FOLDER,
    stat.S_IFIFO: b"6",
}
UsualMember = tuple[bytes, bytes, int, bytes]  # see row_member
_KIND = 0o170000  # what of a mode says the type; stat.S_IFMT is a call for each
_PAX, _GLOBAL = b"x", b"g"
_PAX_NAME = b"././@PaxHeader"
_SECOND = 10**9
_MOST_SECONDS, _MOST_NUMBER = 8**11 - 1, 8**7 - 1  # of the octal fields of 12 and of 8 bytes
_TEN_DIGITS = 10**9  # seconds since September 2001 have ten digits

_ACCESS, _DEFAULT = b"system.posix_acl_access", b"system.posix_acl_default"
_ACL_ENTRY = struct.Struct("<HHI")
_ACL_TAGS = {1: b"user:", 2: b"user:%d", 4: b"group:", 8: b"group:%d", 16: b"mask:", 32: b"other:"}


def kind_of(entry: Entry) -> bytes | None:
    """The type flag of an entry's member, or None for what no archive can hold: a socket."""
    return _TYPES.get(entry.mode & _KIND)


def comment(text: bytes) -> bytes:
    """A header that says something of the whole archive, and that every reader passes over."""
    return _pax_blocks([(b"comment", text)], _GLOBAL)


def member_header(
    entry: Entry, size: int, *, link: bytes | None, owner: bytes, group: bytes, listing: bytes = b""
) -> bytes:
    """All blocks before the content, which has `size` bytes.

    `link` is the path of a member before it, of which this is another name. `owner` and `group` are names, or empty.
    `listing` is what a folder of an incremental archive holds.
    """
    kind = HARD_LINK if link is not None else kind_of(entry)
    assert kind is not None, "sockets are left out before"
    name = member_name(entry.path, folder=stat.S_ISDIR(entry.mode))
    target = member_name(link) if link is not None else entry.target
    seconds, rest = divmod(entry.mtime_ns, _SECOND)
    texts = (name, target, owner, group)
    records = [] if _fits(texts, entry.uid, entry.gid, size) else _too_long(texts, entry, size)
    if rest or not 0 <= seconds <= _MOST_SECONDS:
        records.append((b"mtime", decimal_seconds(entry.mtime_ns)))
    if link is None and entry.xattrs:
        records += _attributes(entry)
    if listing:
        records.append((b"GNU.dumpdir", listing))
    block = _ustar_block(
        name, entry.mode & 0o7777, entry.uid, entry.gid, size, seconds, kind, target, owner, group, entry.rdev
    )
    return _pax_blocks(records) + block if records else block


def row_member(
    row: bytes, owners: Mapping[int, bytes], groups: Mapping[int, bytes], before: int, /
) -> UsualMember | None:
    """What a file or folder is in an archive: blocks, behind so many zeros; path, size of the content, its extents,
    packed. None of a row that says more than head, path and extents, of one with holes or cells that differ, and where
    more than the time does not fit a ustar block.
    """
    parts = plain_parts(row)
    if parts is None:
        return None
    mode, uid, gid, mtime_ns, packed = parts
    size = 0
    for chunk, offset, length in EXTENT.iter_unpack(packed):
        if offset >= DIFFERENCE or not any(chunk):
            return None
        size += length
    path = row_path(row)
    head = usual_header(path, mode, uid, gid, size, mtime_ns, owners.get(uid, b""), groups.get(gid, b""))
    return None if head is None else (bytes(before) + head, path, size, packed)


try:
    from . import _tar_usual
except ImportError:
    usual_member = row_member
else:
    usual_member = _tar_usual.usual_member  # the same, quicker


def usual_header(
    path: bytes, mode: int, uid: int, gid: int, size: int, mtime_ns: int, owner: bytes, group: bytes
) -> bytes | None:
    """What `member_header` makes of a file or folder that is no link and has no attributes, in half the time; None
    where more than the time does not fit a ustar block.
    """
    folder = mode & _KIND == stat.S_IFDIR
    name = member_name(path, folder=folder)
    seconds, rest = divmod(mtime_ns, _SECOND)
    alike = _alike_members(mode & 0o7777, uid, gid, FOLDER if folder else REGULAR, owner, group)
    if (
        alike is None
        or len(name) > 100
        or not name.isascii()
        or not _TEN_DIGITS <= seconds <= _MOST_SECONDS
        or size > _MOST_SECONDS
    ):
        return None
    head, tail, fixed = alike
    numbers = b"%011o\0%011o\0" % (size, seconds)
    total = b"%06o\0 " % (fixed + _sum(name + numbers))
    block = (name.ljust(100, b"\0"), head, numbers, total, tail)
    if not rest:
        return b"".join(block)
    record = (b" mtime=%d.%09d" % (seconds, rest)).rstrip(b"0") + b"\n"
    length = len(record) + 2
    return b"".join((_pax_header(length, _PAX), b"%d" % length, record, _ZEROS[length:], *block))


def member_name(path: bytes, *, folder: bool = False) -> bytes:
    """A path as it stands in archives: relative, and a folder's with a slash."""
    name = path.lstrip(b"/") or b"."
    return name + b"/" if folder else name


def padding(size: int) -> bytes:
    """The zeros that follow a content of this size."""
    return _ZEROS[: -size % BLOCK]


def decimal_seconds(nanoseconds: int) -> bytes:
    """Seconds, exactly and without trailing zeros."""
    seconds, rest = divmod(abs(nanoseconds), _SECOND)
    sign = b"-" if nanoseconds < 0 else b""
    fraction = b".%09d" % rest if rest else b""
    return sign + b"%d" % seconds + fraction.rstrip(b"0")


def _fits(texts: tuple[bytes, bytes, bytes, bytes], uid: int, gid: int, size: int) -> bool:
    """Whether a ustar block can say it all, as of nearly every member it can."""
    name, target, owner, group = texts
    return (
        len(name) <= 100 >= len(target)
        and len(owner) <= 31 >= len(group)
        and b"".join(texts).isascii()
        and uid <= _MOST_NUMBER >= gid
        and size <= _MOST_SECONDS
    )


def _too_long(texts: tuple[bytes, bytes, bytes, bytes], entry: Entry, size: int) -> list[tuple[bytes, bytes]]:
    """Records of what a ustar block cannot say: path, target, owner, group; numbers."""
    keys = ((b"path", 100), (b"linkpath", 100), (b"uname", 31), (b"gname", 31))
    said = [
        (key, text) for (key, most), text in zip(keys, texts, strict=True) if len(text) > most or not text.isascii()
    ]
    if said and any(not _is_utf8(text) for _, text in said):
        said.insert(0, (b"hdrcharset", b"BINARY"))
    numbers = ((b"uid", entry.uid, _MOST_NUMBER), (b"gid", entry.gid, _MOST_NUMBER), (b"size", size, _MOST_SECONDS))
    return said + [(key, b"%d" % number) for key, number, most in numbers if number > most]


def _attributes(entry: Entry) -> Iterator[tuple[bytes, bytes]]:
    for name, value in sorted(entry.xattrs.items()):
        # '=' would end the keyword, and '%' is what GNU tar escapes it with.
        yield b"SCHILY.xattr." + name.replace(b"%", b"%25").replace(b"=", b"%3D"), value
    for keyword, name in ((b"SCHILY.acl.access", _ACCESS), (b"SCHILY.acl.default", _DEFAULT)):
        text = _acl_text(entry.xattrs.get(name, b""))
        if text:
            yield keyword, text


def _acl_text(raw: bytes) -> bytes:
    """An ACL as acl(5) writes it, in one line; empty where it is none that we know."""
    if len(raw) < 4 or raw[:4] != b"\2\0\0\0" or (len(raw) - 4) % _ACL_ENTRY.size:
        return b""
    parts = []
    for tag, permissions, number in _ACL_ENTRY.iter_unpack(raw[4:]):
        if tag not in _ACL_TAGS:
            return b""
        who = _ACL_TAGS[tag] % number if b"%d" in _ACL_TAGS[tag] else _ACL_TAGS[tag]
        letters = bytes(
            letter if permissions & bit else ord("-") for letter, bit in zip(b"rwx", (4, 2, 1), strict=True)
        )
        parts.append(who + b":" + letters)
    return b",".join(parts)


def acl_from_text(text: str) -> bytes | None:
    """An ACL from the text that `_acl_text` makes of it, as it stands in an extended attribute; None where it names
    somebody by name.
    """
    tags = {"user": (1, 2), "group": (4, 8), "mask": (16, 16), "other": (32, 32)}
    rows = []
    for part in text.replace("\n", ",").split(","):
        kind, _, rest = part.partition(":")
        who, _, letters = rest.partition(":")
        if kind not in tags or (who and not who.isdecimal()) or len(letters) < 3:
            return None
        permissions = sum(bit for letter, bit in zip(letters, (4, 2, 1), strict=False) if letter != "-")
        rows.append((tags[kind][bool(who)], permissions, int(who) if who else 0xFFFFFFFF))
    return b"\2\0\0\0" + b"".join(_ACL_ENTRY.pack(*row) for row in sorted(rows, key=lambda row: (row[0], row[2])))


def _pax_blocks(records: list[tuple[bytes, bytes]], kind: bytes = _PAX) -> bytes:
    body = b"".join([pax_record(key, value) for key, value in records])
    return _pax_header(len(body), kind) + body + padding(len(body))


@lru_cache(maxsize=1024)  # nearly all members of an archive have records of one of a few sizes
def _pax_header(size: int, kind: bytes) -> bytes:
    return _ustar_block(_PAX_NAME, 0o644, 0, 0, size, 0, kind, b"", b"", b"", 0)


def pax_record(key: bytes, value: bytes) -> bytes:
    """One record; its length counts its own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %b=%b\n" % (length, key, value)


def _ustar_block(
    name: bytes, mode: int, uid: int, gid: int, size: int, seconds: int, kind: bytes, target: bytes,
    owner: bytes, group: bytes, rdev: int,
) -> bytes:  # fmt: skip
    """A ustar header. What does not fit its field is cut, or zero: a record says it then."""
    head, tail, fixed = _alike(mode, uid, gid, kind, owner[:31], group[:31], rdev)
    name, target = name[:100], target[:100]
    numbers = b"%011o\0%011o\0" % (
        size if size <= _MOST_SECONDS else 0,
        seconds if 0 <= seconds <= _MOST_SECONDS else 0,
    )
    total = b"%06o\0 " % (fixed + _sum(name) + _sum(numbers) + _sum(target))
    return b"".join((name.ljust(100, b"\0"), head, numbers, total, kind, target.ljust(100, b"\0"), tail))


@lru_cache(maxsize=1024)  # owners and modes repeat; what is not of one file alone is made once
def _alike(
    mode: int, uid: int, gid: int, kind: bytes, owner: bytes, group: bytes, rdev: int
) -> tuple[bytes, bytes, int]:
    """What a header has before its size, what behind the name of its target, and the sum of these, of its kind and of
    the spaces that the checksum counts as.
    """
    device = (rdev >> 8 & 0xFFF, rdev & 0xFF | rdev >> 12 & 0xFFF00) if kind in b"34" else (0, 0)
    head = b"%07o\0%07o\0%07o\0" % (mode, uid if uid <= _MOST_NUMBER else 0, gid if gid <= _MOST_NUMBER else 0)
    tail = b"ustar\x0000%b%b%07o\0%07o\0%b" % (owner.ljust(32, b"\0"), group.ljust(32, b"\0"), *device, bytes(167))
    return head, tail, _sum(head) + _sum(tail) + _sum(kind) + 8 * ord(" ")


@lru_cache(maxsize=1024)
def _alike_members(
    mode: int, uid: int, gid: int, kind: bytes, owner: bytes, group: bytes
) -> tuple[bytes, bytes, int] | None:
    """The same of members without a target, with the kind before the tail; None where they need records."""
    if not _fits((b"", b"", owner, group), uid, gid, 0):
        return None
    head, tail, fixed = _alike(mode, uid, gid, kind, owner, group, 0)
    return head, kind + bytes(100) + tail, fixed


def _sum(data: bytes) -> int:
    """The sum of at most 256 bytes: the low half of Adler-32 is that and one, below its modulus of 65,521."""
    return (zlib.adler32(data) & 0xFFFF) - 1


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
