"""backup_label and tablespace_map. That they are read like servers write them is shown in test_base_backup.py, too."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siltstone.engine.postgres.backup_command import BackupOptions
from siltstone.engine.postgres.backup_label import (
    format_backup_label,
    format_tablespace_map,
    parse_backup_label,
    parse_tablespace_map,
)
from siltstone.engine.postgres.connection import connect
from siltstone.engine.postgres.errors import Malformed

from .quiet import QuietServer
from .receiving import receive
from .servers import Server

LABEL = b"""START WAL LOCATION: 0/2000028 (file 000000010000000000000002)
CHECKPOINT LOCATION: 0/2000060
BACKUP METHOD: streamed
BACKUP FROM: standby
START TIME: 2026-11-23 21:20:04 UTC
LABEL: with: a colon
START TIMELINE: 1
INCREMENTAL FROM LSN: 1/A
INCREMENTAL FROM TLI: 1
"""


def test_what_a_server_wrote_comes_back_to_the_byte(quiet: QuietServer) -> None:
    with connect(quiet.dsn, replication=True) as connection:
        contents = receive(connection, BackupOptions(label="grüße: 'all'")).contents
    label = parse_backup_label(contents[b"backup_label"])
    assert label.label == "grüße: 'all'"
    assert format_backup_label(label) == contents[b"backup_label"]
    spaces = parse_tablespace_map(contents[b"tablespace_map"], version_num=quiet.version * 10000)
    assert spaces
    assert format_tablespace_map(spaces, version_num=quiet.version * 10000) == contents[b"tablespace_map"]


def test_an_incremental_one() -> None:
    label = parse_backup_label(LABEL)
    assert (label.start_lsn, label.start_file, label.label) == (
        0x2000028,
        "0" * 7 + "1" + "0" * 15 + "2",
        "with: a colon",
    )
    assert (label.taken_from, label.incremental_lsn, label.incremental_timeline) == ("standby", 0x10000000A, 1)
    assert format_backup_label(label) == LABEL


@pytest.mark.parametrize("line", range(7))
def test_a_label_without_one_of_its_lines(line: int) -> None:
    lines = LABEL.splitlines(keepends=True)
    with pytest.raises(Malformed, match="has no line"):
        parse_backup_label(b"".join(lines[:line] + lines[line + 1 :]))


@pytest.mark.parametrize(
    ("old", "new"), [(b"0/2000028", b"0-2"), (b"(file", b"(in"), (b": 1\n", b": x\n"), (b": s", b"s")]
)
def test_a_damaged_label(old: bytes, new: bytes) -> None:
    with pytest.raises(Malformed):
        parse_backup_label(LABEL.replace(old, new, 1))


@given(st.dictionaries(st.integers(1, 2**32 - 1), st.binary(min_size=1, max_size=20).filter(lambda b: b"\0" not in b)))
def test_any_place_survives(spaces: dict[int, bytes]) -> None:
    assert parse_tablespace_map(format_tablespace_map(spaces, version_num=140000), version_num=140000) == spaces


@pytest.mark.parametrize("data", [b"1 /a", b"1 /a\\", b"x /a\n", b"1\n", b"1 \n", b"1 /a\n1 /b\n", b"\n"])
def test_a_damaged_map(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_tablespace_map(data, version_num=150000)


def test_a_backslash_in_a_place_as_servers_write_it(server: Server) -> None:
    place = server.make_folder("back\\slash")
    server.sql(f"CREATE TABLESPACE odd LOCATION '{place}'")
    with connect(server.dsn(), replication=True) as connection:
        contents = receive(connection).contents
        (found,) = parse_tablespace_map(contents[b"tablespace_map"], version_num=connection.version_num).values()
    assert found == os.fsencode(place)
