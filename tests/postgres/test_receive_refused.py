"""Streams that a server refuses or breaks off: each for its own reason, with what to do."""

import signal

import pytest

from siltstone.engine import ConfigError
from siltstone.engine.postgres.connection import connect
from siltstone.engine.postgres.errors import PostgresError, ServerAway
from siltstone.engine.postgres.identity import identify
from siltstone.engine.postgres.receive import Receiver
from siltstone.engine.postgres.receive_errors import Diverged, OtherCluster, WalRemoved
from siltstone.engine.postgres.slots import drop_slot, ensure_slot, read_slot
from siltstone.engine.postgres.wal_sink import Position

from .servers import Server
from .streaming import Kept, load, position_of, streaming, wait_until
from .wal_making import SIZE


class TestRefusals:
    def test_another_cluster(self, any_source: Server) -> None:
        with connect(any_source.dsn(), replication=True) as connection:
            known = identify(connection)
            assert identify(connection, known.system_identifier) == known
            with pytest.raises(OtherCluster, match=rf"the cluster {known.system_identifier}, not 77") as caught:
                identify(connection, 77)
            assert caught.value.hint
            with Receiver(Kept(), segment_size=SIZE) as receiver, pytest.raises(OtherCluster):
                receiver.run(connection, known.position, 77)

    def test_wal_that_was_removed(self, any_source: Server) -> None:
        start = position_of(any_source)
        for _ in range(5):
            load(any_source, 100)
            any_source.sql("SELECT pg_switch_wal()")
        any_source.sql("CHECKPOINT", "SELECT pg_switch_wal()", "CHECKPOINT")
        with streaming(any_source, Kept(), start) as work:
            error = work.finish()
        assert isinstance(error, WalRemoved)
        assert "has already been removed" in str(error)
        assert "full backup" in error.hint

    def test_a_place_that_is_not_there_yet(self, any_source: Server) -> None:
        with streaming(any_source, Kept(), Position(1, 1 << 40)) as work:
            error = work.finish()
        assert isinstance(error, Diverged)
        assert "ahead of the WAL" in str(error)

    def test_a_timeline_that_is_not_there(self, any_source: Server) -> None:
        with streaming(any_source, Kept(), Position(7, SIZE)) as work:
            error = work.finish()
        assert isinstance(error, PostgresError)
        assert "00000007.history" in str(error)

    def test_a_server_that_crashes(self, any_source: Server) -> None:
        kept = Kept()
        with streaming(any_source, kept, position_of(any_source)) as work:
            work.wait(lambda: kept.open[1])
            any_source.stop(signal.SIGQUIT)
            assert isinstance(work.finish(), ServerAway)

    def test_slots(self, any_source: Server) -> None:
        start = position_of(any_source)
        with streaming(any_source, Kept(), start, slot="nowhere") as work:
            error = work.finish()
        assert isinstance(error, PostgresError)
        assert "full backup" in error.hint
        with connect(any_source.dsn(), replication=True) as connection:
            ensure_slot(connection, "silt")
            kept = Kept()
            with streaming(any_source, kept, start, slot="silt") as first:
                first.wait(lambda: kept.open[1])
                slot = read_slot(connection, "silt")
                assert slot is not None
                assert slot.active
                assert not slot.lost
                with streaming(any_source, Kept(), start, slot="silt") as second:
                    error = second.finish()
                assert isinstance(error, PostgresError)
                assert "another receiver" in error.hint
            wait_until(lambda: not getattr(read_slot(connection, "silt"), "active", True))
            drop_slot(connection, "silt")
            assert read_slot(connection, "silt") is None

    @pytest.mark.parametrize("name", ["", "Silt", "s-1", "x' OR 'a' = 'a", "a" * 64])
    def test_names_of_slots(self, name: str) -> None:
        with pytest.raises(ConfigError, match="is no name of a slot"):
            Receiver(Kept(), segment_size=SIZE, slot=name)
