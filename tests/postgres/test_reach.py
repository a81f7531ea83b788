"""Point-in-time recovery from a level and the archive: a moment that can be reached is reached, row by row; any other
is refused before anything is written, with the nearest ones named.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from siltstone.engine.postgres.lsn import parse_lsn

from . import archiving
from .archiving import Archive, all_archived, content, load, prepare, promoted
from .servers import Server, Templates


class Archived:
    """A server that archives, whose levels lie in the same store."""

    def __init__(self, server: Server, archive: Archive, mode: str) -> None:
        self.server, self.archive = server, archive
        conf = archive.folder / "deployment.toml"
        conf.write_text(f'name = "x"\n[postgres]\ndsn = "{server.dsn()}"\nmode = "{mode}"\n')
        prepare(server)
        server.restart(**archive.settings)

    def back_up(self) -> None:
        self.archive.run("backup", "-c", self.archive.folder / "deployment.toml", "-q")

    def now(self) -> str:
        """A moment of the server's, with transactions clearly before and after it."""
        time.sleep(0.01)
        ((moment,),) = self.server.sql("SELECT clock_timestamp()")
        time.sleep(0.01)
        return str(moment)

    def restore(self, target: Path, *words: str, code: int = 0) -> str:
        done = self.archive.run("restore", "latest", "--to", target, *words, code=code)
        if os.geteuid() == 0 and target.exists():
            subprocess.run(["chown", "-R", "--reference", target.parent, target], check=True)
        return done.stdout + done.stderr

    def restore_onto(self, target: Path, *words: str) -> None:
        """Through a file that describes the destination: its data directory is there, and no other than it is told."""
        goal = self.archive.folder / "goal.toml"
        goal.write_text('name = "x"\n[file-sets.a]\npaths = ["/nowhere"]\n')
        refused = self.archive.run("restore", "latest", "--onto", goal, *words, code=1)
        assert "the destination has no database" in refused.stderr
        goal.write_text(f'name = "x"\n[postgres]\ndsn = ""\ndata-directory = "{target}"\n')
        told = self.archive.run("restore", "latest", "--onto", goal, *words, "--dry-run").stdout
        assert f"started there, it replays WAL until {words[0].removeprefix('--until-')} {words[1]}" in told
        self.archive.run("restore", "latest", "--onto", goal, *words)
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", "--reference", target.parent, target], check=True)


@pytest.fixture
def archived(server: Server, version: int) -> Iterator[Archived]:
    with archiving.archive() as archive:
        yield Archived(server, archive, "local" if version % 2 else "wire")
        server.stop()  # before its archive goes


def test_to_a_time_a_name_a_transaction_and_an_lsn(archived: Archived, servers: Templates, version: int) -> None:
    server = archived.server
    load(server, 0, 5)
    archived.back_up()
    load(server, 5, 5)
    server.sql("SELECT pg_create_restore_point('half')")
    half, moment = content(server), archived.now()
    ((lsn,),) = server.sql("SELECT pg_current_wal_lsn()")
    ((xid, *_),) = server.sql("INSERT INTO rows VALUES (777, 1, 'x') RETURNING pg_current_xact_id()::xid")
    one_more = content(server)
    load(server, 10, 5)
    all_archived(server)
    whole = content(server)
    targets: list[tuple[list[str], list[Any]]] = [
        (["--until", moment], half),
        (["--until-name", "half"], half),
        (["--until-lsn", str(lsn), "--exclusive"], half),
        (["--until-xid", str(xid)], one_more),
        (["--until-xid", str(xid), "--exclusive"], half),
        (["--until", "latest"], whole),
    ]
    # All of them in one version is enough for a run; the settings are the same words in all.
    for words, expected in targets if version == 15 else [targets[0], targets[-1]]:
        with servers.empty(version) as copy:
            onto = words[0] == "--until-name"
            (archived.restore_onto if onto else archived.restore)(copy.data, *words)
            copy.start(restore_command=archived.archive.restore_command)
            assert content(promoted(copy)) == expected, words
            assert copy.sql("SHOW archive_mode") == [("off",)]


@pytest.mark.parametrize("version", [18])
def test_a_moment_alone_picks_the_level(archived: Archived, servers: Templates, version: int) -> None:
    server = archived.server
    archived.back_up()
    load(server, 0, 5)
    early, moment = content(server), archived.now()
    load(server, 5, 5)
    archived.back_up()
    load(server, 10, 5)
    all_archived(server)
    with servers.empty(version) as copy:
        assert "x:0/0 would be restored" in archived.restore(copy.data, "--until", moment, "--dry-run")
        assert not copy.data.exists()
        assert "x:0/0" in archived.restore(copy.data, "--until", moment)
        copy.start(restore_command=archived.archive.restore_command)
        assert content(promoted(copy)) == early


