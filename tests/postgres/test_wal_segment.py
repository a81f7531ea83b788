"""The check of a segment: real ones pass, and each kind of damage is named with the file and the page."""

import struct

import pytest

from siltstone.engine.postgres.errors import Malformed
from siltstone.engine.postgres.wal_names import WalSegment, parse_segment
from siltstone.engine.postgres.wal_pages import MAGIC_OF, WAL_PAGE, used_length
from siltstone.engine.postgres.wal_segment import Tail, check_segment, identify_segment

from .wal_making import SIZE, MadeWal


def test_real_segments_are_accepted(made: MadeWal) -> None:
    tails = set()
    for name, data in made.segments.items():
        facts = check_segment(
            name,
            data,
            parse_segment(name, SIZE),
            SIZE,
            system_identifier=made.system_identifier,
            version=made.version,
        )
        assert (facts.version, facts.system_identifier) == (made.version, made.system_identifier)
        assert (facts.first_timeline, facts.last_timeline) == (1, 1)
        assert data[: facts.used].ljust(SIZE, b"\0") == data
        assert facts.used == SIZE or data[facts.used - 8 : facts.used] != bytes(8)
        tails.add(facts.tail)
    assert tails == {Tail.NONE, Tail.ZERO}, "a switch leaves zeros"


def test_an_open_segment_is_accepted_as_one(made: MadeWal) -> None:
    name, data = made.open
    facts = check_segment(name, data, parse_segment(name, SIZE), SIZE, complete=False)
    for length in (facts.used, facts.used + 5000, 3 * WAL_PAGE, 40, 48, 8192 + 24, 8192 + 30):
        part = check_segment(name, data[:length], parse_segment(name, SIZE), SIZE, complete=False)
        assert part.used == used_length(data[: min(length, facts.used)])
    with pytest.raises(Malformed, match=r"has 5000 bytes, and a segment has 1048576"):
        check_segment(name, data[:5000], parse_segment(name, SIZE), SIZE)


def test_who_wrote_it_is_read_without_knowing(made: MadeWal) -> None:
    name, data = next(iter(made.segments.items()))
    head, version = identify_segment(name, data)
    assert (head.system_identifier, head.segment_size, version) == (made.system_identifier, SIZE, made.version)


class TestDamage:
    """In a segment that is complete, `full` of WAL."""

    @pytest.fixture
    def full(self, made: MadeWal) -> tuple[str, bytes]:
        return next((name, data) for name, data in made.segments.items() if made.facts(name).tail is Tail.NONE)

    @pytest.mark.parametrize(
        ("at", "value", "said"),
        [
            (0, b"\x99\xd1", "page 0 has the magic D199"),
            (2, b"\x00\x00", "page 0 has the flags 0000"),
            (2, b"\xf2\x00", "page 0 has the flags 00F2"),
            (4, struct.pack("<I", 2), "page 1 goes back from timeline 2 to 1"),
            (8, struct.pack("<Q", 5 * SIZE), "page 0 holds the WAL at 0/500000"),
            (24, struct.pack("<Q", 77), "is WAL of the cluster 77, not of"),
            (32, struct.pack("<I", 16 * SIZE), "is a segment of 16777216 bytes, not of 1048576"),
            (36, struct.pack("<I", 4096), "WAL pages of 4096 bytes"),
            (5 * WAL_PAGE, b"\0\0", "page 5 .* damaged header: magic 0000"),
            (5 * WAL_PAGE + 2, b"\xff\0", "page 5 .* damaged header: magic .*, flags 00FF"),
            (5 * WAL_PAGE + 4, struct.pack("<I", 9), "page 6 goes back from timeline 9 to 1"),
            (127 * WAL_PAGE + 4, struct.pack("<I", 9), "page 127 is of timeline 9, its name says 1"),
            (5 * WAL_PAGE + 8, struct.pack("<Q", WAL_PAGE), "page 5 holds the WAL at 0/2000, not .*; 122 right ones"),
            (5 * WAL_PAGE, bytes(WAL_PAGE), "page 5 .* is empty, and bytes follow, 122 pages of WAL among them"),
            (5 * WAL_PAGE, bytes(SIZE - 5 * WAL_PAGE - 1) + b"\1", "page 5 .* is empty, and bytes follow, 0 pages"),
        ],
    )
    def test_it_is_named(self, made: MadeWal, full: tuple[str, bytes], at: int, value: bytes, said: str) -> None:
        name, data = full
        bad = data[:at] + value + data[at + len(value) :]
        with pytest.raises(Malformed, match=said) as caught:
            check_segment(name, bad, parse_segment(name, SIZE), SIZE, system_identifier=made.system_identifier)
        assert caught.value.name == name
        assert caught.value.hint

    @pytest.mark.parametrize("length", [SIZE - 1, SIZE - WAL_PAGE, SIZE + 1, 2 * SIZE])
    def test_another_length(self, full: tuple[str, bytes], length: int) -> None:
        name, data = full
        with pytest.raises(Malformed, match="and a segment has 1048576"):
            check_segment(name, (data + data)[:length], parse_segment(name, SIZE), SIZE)

    @pytest.mark.parametrize("data", [b"", b"x", bytes(39)])
    def test_hardly_anything(self, data: bytes) -> None:
        with pytest.raises(Malformed, match="too few"):
            check_segment("it", data, WalSegment(1, 1), SIZE, complete=False)

    def test_another_version(self, full: tuple[str, bytes]) -> None:
        name, data = full
        with pytest.raises(Malformed, match="was written by PostgreSQL"):
            check_segment(name, data, parse_segment(name, SIZE), SIZE, version=19)

    def test_big_endian(self, made: MadeWal, full: tuple[str, bytes]) -> None:
        name, data = full
        bad = struct.pack(">H", MAGIC_OF[made.version]) + data[2:]
        with pytest.raises(Malformed, match="big-endian"):
            check_segment(name, bad, parse_segment(name, SIZE), SIZE)

    def test_under_another_name(self, full: tuple[str, bytes]) -> None:
        name, data = full
        with pytest.raises(Malformed, match="page 0 holds the WAL at"):
            check_segment(name, data, parse_segment(name, SIZE).next(), SIZE)
        assert check_segment(name, data, WalSegment(7, parse_segment(name, SIZE).number), SIZE).last_timeline == 1


def test_a_recycled_tail_is_dropped(made: MadeWal) -> None:
    """As a .partial has one: old pages with addresses of their own."""
    old, new = list(made.segments.values())[:2]
    name = list(made.segments)[1]
    mixed = new[: 9 * WAL_PAGE] + old[9 * WAL_PAGE :]
    facts = check_segment(name, mixed, parse_segment(name, SIZE), SIZE, complete=False)
    assert facts.tail is Tail.STALE
    assert facts.used == used_length(new[: 9 * WAL_PAGE])
    with pytest.raises(Malformed, match="page 9 holds the WAL at"):
        check_segment(name, mixed, parse_segment(name, SIZE), SIZE)
