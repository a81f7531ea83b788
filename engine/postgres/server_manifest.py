"""The server's backup manifest: every file of a base backup with its size and checksum, and the WAL that it needs.

    { "PostgreSQL-Backup-Manifest-Version": 1,            2 since PostgreSQL 17, which adds the next line
    "System-Identifier": 7512345678901234567,
    "Files": [
    { "Path": "base/1/1259", "Size": 8192, "Last-Modified": "2026-11-23 21:20:04 GMT",
      "Checksum-Algorithm": "CRC32C", "Checksum": "d6dac1b6" },          (in one line; Encoded-Path is in hex)
    ...
    ],
    "WAL-Ranges": [
    { "Timeline": 1, "Start-LSN": "0/2000028", "End-LSN": "0/2000100" }
    ],
    "Manifest-Checksum": "..."}                           SHA-256 of everything before this line

Rule: it is read as it comes, a line at a time, as servers and this module write it; nothing is believed before finish()
has compared the checksum. A CRC-32C is kept as an int, and written as the four bytes that it is on a little-endian
machine: PostgreSQL prints its memory. The paths of tablespaces begin with pg_tblspc/<oid>/; pg_wal is not in it.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from msgspec import Struct, field

from .errors import Malformed
from .lsn import format_lsn, parse_lsn

NAME = "backup_manifest"

_CHECKSUM_LINE = b'"Manifest-Checksum"'
_TIME = "%Y-%m-%d %H:%M:%S GMT"


class ManifestFile(NamedTuple):
    """`mtime` is in seconds. `crc32c` is None where the server used another checksum or none."""

    path: bytes
    size: int
    mtime: int
    crc32c: int | None


class WalRange(NamedTuple):
    """The WAL that is needed of one timeline."""

    timeline: int
    start: int
    end: int


class ManifestEnd(Struct):
    """What stands around the files. `system_identifier` is None in version 1."""

    version: int = 0
    system_identifier: int | None = None
    wal_ranges: list[WalRange] = field(default_factory=list)


class ManifestReader:
    """Takes a manifest apart as it comes: some 3 µs a file, and memory for a line alone."""

    def __init__(self) -> None:
        self._rest = b""
        self._sha = hashlib.sha256()
        self._end = ManifestEnd()
        self._checksum: str | None = None

    def feed(self, data: bytes | memoryview) -> Iterator[ManifestFile]:
        """The files whose lines these bytes complete; to be used up before the next call. Raises Malformed."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            if self._checksum is not None:
                raise Malformed(NAME, "more comes after its checksum")
            if line.startswith(_CHECKSUM_LINE):
                self._checksum = _json(b"{" + line).get("Manifest-Checksum")
                continue
            self._sha.update(line + b"\n")
            if line.startswith((b'{ "Path"', b'{ "Encoded-Path"')):
                yield _file(_json(line.removesuffix(b",")))
            else:
                self._other(line)

    def finish(self) -> ManifestEnd:
        """The manifest has ended. Raises Malformed where it is truncated or its checksum is wrong."""
        if self._checksum is None or self._rest:
            raise Malformed(NAME, "it breaks off")
        if self._checksum != self._sha.hexdigest():
            raise Malformed(NAME, "its checksum is wrong")
        return self._end

    def _other(self, line: bytes) -> None:
        if line.startswith(b'{ "PostgreSQL-Backup-Manifest-Version"'):
            self._end.version = _int(_json(line.removesuffix(b",") + b"}"), "PostgreSQL-Backup-Manifest-Version")
            if self._end.version not in (1, 2):
                raise Malformed(NAME, f"version {self._end.version} is not known")
        elif line.startswith(b'"System-Identifier"'):
            self._end.system_identifier = _int(_json(b"{" + line.removesuffix(b",") + b"}"), "System-Identifier")
        elif line.startswith(b'{ "Timeline"'):
            values = _json(line.removesuffix(b","))
            start, end = parse_lsn(str(values.get("Start-LSN"))), parse_lsn(str(values.get("End-LSN")))
            self._end.wal_ranges.append(WalRange(_int(values, "Timeline"), start, end))
        elif line not in (b'"Files": [', b'"WAL-Ranges": [', b"],"):
            raise Malformed(NAME, f"a line {line[:80]!r}")