@pytest.mark.parametrize("version", [18])
def test_what_cannot_be_reached_is_refused(archived: Archived, tmp_path: Path) -> None:
    server = archived.server
    before = archived.now()
    ((old_lsn,),) = server.sql("SELECT pg_current_wal_lsn()")
    archived.back_up()
    load(server, 0, 30)
    all_archived(server)
    after = archived.now()
    target = tmp_path / "data"
    for words, said in [
        (["--until", before], "no level with a database was finished before"),
        (["--until", after], "the last commit in the archive is of"),
        (["--until-lsn", str(old_lsn)], "is before the end of that level's backup"),
        (["--until-lsn", "FF/0"], "and no further"),
        (["--until-name", "nowhere"], "no restore point nowhere is archived"),
        (["--until-xid", "4000000000"], "no transaction 4000000000 is archived"),
        (["--until", "soon"], "'soon' is no moment"),
        (["--until", "latest", "--timeline", "7"], "timeline 7 cannot be reached"),
    ]:
        assert said in archived.restore(target, *words, code=1), words
    segments = sorted(name for name in archived.archive.objects() if len(name) == 24)
    (whole,) = archived.archive.status()["reachable"]
    since, last = (datetime.fromisoformat(whole[end]) for end in ("from", "to"))
    assert datetime.fromisoformat(before) < since < last < datetime.fromisoformat(after)
    assert f"is of {last:%Y-%m-%d %H:%M:%S}" in archived.restore(target, "--until", after, code=1)
    archived.archive.objects()[segments[-2]].unlink()
    (short,) = archived.archive.status()["reachable"]
    assert (short["from_lsn"], short["timeline"]) == (whole["from_lsn"], 1)
    assert parse_lsn(whole["from_lsn"]) <= parse_lsn(short["to_lsn"]) < parse_lsn(whole["to_lsn"])
    said = archived.restore(target, "--until", "latest", code=1)
    assert f"{segments[-2]} is missing in the archive" in said
    assert not target.exists()
    shutil.rmtree(archived.archive.store / "wal")
    assert "leads to" in archived.restore(target, "--until-lsn", "FF/0", code=1)


@pytest.mark.slow
@pytest.mark.parametrize("version", [15])
def test_along_the_timeline_that_was_left(archived: Archived, servers: Templates, version: int) -> None:
    """After a recovery two branches lie in the archive: the newest is the default, the other can be named."""
    server = archived.server
    archived.back_up()
    load(server, 0, 5)
    moment = archived.now()
    load(server, 5, 60)  # far beyond what the other branch will have
    all_archived(server)
    first = content(server)
    server.stop()
    with servers.empty(version) as copy:
        archived.restore(copy.data, "--until", moment)
        settings = {**archived.archive.settings, "restore_command": archived.archive.restore_command}
        copy.start(**settings)
        promoted(copy)
        load(copy, 100, 5)
        all_archived(copy)
        second = content(copy)
        copy.stop()
    ways = archived.archive.status()["reachable"]
    assert [(each["timeline"], each["level"]) for each in ways] == [(1, "x:0/0"), (2, "x:0/0")]
    for words, expected in ([], second), (["--timeline", "1"], first):
        with servers.empty(version) as again:
            archived.restore(again.data, "--until", "latest", *words)
            again.start(restore_command=archived.archive.restore_command)
            assert content(promoted(again)) == expected


@pytest.mark.parametrize("version", [18])
def test_after_an_older_level_was_forgotten(
    archived: Archived, servers: Templates, version: int, tmp_path: Path
) -> None:
    """WAL that it alone needed goes, the level that is kept recovers as before, and nobody takes a gap for the end."""
    server, archive = archived.server, archived.archive
    archived.back_up()
    load(server, 0, 5)
    all_archived(server)
    archived.back_up()
    load(server, 5, 5)
    all_archived(server)
    whole, before = content(server), set(archive.objects())
    (reached,) = archive.status()["reachable"]
    assert (reached["level"], reached["levels"]) == ("x:0/0", 2)
    drawn = archive.run("forget", "0/0", "--dry-run").stdout
    assert [line.split()[-1] for line in drawn.splitlines() if line.startswith("  x:0/")] == ["goes", "stays"]
    archive.run("forget", "0/0", "--undelete-window", "0", "-q")
    gone = sorted(name for name in before - set(archive.objects()) if len(name) == 24)
    assert gone
    (left,) = archive.status()["reachable"]
    assert (left["level"], left["levels"]) == ("x:0/1", 1)
    assert reached["from"] < left["from"] < left["to"] == reached["to"]
    assert f"{left['from_lsn']}  {left['to_lsn']}  x:0/1" in archive.run("wal", "status").stdout
    assert archive.status()["gaps"] == []
    assert archive.run("wal", "fetch", gone[-1], tmp_path / "segment", code=None).returncode >= 200
    with servers.empty(version) as copy:
        archived.restore(copy.data, "--until", "latest")
        copy.start(restore_command=archive.restore_command)
        assert content(promoted(copy)) == whole
