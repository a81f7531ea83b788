"""The server's manifest: read as it comes, checked, written so that PostgreSQL's own tools take it."""

import subprocess
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.engine.postgres.backup_command import BackupOptions
from siltstone.engine.postgres.connection import connect
from siltstone.engine.postgres.errors import Malformed
from siltstone.engine.postgres.server_manifest import (
    ManifestEnd,
    ManifestFile,
    ManifestReader,
    WalRange,
    read_manifest,
    write_manifest,
)

from .installations import no_groups, user
from .quiet import STRANGE, QuietServer
from .receiving import receive, unpack
from .servers import Templates

END = ManifestEnd(2, 7512345678901234567, [WalRange(1, 0x2000028, 0x2000100), WalRange(2, 0x2000100, 0x3000000)])
FILES = [
    ManifestFile(b"base/1/1259", 8192, 1732396804, 0xB6C1DAD6),
    ManifestFile(b"caf\xe9", 0, 0, 0),
    ManifestFile('grüße "\\\n'.encode(), 1 << 30, 1, 0xFFFFFFFF),
    ManifestFile(b"without", 5, 1, None),
]
PATHS = st.binary(min_size=1, max_size=30)
A_FILE = st.builds(
    ManifestFile, PATHS, st.integers(0, 2**40), st.integers(0, 2**33), st.none() | st.integers(0, 2**32 - 1)
)


def reread(data: bytes, step: int = 1 << 20) -> tuple[list[ManifestFile], ManifestEnd]:
    reader = ManifestReader()
    files = [file for at in range(0, len(data), step) for file in reader.feed(data[at : at + step])]
    return files, reader.finish()


@pytest.fixture(scope="module")
def written() -> bytes:
    return b"".join(write_manifest(FILES, END))


@settings(max_examples=50)
@given(st.lists(A_FILE, max_size=10), st.integers(1, 200))
def test_what_is_written_is_read(files: list[ManifestFile], step: int) -> None:
    assert reread(b"".join(write_manifest(files, END)), step) == (files, END)
    assert reread(b"".join(write_manifest(files, ManifestEnd(1)))) == (files, ManifestEnd(1))


def test_a_servers_own_is_written_again_to_the_byte(quiet: QuietServer) -> None:
    with connect(quiet.dsn, replication=True) as connection:
        manifest = receive(connection).manifest
    files, end = reread(manifest)
    assert STRANGE in [file.path for file in files]
    assert b"".join(write_manifest(files, end)) == manifest


def test_pg_verifybackup_takes_a_manifest_of_ours(quiet: QuietServer, servers: Templates) -> None:
    tool = quiet.server.programs.tool("pg_verifybackup")
    if tool is None:
        pytest.skip(f"this PostgreSQL {quiet.version} comes without pg_verifybackup")
    with connect(quiet.dsn, replication=True) as connection:
        received = receive(connection, BackupOptions(wal=True))
    files, end = reread(received.manifest)
    with servers.empty(quiet.version) as copy:
        unpack(received, copy.data, {oid: copy.make_folder(str(oid)) for oid in quiet.tablespaces})
        target = copy.data / "backup_manifest"
        target.write_bytes(b"".join(write_manifest(sorted(files), end)))
        command: list[str | Path] = [tool, "--no-parse-wal", copy.data]
        done = subprocess.run(command, user=user(), extra_groups=no_groups(), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        (copy.data / "PG_VERSION").write_bytes(b"99\n")
        done = subprocess.run(command, user=user(), extra_groups=no_groups(), capture_output=True, text=True)
        assert 'checksum mismatch for file "PG_VERSION"' in done.stderr


def test_lookups() -> None:
    manifest = read_manifest([b"".join(write_manifest(FILES[:3], END))])
    assert manifest.record(FILES[0].path) == (8192, 0xB6C1DAD6)
    assert manifest.record(FILES[1].path) == (0, 0)
    assert manifest.record(FILES[2].path) == (1 << 30, 0xFFFFFFFF)
    assert manifest.record(b"nowhere") is None
    assert manifest.end == END
    with pytest.raises(Malformed, match="no CRC-32C"):
        read_manifest(write_manifest(FILES, END))


def test_each_byte_counts(written: bytes) -> None:
    for at in range(0, len(written), 7):
        damaged = bytearray(written)
        damaged[at] ^= 0x01
        with pytest.raises(Malformed):
            reread(bytes(damaged))


def test_a_manifest_that_breaks_off(written: bytes) -> None:
    for length in range(0, len(written), 11):
        with pytest.raises(Malformed):
            reread(written[:length])
    with pytest.raises(Malformed, match="more comes"):
        reread(written + b"\n")


def test_a_newer_version_is_refused() -> None:
    data = b"".join(write_manifest([], ManifestEnd(version=3, system_identifier=1)))
    with pytest.raises(Malformed, match="version 3 is not known"):
        reread(data)


def test_what_a_million_files_would_cost() -> None:
    count = 20_000
    pieces = write_manifest((ManifestFile(b"base/16384/%d" % n, 8192, n, n) for n in range(count)), END)
    tracemalloc.start()
    try:
        manifest = read_manifest(pieces)
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(manifest.files) == count
    assert used / count < 250, "bytes a file"
