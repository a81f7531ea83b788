"""Names of WAL files: both ways for every size of segments, and nothing else is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siltstone.engine.postgres.errors import Malformed
from siltstone.engine.postgres.wal_names import (
    MAX_SEGMENT,
    MIN_SEGMENT,
    WalFile,
    WalKind,
    WalSegment,
    backup_name,
    check_segment_size,
    history_name,
    parse_segment,
    parse_wal_file,
    segment_at,
)

MIB = 1 << 20
SIZES = st.integers(0, 10).map(lambda power: MIN_SEGMENT << power)
TIMELINES = st.integers(1, (1 << 32) - 1)
LSNS = st.integers(0, (1 << 64) - 1)


@given(TIMELINES, LSNS, SIZES)
def test_a_name_leads_back_to_the_segment(timeline: int, lsn: int, size: int) -> None:
    segment = segment_at(timeline, lsn, size)
    assert segment.start(size) <= lsn < segment.end(size)
    assert parse_segment(segment.name(size), size) == segment
    assert parse_wal_file(segment.partial_name(size), size) == WalFile(WalKind.PARTIAL, timeline, segment)
    backup = backup_name(segment, lsn % size, size)
    assert parse_wal_file(backup, size) == WalFile(WalKind.BACKUP, timeline, segment, lsn % size)
    assert parse_wal_file(history_name(timeline), size) == WalFile(WalKind.HISTORY, timeline)


@given(TIMELINES, st.integers(0, (1 << 34) - 2), SIZES)
def test_names_are_in_the_order_of_the_wal(timeline: int, number: int, size: int) -> None:
    segment = WalSegment(timeline, number % ((1 << 64) // size - 1))
    assert segment.name(size) < segment.next().name(size)
    assert segment.next().previous() == segment
    assert segment.end(size) == segment.next().start(size)


@pytest.mark.parametrize(
    ("name", "size", "timeline", "lsn"),
    [
        ("000000010000000000000001", 16 * MIB, 1, 0x1000000),
        ("0000000100000000000000FF", 16 * MIB, 1, 0xFF000000),
        ("000000010000000100000000", 16 * MIB, 1, 0x1_0000_0000),
        ("0000002A0000000A00000FFF", MIB, 42, 0xA_FFF0_0000),
        ("FFFFFFFFFFFFFFFF00000003", MAX_SEGMENT, 0xFFFFFFFF, 0xFFFF_FFFF_C000_0000),
    ],
)
def test_known_names(name: str, size: int, timeline: int, lsn: int) -> None:
    assert parse_segment(name, size).start(size) == lsn
    assert segment_at(timeline, lsn, size).name(size) == name


def test_nothing_is_before_the_first() -> None:
    assert WalSegment(1, 0).previous() is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        "00000001000000000000000",
        "0000000100000000000000010",
        "00000001000000000000000g",
        "00000001000000000000000a",  # servers write capitals; a file system that folds cases must not make two of one
        " 000000010000000000000001",
        "000000010000000000000001\n",
        "000000010000000000000001.PARTIAL",
        "000000010000000000000001.partial.partial",
        "000000010000000000000001.00000028",
        "000000010000000000000001.0000028.backup",
        "00000001.history.1",
        "1.history",
        "../000000010000000000000001",
        "archive_status",
        "٠٠000001.history",
    ],
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(Malformed, match="is no name of a WAL file") as caught:
        parse_wal_file(name, 16 * MIB)
    assert caught.value.hint


@pytest.mark.parametrize("name", ["000000000000000000000001", "00000000.history"])
def test_timeline_0_is_refused(name: str) -> None:
    with pytest.raises(Malformed, match="timeline 0"):
        parse_wal_file(name, 16 * MIB)


def test_segments_of_another_size_are_refused() -> None:
    assert parse_segment("0000000100000000000000FF", 16 * MIB).number == 255
    with pytest.raises(Malformed, match="no segment of a cluster with 16 MiB"):
        parse_segment("000000010000000000000100", 16 * MIB)
    with pytest.raises(Malformed, match="beyond 1 MiB"):
        parse_wal_file("000000010000000000000001.00100000.backup", MIB)


@pytest.mark.parametrize("name", ["000000010000000000000001.partial", "00000002.history"])
def test_a_segment_is_nothing_else(name: str) -> None:
    with pytest.raises(Malformed, match="not of a segment"):
        parse_segment(name, 16 * MIB)


@pytest.mark.parametrize("size", [0, -MIB, MIB - 1, 3 * MIB, 512 << 10, 2 << 30])
def test_sizes_that_no_server_has(size: int) -> None:
    with pytest.raises(Malformed, match="no size of WAL segments"):
        check_segment_size(size)
