"""Receiving WAL of real servers: byte for byte what they wrote, over timelines, and no promise that is not kept."""

from collections.abc import Iterator
from functools import partial

import pytest

from siltstone.engine.postgres.connection import connect
from siltstone.engine.postgres.errors import ServerAway
from siltstone.engine.postgres.history import Ancestor, parse_history
from siltstone.engine.postgres.lsn import parse_lsn
from siltstone.engine.postgres.receive import Receiver
from siltstone.engine.postgres.receive_errors import Diverged
from siltstone.engine.postgres.slots import ensure_slot
from siltstone.engine.postgres.wal_names import parse_segment
from siltstone.engine.postgres.wal_record import Checkpoint
from siltstone.engine.postgres.wal_records import read_records
from siltstone.engine.postgres.wal_segment import check_segment
from siltstone.engine.postgres.wal_sink import Position

from .installations import run_as_user
from .servers import Server, Templates
from .streaming import Kept, end_of_wal, load, position_of, streaming, wait_until, written_by
from .wal_making import SIZE


class TestTheStream:
    def test_it_is_what_the_server_wrote(self, source: Server) -> None:
        with connect(source.dsn(), replication=True) as connection:
            slot, made = ensure_slot(connection, "silt")
            assert made
            assert slot.restart_lsn is not None
            assert ensure_slot(connection, "silt") == (slot, False)
        kept = Kept()
        with streaming(source, kept, Position(1, slot.restart_lsn), slot="silt") as work:
            load(source)
            source.sql("SELECT pg_switch_wal()", "INSERT INTO rows VALUES (0, 'open')")
            end = end_of_wal(source)
            work.wait(lambda: kept.position.lsn >= end)
        assert work.ended == [kept.position]
        assert len(kept.segments) >= 2
        for name, data in kept.segments.items():
            assert data == written_by(source, name)
            assert check_segment(name, data, parse_segment(name, SIZE), SIZE).version == source.programs.version
        name, data = kept.open
        assert data
        assert data == written_by(source, name)[: len(data)]

    def test_it_goes_on_where_it_was_stopped(self, source: Server) -> None:
        kept, start = Kept(), position_of(source)
        for _ in range(3):
            with streaming(source, kept, start) as work:
                load(source, 5000)
                end = end_of_wal(source)
                work.wait(partial(lambda end: kept.position.lsn >= end, end))
            assert work.error == []
            start = work.ended[0]
        numbers = [parse_segment(name, SIZE).number for name in kept.segments]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert all(data == written_by(source, name) for name, data in kept.segments.items())

    def test_a_connection_is_good_for_more(self, any_source: Server) -> None:
        kept, start = Kept(), position_of(any_source)
        with connect(any_source.dsn(), replication=True) as connection, Receiver(kept, segment_size=SIZE) as receiver:
            receiver.stop()
            assert receiver.run(connection, start) == start
            assert connection.query("SELECT 1") == [("1",)]


class TestWhatTheServerIsTold:
    def test_it_keeps_what_is_not_durable(self, source: Server) -> None:
        with connect(source.dsn(), replication=True) as connection:
            slot, _ = ensure_slot(connection, "silt")
        assert slot.restart_lsn is not None
        kept = Kept(at_once=False)
        kept.durable = slot.restart_lsn
        with streaming(source, kept, Position(1, slot.restart_lsn), slot="silt", interval=0.05) as work:
            load(source)
            end = end_of_wal(source)
            work.wait(lambda: kept.position.lsn >= end)
            told = "SELECT write_lsn, flush_lsn, replay_lsn FROM pg_stat_replication"
            work.wait(lambda: parse_lsn(source.sql(told)[0][0] or "") >= end)
            assert source.sql(told)[0][2] is None, "nothing is ever applied"
            assert parse_lsn(source.sql(told)[0][1] or "") == slot.restart_lsn
            assert parse_lsn(source.sql("SELECT restart_lsn FROM pg_replication_slots")[0][0] or "") == slot.restart_lsn
            kept.durable = end - 4096
            work.wait(lambda: parse_lsn(source.sql(told)[0][1] or "") == end - 4096)
            assert parse_lsn(source.sql("SELECT restart_lsn FROM pg_replication_slots")[0][0] or "") == end - 4096

    def test_it_hears_at_once_when_the_sink_rings(self, any_source: Server) -> None:
        kept = Kept(at_once=False)
        start = position_of(any_source)
        with streaming(any_source, kept, start, interval=1000) as work:
            load(any_source, 10)
            end = end_of_wal(any_source)
            work.wait(lambda: kept.position.lsn >= end)
            kept.durable = end
            work.receiver.wake()
            told = "SELECT flush_lsn FROM pg_stat_replication"
            work.wait(lambda: any_source.sql(told) == [(f"{end >> 32:X}/{end & 0xFFFFFFFF:X}",)])

    def test_a_server_that_goes_down_does_not_wait(self, source: Server) -> None:
        """It waits until all is flushed: so the sink is asked to hurry, and all of its WAL is here."""
        kept = Kept(at_once=False)
        with streaming(source, kept, position_of(source), interval=1000) as work:
            load(source, 3000)
            source.stop()
            error = work.finish()
        assert isinstance(error, ServerAway)
        assert kept.hurried > 0
        name, data = kept.open
        written = written_by(source, name)
        assert data == written[: len(data)]
        facts = check_segment(name, written, parse_segment(name, SIZE), SIZE, complete=False)
        assert facts.used <= len(data)
        last = read_records(name, data, facts, complete=False).marks[-1]
        assert isinstance(last, Checkpoint)
        assert last.shutdown

    def test_a_sink_without_room_is_not_written_to(self, any_source: Server) -> None:
        kept = Kept()
        start = position_of(any_source)
        with streaming(any_source, kept, start, interval=0.05) as work:
            work.wait(lambda: any_source.sql("SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"))
            kept.full = True
            load(any_source, 50000)
            before = "SELECT reply_time FROM pg_stat_replication"
            first = any_source.sql(before)
            work.wait(lambda: any_source.sql(before) > first)
            end = end_of_wal(any_source)
            assert kept.position.lsn < end
            kept.full = False
            work.receiver.wake()
            work.wait(lambda: kept.position.lsn >= end)


