"""Rows of the restore matrix with a real database: its part is one of several, and it starts where the level is put."""

import os
import subprocess
from pathlib import Path

import pytest

from siltstone.engine import Level, back_up, check_allowed, parse_deployment, plan_onto, restore_onto
from siltstone.store import Store
from tests.backed_up import ignore
from tests.store.backends import MemoryBackend

from .servers import Server

CLUSTER = """
name = "app"
version = "1"
[variables]
ROOT = "/nowhere"
[hosts.node1]
[hosts.node2]
[hosts.db]
role = "database"
[file-sets.conf]
paths = ["$ROOT/etc"]
hosts = ["node1", "node2"]
[postgres]
dsn = "{dsn}"
mode = "wire"
host = "db"
"""
ALONE = """
name = "app"
version = "1"
[variables]
ROOT = "{root}"
SPACES = "{spaces}"
[file-sets.conf]
paths = ["$ROOT/etc"]
[postgres]
dsn = ""
data-directory = "{data}"
"""


@pytest.fixture
def version() -> int:
    return 15


def test_a_cluster_becomes_a_standalone(server: Server, other: Server, tmp_path: Path) -> None:
    server.sql("CREATE TABLE kept AS SELECT n FROM generate_series(1, 100) n")
    store = Store.init(MemoryBackend(), [])
    level: Level | None = None
    for host in ("db", "node1", "node2"):
        assert level is None
        (tmp_path / host / "etc").mkdir(parents=True)
        (tmp_path / host / "etc" / "name").write_text(host)
        text = CLUSTER.format(dsn=server.dsn())
        deployment = parse_deployment(text, variables={"ROOT": str(tmp_path / host)})
        level = back_up(store, deployment, here=host, report=ignore).level
    assert level is not None
    assert level.database is not None
    goal = parse_deployment(ALONE.format(root=tmp_path / "new", spaces=tmp_path / "spaces", data=other.data))
    plan = plan_onto(level, goal)
    check_allowed(plan, (), ignore)
    result = restore_onto(store, level, plan, "", report=ignore)
    assert result is not None
    assert not result.failures
    assert (tmp_path / "new/etc/name").read_text() == "node1"
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", "--reference", other.folder, other.data], check=True)
    other.start()
    assert other.sql("SELECT count(*) FROM kept") == [("100",)]


def test_the_database_alone(server: Server, other: Server, tmp_path: Path) -> None:
    """A database that was lost alone, on its own host; the nodes have nothing to do."""
    server.sql("CREATE TABLE kept AS SELECT n FROM generate_series(1, 100) n")
    text = (
        'name = "app"\n[hosts.app]\n[hosts.db]\nrole = "database"\n[postgres]\nhost = "db"\nmode = "wire"\n'
        f'dsn = "{server.dsn()}"\ndata-directory = "{other.data}"\n'
    )
    store = Store.init(MemoryBackend(), [])
    level = back_up(store, parse_deployment(text), here="db", report=ignore).level
    assert level is not None
    plan = plan_onto(level, parse_deployment(text), database_only=True)
    assert restore_onto(store, level, plan, "app", report=ignore) is None
    result = restore_onto(store, level, plan, "db", dry_run=True, report=ignore)
    assert result is not None
    assert result.dry_run
    assert not (other.data / "PG_VERSION").exists()
    result = restore_onto(store, level, plan, "db", report=ignore)
    assert result is not None
    assert not result.failures
    assert (other.data / "global" / "pg_control").exists()
