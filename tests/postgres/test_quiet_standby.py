"""Standbys in trouble. One to which no WAL comes any more: its backups end, of both ways, full and incremental, they
say so, and they restore. One that goes over to another timeline, or is promoted, while it is read: there is no level.

Rule: the primary is gone, and the standby's own archiving never succeeds: whoever waits for WAL here waits for ever, so
a backup that did would run into the limit of a test.
"""

from collections.abc import Iterator

import pytest

from siltstone.engine.postgres.errors import PostgresError
from siltstone.engine.postgres.gather import Gatherer

from .archiving import until
from .clusters import Backups, restore
from .installations import run_as_user
from .servers import Server, Templates

DRY = ("standby", "no WAL reaches this standby")


def follow(standby: Server, primary: Server) -> None:
    """Start both, the one as a copy of the other; a checkpoint takes no WAL away that has not come over yet."""
    primary.start()  # so that its own settings stand in pg_control
    primary.stop()
    run_as_user("cp", "-a", primary.data, standby.data)
    run_as_user("touch", standby.data / "standby.signal")
    quoted = primary.dsn().replace("'", "''")
    standby.configure(f"primary_conninfo = '{quoted}'\narchive_mode = always\narchive_command = 'false'")
    primary.configure("wal_keep_size = '64MB'")
    primary.start()
    standby.start()


@pytest.mark.slow
@pytest.mark.parametrize("version", [15, 18])
def test_its_backups_end_and_restore(servers: Templates, version: int) -> None:
    with servers.server(version) as primary, servers.empty(version) as standby:
        follow(standby, primary)
        primary.sql("CREATE TABLE rows AS SELECT generate_series(1, 20000) AS n", "CHECKPOINT")
        ((end,),) = primary.sql("SELECT pg_current_wal_flush_lsn()")
        replayed = f"SELECT pg_last_wal_replay_lsn() >= '{end}'"
        until(lambda: standby.sql(replayed) == [("t",)], "the standby lags")
        fed = Backups(standby, "wire")
        fed.level()
        assert not fed.warned
        primary.stop()
        for mode in ("wire", "local"):
            backups = Backups(standby, mode)
            levels = [backups.level("full"), backups.level("incr")]
            assert [(each.kind, each.message.partition(":")[0]) for each in backups.warned] == 2 * [DRY]
            assert all(level.database is not None and level.database.from_standby for level in levels)
            with servers.empty(version) as copy:
                assert not restore(backups, levels[-1], copy).failures
                (copy.data / "standby.signal").unlink(missing_ok=True)
                copy.start(archive_mode="off")
                assert copy.sql("SELECT count(*) FROM rows") == [("20000",)]


@pytest.fixture
def chain(servers: Templates, version: int) -> Iterator[tuple[Server, Server]]:
    """A standby, and one that follows it in its turn."""
    with servers.server(version) as primary, servers.empty(version) as first, servers.empty(version) as second:
        follow(first, primary)
        first.stop()
        run_as_user("cp", "-a", first.data, second.data)
        quoted = first.dsn().replace("'", "''")
        second.configure(f"primary_conninfo = '{quoted}'")
        first.start()
        second.start()
        yield first, second


@pytest.mark.slow
@pytest.mark.parametrize("version", [15])
@pytest.mark.parametrize("mode", ["wire", "local"])
@pytest.mark.parametrize("who", ["itself", "the one before"])
def test_a_timeline_that_changes_meanwhile(
    chain: tuple[Server, Server], version: int, mode: str, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = chain
    real, ended = Gatherer.end, []

    def promote(self: Gatherer) -> None:
        real(self)
        ended.append(1)
        if len(ended) == 100 and who == "itself":
            second.sql("SELECT pg_promote()")
        elif len(ended) == 100:
            # a backup of a standby begins at a checkpoint that it replayed: the next one shall find one of timeline 2
            first.sql("SELECT pg_promote()", "CHECKPOINT", "CREATE TABLE later (n int)")
            until(lambda: second.sql("SELECT to_regclass('later')") != [(None,)], "the second one lags")

    monkeypatch.setattr(Gatherer, "end", promote)
    backups = Backups(second, mode)
    with pytest.raises(PostgresError, match="promoted" if who == "itself" else "went over from timeline 1 to 2"):
        backups.level()
    assert list(backups.store.root_names()) == []
    level = backups.level()
    assert level.database is not None
    assert level.database.timeline == 2