class TestTimelines:
    @pytest.fixture
    def standby(self, source: Server, servers: Templates) -> Iterator[Server]:
        """A standby of `source`, which was stopped for a moment to be copied."""
        source.stop()
        with servers.empty(source.programs.version) as standby:
            run_as_user("cp", "-a", source.data, standby.data)
            (standby.data / "standby.signal").touch()
            standby.configure(f"primary_conninfo = '{source.dsn().replace(chr(39), chr(39) * 2)}'")
            source.start()
            standby.start()
            yield standby

    def test_a_promotion_is_followed(self, source: Server, standby: Server) -> None:
        kept, start = Kept(), position_of(source)
        with streaming(standby, kept, start) as work:
            load(source)
            end = end_of_wal(source)
            work.wait(lambda: kept.position.lsn >= end)
            source.stop()
            standby.sql("SELECT pg_promote()")
            load(standby)
            standby.sql("SELECT pg_switch_wal()", "INSERT INTO rows VALUES (0, 'last')")
            end = end_of_wal(standby)
            work.wait(lambda: kept.position == Position(2, end))
        ((timeline, left),) = kept.left
        assert timeline == 1
        assert list(kept.histories) == [2]
        assert kept.histories[2] == written_by(standby, "00000002.history")
        assert parse_history("it", 2, kept.histories[2]).ancestors == (
            Ancestor(1, left, "no recovery target specified"),
        )
        old, new = ([name for name in kept.segments if name.startswith(f"0000000{each}")] for each in (1, 2))
        assert old
        assert new
        assert all(kept.segments[name] == written_by(standby, name) for name in new)
        assert parse_segment(new[0], SIZE).number == left // SIZE
        ((name, part),) = kept.partial.items()
        assert part == kept.segments[new[0]][: len(part)]
        facts = check_segment(new[0], kept.segments[new[0]], parse_segment(new[0], SIZE), SIZE)
        assert facts.last_timeline == 2
        assert name not in kept.segments

    def test_one_that_comes_back_later_takes_the_same_way(self, source: Server, standby: Server) -> None:
        start = position_of(source)
        load(source)
        end = end_of_wal(source)
        wait_until(lambda: (standby.sql("SELECT pg_last_wal_replay_lsn()")[0][0] or "") >= f"0/{end:X}")
        source.stop()
        standby.sql("SELECT pg_promote()", "SELECT pg_switch_wal()")
        kept = Kept()
        with streaming(standby, kept, start) as work:
            end = end_of_wal(standby)
            work.wait(lambda: kept.position == Position(2, end))
        assert all(data == written_by(standby, name) for name, data in kept.segments.items() if name[7] == "2")
        again = Kept()
        with streaming(standby, again, Position(2, end)) as work:
            work.wait(lambda: again.histories)
        assert again.histories == kept.histories, "one that begins on a later timeline fetches its history first"

    def test_what_never_was_in_its_history_is_refused(self, source: Server, standby: Server) -> None:
        """The old primary went on after the switch: its WAL is void, and must not be taken for the new one's."""
        standby.sql("SELECT pg_promote()")
        load(source)
        with streaming(standby, Kept(), Position(1, end_of_wal(source))) as work:
            error = work.finish()
        assert isinstance(error, Diverged)
        assert "void" in error.hint
