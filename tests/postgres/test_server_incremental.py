"""Levels of which the server said what had changed (PostgreSQL 17 and later): the same bytes as if it had sent all."""

import os
import re
import stat
from pathlib import Path

import pytest

from siltstone.engine import Level, Noted, entries, parse_deployment
from siltstone.engine.postgres.base_relation import BaseRelation
from siltstone.engine.postgres.overlay import Overlay, OverlayLost
from siltstone.engine.postgres.summaries import is_overlaid
from tests.backing_up import content_of

from .clusters import Backups, restore
from .servers import Server, Templates

ROWS = "SELECT count(*), sum(n), md5(string_agg(text, ',' ORDER BY n)) FROM changing"
RELATION = re.compile(r"/(base|global|pg_tblspc)/.*/?[0-9]+(_[a-z]+)?(\.[0-9]+)?$")

pytestmark = pytest.mark.parametrize("version", [18])


@pytest.fixture
def summarized(backups: Backups) -> Backups:
    """A server that summarizes its WAL, backed up over the wire."""
    backups.server.restart(summarize_wal="on")
    return Backups(backups.server, "wire")


def overlaid(level: Level) -> bool:
    assert level.database is not None
    return is_overlaid(level, level.database)


def differing(backups: Backups, level: Level) -> list[str]:
    """The files of relations that are not in the level as they are on the disk."""
    found = []
    for entry in entries(backups.store, level):
        path = Path(os.fsdecode(entry.path))
        is_relation = stat.S_ISREG(entry.mode) and RELATION.search(str(path))
        if is_relation and not (path.exists() and content_of(backups.store, entry) == path.read_bytes()):
            found.append(str(path))
    return found


def noted(backups: Backups) -> list[str]:
    return [event.message for event in backups.events if isinstance(event, Noted) and "everything" in event.message]


CHANGES = [
    ["UPDATE changing SET text = 'changed' WHERE n % 5000 = 7"],
    ["INSERT INTO changing SELECT n, repeat(md5(n::text), 10) FROM generate_series(30001, 40000) n"],
    ["DELETE FROM changing WHERE n > 20000", "VACUUM changing"],
    ["CREATE TABLE small AS SELECT 1 AS n", "CREATE INDEX ON changing (n)"],
    ["UPDATE small SET n = 2", "DROP INDEX changing_n_idx"],
    ["INSERT INTO small SELECT generate_series(1, 20000)", "TRUNCATE changing"],
]


def test_each_level_is_what_is_on_the_disk(summarized: Backups, servers: Templates, version: int) -> None:
    level = summarized.level()
    sizes = []
    for commands in CHANGES:
        summarized.server.sql(*commands, "CHECKPOINT")
        level = summarized.level()
        assert overlaid(level)
        assert differing(summarized, level) == []
        sizes.append(level.stats["new_bytes"])
    assert sizes[0] < 2_000_000
    assert summarized.warned == []
    assert noted(summarized) == []
    rows = summarized.server.sql(ROWS)
    with servers.empty(version) as other:
        assert not restore(summarized, level, other).failures
        other.start()
        assert other.sql(ROWS) == rows
        assert other.sql("SELECT count(*), sum(n) FROM small") == summarized.server.sql(
            "SELECT count(*), sum(n) FROM small"
        )


def test_a_full_read_finds_what_was_missed(summarized: Backups, version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that the server did not send is wrong in that level; the next full read puts it right and tells of it."""
    ((name,),) = summarized.server.sql("SELECT pg_relation_filepath('changing')")
    path = str(summarized.server.data / str(name))
    summarized.level()
    summarized.server.sql("UPDATE changing SET text = 'x' WHERE n % 3000 = 7", "CHECKPOINT")
    real = Overlay._take_page

    def forget(self: Overlay) -> None:
        if self._name.endswith(os.path.basename(path)) and self._at == 0:
            first = next(self._parent.cells())
            assert first is not None
            self._page[:] = self._parent.content(first)[: len(self._page)]
        real(self)

    with monkeypatch.context() as forgetting:
        forgetting.setattr(Overlay, "_take_page", forget)
        assert differing(summarized, summarized.level()) == [path]
    text = f'name = "x"\n[postgres]\ndsn = "{summarized.server.dsn()}"\nmode = "wire"\nfull-read-days = 0\n'
    summarized.deployment = parse_deployment(text)
    level = summarized.level()
    assert not overlaid(level)
    (warned,) = summarized.warned
    assert (warned.kind, warned.path) == ("missed", path)
    assert "page of block 0" in warned.message
    assert differing(summarized, level) == []
    summarized.level()
    assert len(summarized.warned) == 1, "once is enough"


def test_it_is_asked_for_everything_where_it_refuses(summarized: Backups, version: int) -> None:
    summarized.level()
    server: Server = summarized.server
    server.restart(summarize_wal="off")
    assert not overlaid(summarized.level())
    assert noted(summarized) == ["the server sends everything: summarize_wal is off"]
    summarized.events.clear()
    for path in (server.data / "pg_wal" / "summaries").iterdir():
        path.unlink()
    server.sql("INSERT INTO changing SELECT n, 'new' FROM generate_series(1, 20000) n", "CHECKPOINT")
    server.restart(summarize_wal="on")
    level = summarized.level()
    assert not overlaid(level)
    (said,) = noted(summarized)
    assert "summar" in said
    assert differing(summarized, level) == []


def test_what_the_level_before_lost_is_read_again(
    summarized: Backups, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    summarized.level()
    summarized.server.sql("UPDATE changing SET text = 'x' WHERE n = 7", "CHECKPOINT")

    with monkeypatch.context() as losing:
        losing.setattr(BaseRelation, "content", _lost)
        level = summarized.level()
    assert not overlaid(level)
    assert "the level before cannot give all of" in noted(summarized)[0]
    assert differing(summarized, level) == []


def _lost(self: BaseRelation, cell: object) -> bytes:
    raise OverlayLost("a file")
