"""What a restore of a cluster refuses, and what one that was cut off leaves: never a loss, never a cluster to start."""

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from siltstone.engine import (
    EngineError,
    TargetError,
    back_up,
    parse_deployment,
)
from siltstone.store import ChunkId

from .clusters import Backups, restore
from .quiet import fill
from .servers import Server, Templates


class TestRefusals:
    """Nothing is written."""

    def test_a_folder_of_something_else(self, backups: Backups, other: Server) -> None:
        other.make_folder("data")
        (other.data / "mine").write_text("mine")
        with pytest.raises(TargetError, match="neither empty"):
            restore(backups, backups.level(), other)
        assert os.listdir(other.data) == ["mine"]

    def test_a_server_that_runs_there(self, backups: Backups) -> None:
        level = backups.level()
        with pytest.raises(TargetError, match="seems to run"):
            restore(backups, level, backups.server)
        assert backups.server.sql("SELECT 1") == [("1",)]

    def test_a_tablespace_of_another_cluster(self, backups: Backups, other: Server) -> None:
        """It looks like ours, and all in it that the level does not have would be removed."""
        _, spaces = fill(backups.server, "backup", "pw")
        level = backups.level()
        moves = {str(place): other.make_folder(f"moved {oid}") for oid, place in spaces.items()}
        theirs = next(iter(moves.values())) / "PG_99_1/5/16384"
        theirs.parent.mkdir(parents=True)
        theirs.write_text("rows of others")
        with pytest.raises(TargetError, match="nor a tablespace of"):
            restore(backups, level, other, **moves)
        assert theirs.read_text() == "rows of others"
        assert not other.data.exists()

    def test_a_copy_of_another_cluster(self, backups: Backups, servers: Templates, version: int) -> None:
        with servers.server(version) as another:
            level = backups.level()
            if another.data.joinpath("postmaster.pid").exists():
                another.data.joinpath("postmaster.pid").unlink()
            before = (another.data / "global/pg_control").read_bytes()
            if before[:8] != (backups.server.data / "global/pg_control").read_bytes()[:8]:
                with pytest.raises(TargetError, match="neither empty"):
                    restore(backups, level, another)
            assert (another.data / "global/pg_control").read_bytes() == before

    def test_a_level_without_a_database(self, backups: Backups, other: Server, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("content")
        deployment = parse_deployment(f'name = "y"\n[file-sets.f]\npaths = ["{tmp_path}"]\n')
        result = back_up(backups.store, deployment, report=backups.events.append)
        assert result.level is not None
        with pytest.raises(EngineError, match="no database"):
            restore(backups, result.level, other)


def test_an_interrupted_restore_cannot_be_started(
    backups: Backups, other: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    level = backups.level()
    with monkeypatch.context() as patch:
        patch.setattr("siltstone.engine.postgres.restore_cluster.write_recovery", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            restore(backups, level, other)
    assert not (other.data / "global/pg_control").exists()
    restore(backups, level, other)
    other.start()
    assert other.sql("SELECT count(*) FROM changing") == [("30000",)]


def test_what_cannot_be_listed_is_not_removed(backups: Backups, other: Server) -> None:
    """With a part of the manifest gone, what stands in the target of it is all there is."""
    restore(backups, backups.level(), other)
    before = {path for path in other.data.rglob("*") if path.is_file()}
    level = backups.level("full")
    (files,) = level.sets
    lost = replace(level, sets=(replace(files, index=((ChunkId(bytes(32)), 9),)),))
    assert restore(backups, lost, other).failures
    control = other.data / "global/pg_control"
    assert {path for path in other.data.rglob("*") if path.is_file()} >= before - {control}
    assert not control.exists()


def _interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt
