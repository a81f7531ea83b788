"""Rows of the restore matrix with a real database: its part is one of several, and it starts where the level is put."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from siltstone.engine import Deployment, Level, back_up, check_allowed, parse_deployment, plan_onto, restore_onto
from siltstone.store import Store
from tests.backed_up import ignore
from tests.store.backends import MemoryBackend

from .servers import Server, Templates

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
data-directory = "{data}"
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
dsn = "{dsn}"
mode = "wire"
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
        text = CLUSTER.format(dsn=server.dsn(), data="/nowhere")
        deployment = parse_deployment(text, variables={"ROOT": str(tmp_path / host)})
        level = back_up(store, deployment, here=host, report=ignore).level
    assert level is not None
    assert level.database is not None
    goal = parse_deployment(ALONE.format(root=tmp_path / "new", spaces=tmp_path / "spaces", dsn="", data=other.data))
    plan = plan_onto(level, goal)
    check_allowed(plan, (), ignore)
    result = restore_onto(store, level, plan, "", report=ignore)
    assert result is not None
    assert not result.failures
    assert (tmp_path / "new/etc/name").read_text() == "node1"
    start(other)
    assert other.sql("SELECT count(*) FROM kept") == [("100",)]


def start(restored: Server) -> None:
    """Start a server on what was restored, whoever restored it."""
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", "--reference", restored.folder, restored.data], check=True)
    restored.start()


@pytest.mark.slow
def test_onto_a_cluster_which_is_rebuilt_from_nothing_and_back(
    server: Server, other: Server, servers: Templates, tmp_path: Path
) -> None:
    server.sql("CREATE TABLE kept AS SELECT n FROM generate_series(1, 100) n")
    store = Store.init(MemoryBackend(), [])
    hosts = ("db", "node1", "node2")
    first = tmp_path / "first"
    (first / "etc").mkdir(parents=True)
    (first / "etc" / "name").write_text("alone")
    alone = {"root": first, "spaces": tmp_path / "spaces", "dsn": server.dsn(), "data": server.data}
    level = back_up(store, parse_deployment(ALONE.format(**alone)), report=ignore).level
    assert level is not None

    text = CLUSTER.format(dsn=other.dsn(), data=other.data)
    cluster = {host: parse_deployment(text, variables={"ROOT": str(tmp_path / host)}) for host in hosts}
    for host in hosts:
        restored(store, level, cluster[host], host)
    start(other)
    assert [(tmp_path / host / "etc" / "name").read_text() for host in hosts[1:]] == ["alone"] * 2
    assert other.sql("SELECT count(*) FROM kept") == [("100",)]

    other.sql("INSERT INTO kept VALUES (101)")
    (tmp_path / "node2" / "etc" / "name").write_text("the second")
    done = [back_up(store, cluster[host], here=host, report=ignore).level for host in hosts]
    assert done[:2] == [None, None]
    assert done[2] is not None
    other.stop()
    for folder in (other.data, *(tmp_path / host for host in hosts[1:])):
        shutil.rmtree(folder)
    for host in hosts:
        restored(store, done[2], cluster[host], host)
    start(other)
    assert [(tmp_path / host / "etc" / "name").read_text() for host in hosts[1:]] == ["alone", "the second"]
    assert other.sql("SELECT count(*) FROM kept") == [("101",)]

    with servers.empty(15) as last:
        alone |= {"root": tmp_path / "last", "dsn": "", "data": last.data}
        restored(store, done[2], parse_deployment(ALONE.format(**alone)), "")
        start(last)
        assert (tmp_path / "last" / "etc" / "name").read_text() == "alone"
        assert last.sql("SELECT count(*) FROM kept") == [("101",)]


def restored(store: Store, level: Level, goal: Deployment, host: str) -> None:
    """What a host of the destination has to do; all of it goes well."""
    plan = plan_onto(level, goal)
    check_allowed(plan, (), ignore)
    result = restore_onto(store, level, plan, host, report=ignore)
    assert result is not None
    assert not result.failures


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
