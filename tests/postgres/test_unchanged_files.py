"""Files that a backup on the server's host does not read again, and when it has to."""

import pytest

from siltstone.engine.postgres.gather import Gatherer

from .clusters import Backups
from .installations import hand_over
from .servers import Server


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The paths of the files that were taken over from the base level."""
    real, found = Gatherer.keep, []

    def keep(self: Gatherer, path: bytes, row: bytes) -> None:
        found.append(path)
        real(self, path, row)

    monkeypatch.setattr(Gatherer, "keep", keep)
    return found


def promote(server: Server) -> None:
    """Go on with the same files, on a new timeline."""
    server.stop()
    (server.data / "standby.signal").touch()
    hand_over(server.data / "standby.signal")
    server.start()
    server.sql("SELECT pg_promote()")
    assert server.sql("SELECT pg_is_in_recovery()") == [("f",)]


@pytest.mark.parametrize("version", [15])
def test_a_new_timeline_has_everything_read(backups: Backups, version: int, kept: list[bytes]) -> None:
    assert backups.mode == "local"
    first = backups.level()
    backups.level()
    assert len(kept) > 250, "of a server that stands still"
    kept.clear()
    promote(backups.server)
    backups.server.sql("CHECKPOINT")
    third = backups.level()
    assert first.database is not None
    assert third.database is not None
    assert (first.database.timeline, third.database.timeline) == (1, 2)
    assert kept == []
    backups.level()
    assert len(kept) > 250
