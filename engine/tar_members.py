"""The members of a tar archive, one by one: what each is, and where its bytes lie in the file.

Plain members are read by tar_plain.py, all others by Python's tarfile (ustar, pax, GNU; sparse members of all kinds).
Rule: every byte of the file belongs
to one member or to the end of the archive, and is either content of a file or is not. So the file can be put together
again from contents and from the rest. It takes plain archives; one that is compressed is refused.
"""

import os
import stat
import tarfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Self

from .archive_header import acl_from_text
from .entry import HEAD
from .errors import SourceError
from .tar_member import Member, Stretch, nanoseconds, rooted
from .tar_plain import GNU_MAGIC, MAGIC, NAME_SIZE, plain_member
from .tar_window import TarWindow

_COMPRESSED = {
    b"\x1f\x8b": "gunzip",
    b"BZh": "bunzip2",
    b"\xfd7zXZ": "unxz",
    b"\x28\xb5\x2f\xfd": "unzstd",
    b"\x04\x22\x4d\x18": "unlz4",
}
_TYPES = {
    tarfile.REGTYPE: stat.S_IFREG,
    tarfile.AREGTYPE: stat.S_IFREG,
    tarfile.CONTTYPE: stat.S_IFREG,
    tarfile.GNUTYPE_SPARSE: stat.S_IFREG,
    tarfile.LNKTYPE: stat.S_IFREG,
    tarfile.SYMTYPE: stat.S_IFLNK,
    tarfile.CHRTYPE: stat.S_IFCHR,
    tarfile.BLKTYPE: stat.S_IFBLK,
    tarfile.DIRTYPE: stat.S_IFDIR,
    tarfile.FIFOTYPE: stat.S_IFIFO,
    b"D": stat.S_IFDIR,  # GNU's own form of a folder in an incremental archive; the listing is its content
}
_XATTR = "SCHILY.xattr."
_ACLS = {
    "SCHILY.acl.access": (b"system.posix_acl_access", "access"),
    "SCHILY.acl.default": (b"system.posix_acl_default", "default"),
}


class Members:
    """Read once. Afterwards `comment` is what the archive says of itself."""

    def __init__(self, path: Path) -> None:
        """Raises SourceError when it is no plain tar archive."""
        self.path, self.comment = path, ""
        try:
            with path.open("rb") as file:
                beginning, self._size = file.read(8), os.fstat(file.fileno()).st_size
        except OSError as error:
            raise SourceError(f"{path}: {error.strerror}") from None
        for magic, program in _COMPRESSED.items():
            if beginning.startswith(magic):
                raise SourceError(f"{path}: the archive is compressed", hint=f"unpack it first, with {program}")

    def read(self, window: TarWindow) -> Iterator[Member]:
        """All members; `window` is of the same file. Raises SourceError."""
        try:
            with tarfile.open(self.path, "r:", encoding="utf-8", errors="surrogateescape", tarinfo=_Info) as archive:
                while (info := archive.next()) is not None:
                    archive.members = []  # type: ignore[attr-defined]  # not in the stubs; it would keep them all
                    if archive.offset > self._size:
                        raise SourceError(f"{self.path}: the archive is cut off, in {info.name}")
                    yield _member(info, archive.offset, self.path)
                    if archive.pax_headers.keys() <= {"comment"}:  # others hold for every member that follows
                        archive.offset = yield from self._plain(window, archive.offset)
                self.comment = archive.pax_headers.get("comment", "")
        except tarfile.TarError as error:
            raise SourceError(f"{self.path}: it is no tar archive, or it is cut off: {error}") from None
        except OSError as error:
            raise SourceError(f"{self.path}: {error.strerror}") from None

    def _plain(self, window: TarWindow, at: int) -> Generator[Member, None, int]:
        """The plain members from a place on; where the first begins that is none."""
        while (plain := plain_member(window.view, at)) is not None and plain.end <= self._size:
            yield plain
            at = plain.end
        return at


class _Info(tarfile.TarInfo):
    """A header as tarfile reads it, which takes the times in GNU tar's incremental archives for part of the name."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        info = super().frombuf(buf, encoding, errors)
        if buf[MAGIC] == GNU_MAGIC and info.type not in tarfile.GNU_TYPES:
            name = bytes(buf[:NAME_SIZE]).partition(b"\0")[0].decode(encoding, errors)
            info.name = name.rstrip("/") if info.isdir() else name
        return info


def _member(info: tarfile.TarInfo, end: int, path: Path) -> Member:
    member = Member(info.offset, end)
    kind = _TYPES.get(info.type)
    if kind is None:
        member.unknown = "" if info.type == b"V" else info.type.decode("latin-1")
        return member
    member.path = _absolute(info.name)
    member.mode = kind | info.mode & 0o7777
    member.size = info.size if kind == stat.S_IFREG and info.type != tarfile.LNKTYPE else 0
    member.owner = (info.uid, info.uname, info.gid, info.gname)
    if info.type == tarfile.LNKTYPE:
        member.hard_link = _absolute(info.linkname)
    elif kind == stat.S_IFLNK:
        member.target = _bytes(info.linkname)
    elif kind == stat.S_IFREG:
        member.content = tuple(_stretches(info, end, path))
    elif kind == stat.S_IFDIR:
        member.listing = _listing(info, path)
    _take_attributes(info, member)
    device = os.makedev(info.devmajor, info.devminor) if kind in (stat.S_IFCHR, stat.S_IFBLK) else 0
    member.head = HEAD.pack(
        member.mode, info.uid & 0xFFFFFFFF, info.gid & 0xFFFFFFFF, 1, member.size, _mtime_ns(info), 0, 0, device
    )
    return member


def _stretches(info: tarfile.TarInfo, end: int, path: Path) -> Iterator[Stretch]:
    sparse: list[tuple[int, int]] | None = getattr(info, "sparse", None)
    at = info.offset_data
    for start, size in [(0, info.size)] if sparse is None else sparse:
        if at + size > end:
            raise SourceError(f"{path}: {info.name} is longer than its place in the archive")
        if size:
            yield Stretch(start, at, size)
        at += size


def _listing(info: tarfile.TarInfo, path: Path) -> bytes | None:
    if info.type == b"D":
        with path.open("rb") as file:
            file.seek(info.offset_data)
            return file.read(info.size)
    text = info.pax_headers.get("GNU.dumpdir")
    return None if text is None else _bytes(text)


def _take_attributes(info: tarfile.TarInfo, member: Member) -> None:
    for key, text in info.pax_headers.items():
        if key.startswith(_XATTR):
            name = key.removeprefix(_XATTR).replace("%3D", "=").replace("%25", "%")
            member.xattrs[_bytes(name)] = _bytes(text)
        elif key == "RHT.security.selinux":
            member.xattrs[b"security.selinux"] = _bytes(text) + b"\0"
    for key, (attribute, what) in _ACLS.items():
        text = info.pax_headers.get(key, "")
        if text and attribute not in member.xattrs:
            raw = acl_from_text(text)
            if raw is None:
                member.lost = f"its {what} ACL names somebody by name and not by number"
            else:
                member.xattrs[attribute] = raw


def _mtime_ns(info: tarfile.TarInfo) -> int:
    return nanoseconds(_bytes(str(info.pax_headers.get("mtime", ""))), info.mtime)


def _absolute(name: str) -> bytes:
    return rooted(_bytes(name))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
