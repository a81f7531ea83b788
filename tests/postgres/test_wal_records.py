"""Records of real WAL: what pg_waldump says, and what a walk from record to record finds, is what we find."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from siltstone.engine.postgres import wal_chain
from siltstone.engine.postgres.errors import Malformed
from siltstone.engine.postgres.wal_content import content_of
from siltstone.engine.postgres.wal_names import WalSegment, parse_segment
from siltstone.engine.postgres.wal_pages import CONTINUED, OVERWRITTEN, WAL_PAGE, headers
from siltstone.engine.postgres.wal_record import (
    BackupEnd,
    Checkpoint,
    EndOfRecovery,
    Mark,
    Outcome,
    RestorePoint,
    Switch,
    Transaction,
    parse_record,
)
from siltstone.engine.postgres.wal_records import Records, check_records, join, read_records
from siltstone.engine.postgres.wal_segment import check_segment

from .servers import Templates
from .wal_making import SETTINGS, SIZE, Dumped, MadeWal, cut_off_by_a_crash, dumped_time, stepped


def all_records(made: MadeWal) -> dict[str, Records]:
    return {name: read_records(name, data, made.facts(name)) for name, data in made.segments.items()}


def everything(made: MadeWal) -> Iterator[Transaction | Mark]:
    """Transactions and marks of all segments, those across a border among them."""
    cut = None
    for records in all_records(made).values():
        if cut is not None and (joined := join(cut, records.head, made.version)) is not None:
            yield joined
        yield from (records.transactions[at] for at in range(len(records.transactions)))
        yield from records.marks
        cut = records.cut


class TestAgainstPgWaldump:
    @pytest.fixture
    def dumped(self, made: MadeWal) -> list[Dumped]:
        if not made.dumped:
            pytest.skip(f"this installation of PostgreSQL {made.version} has no pg_waldump")
        end = parse_segment(made.open[0], SIZE).start(SIZE)
        return [line for line in made.dumped if line.lsn < end]

    def test_every_record_is_counted(self, made: MadeWal, dumped: list[Dumped]) -> None:
        counts = dict.fromkeys(made.segments, 0)
        crossing = dict.fromkeys(made.segments, 0)
        starts = [line.lsn for line in dumped] + [parse_segment(made.open[0], SIZE).start(SIZE)]
        for lsn, following in itertools.pairwise(starts):
            name = WalSegment(1, lsn // SIZE).name(SIZE)
            counts[name] += 1
            crossing[name] += following // SIZE > lsn // SIZE and following % SIZE > 40
        for name, records in all_records(made).items():
            assert records.count == counts[name] - crossing[name], name
            assert (records.cut is not None) == bool(crossing[name]), name

    def test_every_end_of_a_transaction_is_found(self, made: MadeWal, dumped: list[Dumped]) -> None:
        outcomes = {name.name: name for name in Outcome}
        expected = {
            line.lsn: (outcomes[line.what.split(" 20")[0].split(":")[0].rstrip(" 0123456789")], dumped_time(line.what))
            for line in dumped
            if line.manager == "Transaction" and line.what.startswith(("COMMIT", "ABORT"))
        }
        xids = {line.lsn: line.xid for line in dumped}
        found = [each for each in everything(made) if isinstance(each, Transaction)]
        assert {each.lsn: (each.outcome, each.time) for each in found} == expected
        assert len(found) == len(expected) > 9000
        plain = [each for each in found if each.outcome in (Outcome.COMMIT, Outcome.ABORT)]
        assert all(each.xid == xids[each.lsn] for each in plain)

    def test_every_mark_is_found(self, made: MadeWal, dumped: list[Dumped]) -> None:
        kinds = {"CHECKPOINT_SHUTDOWN": Checkpoint, "CHECKPOINT_ONLINE": Checkpoint, "SWITCH": Switch}
        kinds |= {"RESTORE_POINT": RestorePoint, "BACKUP_END": BackupEnd, "END_OF_RECOVERY": EndOfRecovery}
        expected = {
            line.lsn: kinds[line.what.split()[0]]
            for line in dumped
            if line.manager == "XLOG" and line.what.split()[0] in kinds
        }
        found = [each for each in everything(made) if not isinstance(each, Transaction)]
        assert {each.lsn: type(each) for each in found} == expected
        assert set(expected.values()) >= {Checkpoint, RestorePoint, Switch}


class TestAgainstTheServer:
    def test_times_and_xids_are_those_of_the_server(self, made: MadeWal) -> None:
        found = {each.xid: each for each in everything(made) if isinstance(each, Transaction)}
        plain = {xid: time for xid, time in made.committed.items() if xid in found}
        assert len(plain) > 9000
        assert {xid: found[xid].time for xid in plain} == plain

    def test_prepared_transactions_have_their_own_xid(self, made: MadeWal) -> None:
        found = [each for each in everything(made) if isinstance(each, Transaction)]
        prepared = [each for each in found if each.outcome in (Outcome.COMMIT_PREPARED, Outcome.ABORT_PREPARED)]
        assert [each.outcome for each in prepared] == [Outcome.COMMIT_PREPARED, Outcome.ABORT_PREPARED]
        assert all(min(made.committed) < each.xid <= max(made.committed) for each in prepared)
        assert len({each.xid for each in prepared} | {each.xid for each in found}) == len(found)

    def test_restore_points_have_their_names(self, made: MadeWal) -> None:
        points = [each for each in everything(made) if isinstance(each, RestorePoint)]
        assert [point.name for point in points] == ["the first", "the sécond, of " + "x" * 40]
        assert points[0].time < points[1].time


class TestTheWalk:
    def test_it_is_that_from_record_to_record(self, made: MadeWal) -> None:
        """In segments that hold pieces of themselves, too."""
        for name, data in made.segments.items():
            facts = made.facts(name)
            content = content_of(data, facts)
            chain = wal_chain.chain_of(name, content, complete=True)
            steps = list(stepped(data, facts.start))
            assert content.lsns(chain.whole).tolist() == [lsn for lsn, _ in steps]
            for at, (lsn, record) in zip(chain.whole.tolist(), steps, strict=True):
                assert content.lsn(at) == lsn
                assert content.bytes(at, wal_chain.length_at(content, at)) == record

    def test_what_looks_like_records_is_told_apart(self, made: MadeWal, monkeypatch: pytest.MonkeyPatch) -> None:
        followed = []
        follow = wal_chain._follow

        def counted(*args: np.ndarray) -> np.ndarray:
            chain = follow(*args)
            followed.append(len(args[0]) - len(chain))
            return chain

        monkeypatch.setattr(wal_chain, "_follow", counted)
        all_records(made)
        assert max(followed) > 100

    def test_every_record_is_sound(self, made: MadeWal) -> None:
        for name, records in all_records(made).items():
            assert check_records(name, made.segments[name], made.facts(name)) == records.count

    def test_segments_join_without_a_gap(self, made: MadeWal) -> None:
        ends = [records.end for records in all_records(made).values()]
        starts = [made.facts(name).start for name in made.segments]
        assert all(start < end <= start + SIZE for start, end in zip(starts, ends, strict=True) if end % SIZE)

    def test_an_open_segment_ends_where_the_server_stopped(self, made: MadeWal) -> None:
        name, data = made.open
        facts = check_segment(name, data, parse_segment(name, SIZE), SIZE, complete=False)
        records = read_records(name, data, facts, complete=False)
        assert isinstance(records.marks[-1], Checkpoint)
        assert records.marks[-1].shutdown
        assert facts.start + facts.used <= records.end < facts.start + facts.used + 64
        for length in range(facts.used - 200, facts.used, 8):
            part = check_segment(name, data[:length], parse_segment(name, SIZE), SIZE, complete=False)
            steps = zip(stepped(data, 0), stepped(data[:length].ljust(SIZE, b"\0"), 0), strict=False)
            whole = sum(record == short for record, short in steps)
            assert read_records(name, data[:length], part, complete=False).count == whole


class TestDamage:
    def test_a_flipped_bit_is_found(self, made: MadeWal) -> None:
        name, data = next((name, data) for name, data in made.segments.items() if made.facts(name).used == SIZE)
        facts = made.facts(name)
        steps = list(stepped(data, facts.start))
        for lsn, record in steps[:: len(steps) // 20]:
            at = lsn - facts.start + (len(record) - 1 if (lsn + len(record)) // WAL_PAGE == lsn // WAL_PAGE else 20)
            bad = bytearray(data)
            bad[at] ^= 4
            with pytest.raises(Malformed, match=f"the record at {lsn >> 32:X}/{lsn & 0xFFFFFFFF:X} is damaged"):
                check_records(name, bytes(bad), facts)

    @pytest.mark.parametrize("value", [b"\x05\0\0\0", b"\x40\x20\0\0"])
    def test_a_chain_that_breaks_is_damage_or_the_end(self, made: MadeWal, value: bytes) -> None:
        name, data = next((name, data) for name, data in made.segments.items() if made.facts(name).used == SIZE)
        facts = made.facts(name)
        steps = list(stepped(data, facts.start))
        at = steps[len(steps) // 2][0] - facts.start
        bad = data[:at] + value + data[at + 4 :]
        with pytest.raises(Malformed, match="no record follows the one that ends at"):
            read_records(name, bad, facts)
        part = read_records(name, bad, facts, complete=False)
        assert part.count in (len(steps) // 2, len(steps) // 2 + 1)

    def test_zeros_without_a_switch_are_lost_bytes(self, made: MadeWal) -> None:
        """The headers alone cannot tell: a segment may end early."""
        for name, data in made.segments.items():
            for pages in (1, 64, 127):
                bad = data[: pages * WAL_PAGE].ljust(SIZE, b"\0")
                facts = check_segment(name, bad, parse_segment(name, SIZE), SIZE)
                if facts.used < made.facts(name).used:
                    with pytest.raises(Malformed, match="and not with a switch of segments"):
                        read_records(name, bad, facts)

    def test_zeros_at_the_end_of_the_last_page_are_lost_bytes(self, made: MadeWal) -> None:
        name, data = next((name, data) for name, data in made.segments.items() if made.facts(name).used == SIZE)
        facts = made.facts(name)
        lsn, _ = list(stepped(data, facts.start))[-1]
        assert lsn > facts.start + SIZE - WAL_PAGE
        bad = data[: lsn - facts.start].ljust(SIZE, b"\0")
        with pytest.raises(Malformed, match="and not with a switch of segments"):
            read_records(name, bad, facts)


def test_a_record_that_a_crash_cut_off(servers: Templates, version: int) -> None:
    """Its rest never came: the WAL goes on at the start of the page where it was to go on."""
    with servers.server(version) as server:
        server.configure(SETTINGS)
        server.start()
        server.sql("CREATE TABLE small (n int)")
        cut = cut_off_by_a_crash(server)
        server.sql("INSERT INTO small VALUES (3)", "SELECT pg_switch_wal()")
        following = parse_segment(cut, SIZE).next().name(SIZE)
        data = (server.data / "pg_wal" / following).read_bytes()
    facts = check_segment(following, data, parse_segment(following, SIZE), SIZE)
    first = headers(data)[0]
    if not first["info"] & OVERWRITTEN:
        pytest.skip("this release writes no such page")
    assert not first["info"] & CONTINUED
    records = read_records(following, data, facts)
    assert len(records.transactions) >= 1
    assert check_records(following, data, facts) == records.count
    assert records.head == b""


class TestParsing:
    @pytest.mark.parametrize("length", [0, 8, 24, 26, 33])
    def test_too_little_is_refused(self, length: int) -> None:
        record = bytes(17) + b"\1" + bytes(6) + b"\xff\x08" + bytes(8)
        assert parse_record(1, record, 15) is not None
        with pytest.raises(ValueError, match="too short"):
            parse_record(1, record[:length], 15)

    def test_an_origin_and_a_toplevel_xid_are_passed_over(self) -> None:
        record = bytes(17) + b"\1" + bytes(6) + b"\xfd\1\2" + b"\xfc\1\2\3\4" + b"\xfe\x08\0\0\0" + bytes(8)
        parsed = parse_record(1, record, 15)
        assert parsed == Transaction(1, 946_684_800_000_000, 0, Outcome.COMMIT)

    def test_other_kinds_are_none(self) -> None:
        assert parse_record(1, bytes(17) + b"\x0a" + bytes(30), 15) is None
