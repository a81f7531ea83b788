"""A standby to which no WAL comes any more: its backups end, of both ways, full and incremental, and they restore.

Rule: the primary is gone, and the standby's own archiving never succeeds: whoever waits for WAL here waits for ever, so
a backup that did would run into the limit of a test.
"""

import pytest

from .clusters import Backups, restore
from .installations import run_as_user
from .servers import Server, Templates


def follow(standby: Server, primary: Server) -> None:
    """Start both, the one as a copy of the other."""
    primary.start()  # so that its own settings stand in pg_control
    primary.stop()
    run_as_user("cp", "-a", primary.data, standby.data)
    run_as_user("touch", standby.data / "standby.signal")
    quoted = primary.dsn().replace("'", "''")
    standby.configure(f"primary_conninfo = '{quoted}'\narchive_mode = always\narchive_command = 'false'")
    primary.start()
    standby.start()


@pytest.mark.slow
@pytest.mark.parametrize("version", [15, 18])
def test_its_backups_end_and_restore(servers: Templates, version: int) -> None:
    with servers.server(version) as primary, servers.empty(version) as standby:
        follow(standby, primary)
        primary.sql("CREATE TABLE rows AS SELECT generate_series(1, 20000) AS n", "CHECKPOINT")
        ((end,),) = primary.sql("SELECT pg_current_wal_flush_lsn()")
        while standby.sql(f"SELECT pg_last_wal_replay_lsn() >= '{end}'") != [("t",)]:
            pass
        primary.stop()
        for mode in ("wire", "local"):
            backups = Backups(standby, mode)
            levels = [backups.level("full"), backups.level("incr")]
            assert all(level.database is not None and level.database.from_standby for level in levels)
            with servers.empty(version) as copy:
                assert not restore(backups, levels[-1], copy).failures
                (copy.data / "standby.signal").unlink(missing_ok=True)
                copy.start(archive_mode="off")
                assert copy.sql("SELECT count(*) FROM rows") == [("20000",)]