class ServerManifest(Struct, frozen=True):
    """A whole manifest in memory: about 200 bytes a file, 200 MB for a million.

    `files` is size << 32 | crc32c for each path, one int where a tuple would cost as much as the rest; see record().
    """

    end: ManifestEnd
    files: dict[bytes, int]

    def record(self, path: bytes) -> tuple[int, int] | None:
        """(size, crc32c) of a file, or None if it is not in the backup."""
        packed = self.files.get(path)
        return None if packed is None else (packed >> 32, packed & 0xFFFFFFFF)


def read_manifest(pieces: Iterable[bytes | memoryview]) -> ServerManifest:
    """Read a manifest whose checksums are CRC-32C, as we ask for them. Raises Malformed."""
    reader = ManifestReader()
    files: dict[bytes, int] = {}
    for piece in pieces:
        for file in reader.feed(piece):
            if file.crc32c is None:
                raise Malformed(NAME, f"{file.path!r}: no CRC-32C")
            files[file.path] = file.size << 32 | file.crc32c
    return ServerManifest(reader.finish(), files)


def write_manifest(files: Iterable[ManifestFile], end: ManifestEnd) -> Iterator[bytes]:
    """The bytes of a manifest, a piece for each file. It is what UPLOAD_MANIFEST and pg_verifybackup take."""
    sha = hashlib.sha256()
    for line in _lines(files, end):
        sha.update(line)
        yield line
    yield b'"Manifest-Checksum": "%s"}\n' % sha.hexdigest().encode()


def whole_manifest(content: bytes, otherwise: Mapping[bytes, tuple[bytes, int, int | None]]) -> Iterator[bytes]:
    """The manifest of an incremental backup as one of whole files: `otherwise` has path, size and CRC-32C (None where
    nobody knows it) of each file that is not kept as the server sent it. Raises Malformed.
    """
    reader = ManifestReader()
    files = []
    for file in reader.feed(content):
        path, size, crc = otherwise.get(file.path, (file.path, file.size, file.crc32c))
        files.append(ManifestFile(path, size, file.mtime, crc))
    yield from write_manifest(files, reader.finish())


def _lines(files: Iterable[ManifestFile], end: ManifestEnd) -> Iterator[bytes]:
    yield b'{ "PostgreSQL-Backup-Manifest-Version": %d,\n' % end.version
    if end.version >= 2:
        yield b'"System-Identifier": %d,\n' % (end.system_identifier or 0)
    yield b'"Files": ['
    yield from _listed(map(_file_line, files))
    yield b'"WAL-Ranges": ['
    yield from _listed(map(_range_line, end.wal_ranges))


def _listed(lines: Iterable[str]) -> Iterator[bytes]:
    between = "\n"
    for line in lines:
        yield (between + line).encode()
        between = ",\n"
    yield b"\n],\n"


def _range_line(wal: WalRange) -> str:
    return (
        f'{{ "Timeline": {wal.timeline}, "Start-LSN": "{format_lsn(wal.start)}", "End-LSN": "{format_lsn(wal.end)}" }}'
    )


def _file_line(file: ManifestFile) -> str:
    try:
        name = f'"Path": {json.dumps(file.path.decode(), ensure_ascii=False)}'
    except UnicodeDecodeError:
        name = f'"Encoded-Path": "{file.path.hex()}"'
    line = f'{{ {name}, "Size": {file.size}, "Last-Modified": "{datetime.fromtimestamp(file.mtime, UTC):{_TIME}}"'
    if file.crc32c is not None:
        line += f', "Checksum-Algorithm": "CRC32C", "Checksum": "{file.crc32c.to_bytes(4, "little").hex()}"'
    return f"{line} }}"


def _file(values: dict[str, Any]) -> ManifestFile:
    try:
        path = values["Path"].encode() if "Path" in values else bytes.fromhex(values["Encoded-Path"])
        crc = None
        if values.get("Checksum-Algorithm") == "CRC32C":
            crc = int.from_bytes(bytes.fromhex(values["Checksum"]), "little")
        modified = datetime.fromisoformat(values["Last-Modified"].removesuffix(" GMT"))  # a tenth of strptime's time
        mtime = int(modified.replace(tzinfo=UTC).timestamp())
        return ManifestFile(path, int(values["Size"]), mtime, crc)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise Malformed(NAME, f"a file's line is damaged: {error}") from None


def _int(values: dict[str, Any], key: str) -> int:
    value = values.get(key)
    if not isinstance(value, int):
        raise Malformed(NAME, f"{key} is no number")
    return value


def _json(text: bytes) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(text)
    except ValueError:
        raise Malformed(NAME, f"a line {text[:80]!r}") from None
    return values
