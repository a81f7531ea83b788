"""When a server may say itself what changed, and from when on a full read is a cross-check."""

import pytest
from msgspec.structs import replace

from siltstone.engine import Level, LevelRef
from siltstone.engine.database_info import DatabaseInfo
from siltstone.engine.deployment import Database
from siltstone.engine.postgres.backup_label import whole_label
from siltstone.engine.postgres.cells import OldCell, make_record
from siltstone.engine.postgres.cross_check import missed_pages
from siltstone.engine.postgres.facts import ServerFacts
from siltstone.engine.postgres.grid import PAGE
from siltstone.engine.postgres.summaries import checked_since, why_everything
from siltstone.store import ChunkId

DAY = 24 * 3600 * 10**9
NOW = 1000 * DAY
DATABASE = Database("host=db")
FACTS = ServerFacts(
    version_num=180000,
    system_identifier=1,
    timeline=1,
    xlog_position=0,
    in_recovery=False,
    wal_segment_size=1 << 24,
    block_size=8192,
    data_directory="/data",
    data_checksums=True,
    wal_level="replica",
    summarize_wal=True,
    tablespaces=(),
)
INFO = DatabaseInfo(
    system_identifier=1,
    version_num=180000,
    catalog_version=1,
    timeline=1,
    start_lsn=5000,
    stop_lsn=6000,
    wal_segment_size=1 << 24,
    data_checksums=True,
    from_standby=False,
    data_directory=b"/data",
    tablespaces=(),
    read_ns=NOW - 2 * DAY,
)


def level(info: DatabaseInfo | None = INFO, started_ns: int = NOW - DAY) -> Level:
    return Level(LevelRef("a", 0, 1), "incr", 0, started_ns, 0, "", "", "", (), {}, (), {}, {}, info)


def why(
    database: Database = DATABASE, facts: ServerFacts = FACTS, base: Level | None = None, *, has_manifest: bool = True
) -> str | None:
    base = level() if base is None else base
    return why_everything(database, facts, base, has_manifest=has_manifest, now_ns=NOW)


def test_it_may() -> None:
    assert why() is None
    assert why(replace(DATABASE, full_read_days=3)) is None


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (why_everything(DATABASE, FACTS, None, has_manifest=True, now_ns=NOW), ""),
        (why(base=level(None)), ""),
        (why(facts=replace(FACTS, version_num=160004)), ""),
        (why(facts=replace(FACTS, version_num=170010)), ""),
        (why(replace(DATABASE, full_read_days=0)), ""),
        (why(facts=replace(FACTS, summarize_wal=False)), "summarize_wal is off"),
        (why(facts=replace(FACTS, system_identifier=2)), "another cluster"),
        (why(has_manifest=False), "has no manifest of the server's"),
        (why(replace(DATABASE, full_read_days=2)), "all was read 2 days ago"),
        (why(base=level(replace(INFO, read_ns=NOW + DAY))), "all was read -1 days ago"),
    ],
    ids=["full", "no database", "16", "17", "never", "off", "cluster", "local", "due", "clock"],
)
def test_it_may_not(reason: str | None, said: str) -> None:
    assert reason is not None
    assert said in reason
    assert bool(said) == bool(reason)


def test_what_a_full_read_checks() -> None:
    assert checked_since(FACTS, level()) == 5000
    assert checked_since(FACTS, None) == 0
    assert checked_since(FACTS, level(started_ns=NOW - 2 * DAY)) == 0, "all was read then"
    assert checked_since(replace(FACTS, data_checksums=False), level()) == 0, "hint bits change without an LSN"
    assert checked_since(replace(FACTS, timeline=2), level()) == 0


def _digests(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(8, "little") for number in numbers)


def test_what_was_missed() -> None:
    def page(lsn: int) -> bytes:
        return lsn.to_bytes(8, "little")[4:] + lsn.to_bytes(8, "little")[:4] + bytes(PAGE - 8)

    lsns = [100, 100, 7000, 0, 1, 100]
    pages = memoryview(b"".join(map(page, lsns)))
    old = OldCell(ChunkId(bytes(32)), _digests(1, 9, 9, 9, 9), b"")
    record = make_record(ChunkId(b"\1" * 32), _digests(1, 2, 3, 4, 5, 6))
    assert missed_pages(pages, [old], record, 5000) == [1]
    assert missed_pages(pages, [None], record, 5000) == []
    assert missed_pages(pages, [old], make_record(old.id, old.digests), 5000) == []


def test_a_label_of_a_whole() -> None:
    label = b"START WAL LOCATION: 0/2 (file 1)\nINCREMENTAL FROM LSN: 0/1\nINCREMENTAL FROM TLI: 1\nLABEL: x\n"
    assert whole_label(label) == b"START WAL LOCATION: 0/2 (file 1)\nLABEL: x\n"
