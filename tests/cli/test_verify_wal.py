"""What `silt verify` says of damage that concerns archived WAL."""

from siltstone.cli.commands.verify import _damage_lines, _damage_record
from siltstone.engine import Damage, Shortened, verify_store
from siltstone.engine.verify_result import NO_DATA
from tests.backed_up import ignore, new_store

CUT = Shortened(2, 4 << 20, 9 << 20, 1_795_000_000_000_000)


def damaged() -> Damage:
    return Damage(
        "packs/ab/abcd", "frame 1 does not open", 2, wal=["77/000000010000000000000004"], reach={"a:0/1": [CUT]}
    )


def test_files_and_what_is_reached_are_told() -> None:
    result = verify_store(new_store(), budget=NO_DATA, report=ignore)
    result.damaged.append(damaged())
    lines = list(_damage_lines(result))
    assert lines[1:4] == ["  2 chunks lost", "  WAL: 1 file", "    77/000000010000000000000004"]
    assert lines[4].startswith("  a:0/1: recovery on timeline 2 gets to 0/400000, its last commit of 2026-11-1")
    assert lines[4].endswith("; it was 0/900000")


def test_all_files_are_in_the_record() -> None:
    record = _damage_record(damaged())
    assert record["wal"] == ["77/000000010000000000000004"]
    (reach,) = record["reach"]["a:0/1"]
    assert (reach["timeline"], reach["lsn"], reach["was"]) == (2, "0/400000", "0/900000")
    assert reach["moment"].startswith("2026-11-1")
