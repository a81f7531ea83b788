"""`silt pg check` with a real server: where it finds the cluster, how it answers, how it ends."""

import os
import pty
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from siltstone.cli.commands.pg_check import table, verdict
from siltstone.engine import Finding
from tests.postgres.installations import EVERY_RUN, forget
from tests.postgres.servers import Server, Templates

from .conftest import Silt


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One that is well but for warnings: there is no slot, and fsync is off."""
    with ExitStack() as stack:
        stack.callback(forget)
        server = stack.enter_context(Templates(stack).server(EVERY_RUN[-1]))
        server.start()
        server.sql("CREATE ROLE plain LOGIN PASSWORD 'p'")
        yield server


def test_the_cluster_of_a_deployment(silt: Silt, server: Server, tmp_path: Path) -> None:
    file = tmp_path / "d.toml"
    file.write_text(f'name = "app"\n[postgres]\ndsn = "{server.dsn("$WHO")}"\n[variables]\nWHO = "postgres"\n')
    ran = silt("pg", "check", "-c", file, code=3)
    lines = ran.out.splitlines()
    assert f"ok: version: PostgreSQL {EVERY_RUN[-1]}" in ran.out
    assert "warning: fsync: off" in ran.out
    assert next(line for line in lines if line.startswith("warning: slot:")).endswith(
        "SELECT pg_create_physical_replication_slot('siltstone', true);"
    )
    assert ran.err == ""
    silt("pg", "check", "-c", file, "-D", "WHO=nobody_there", code=1)
    quiet = silt("pg", "check", "-q", "--dsn", server.dsn(), "--slot", "other", code=3).out.splitlines()
    assert {line.partition(":")[0] for line in quiet} == {"warning"}
    assert "pg_create_physical_replication_slot('other', true)" in "".join(quiet)


def test_a_fault_has_a_code_of_its_own(silt: Silt, server: Server) -> None:
    result = silt("pg", "check", "--dsn", server.dsn("plain", password="p"), "--json", code=8).result
    assert not result["ready"]
    (fault,) = (finding for finding in result["findings"] if finding["state"] == "fault")
    assert (fault["what"], fault["mend"], fault["restart"]) == ("role", 'ALTER ROLE "plain" REPLICATION;', False)


def test_a_server_that_is_away(silt: Silt) -> None:
    ran = silt("pg", "check", "--dsn", "host=127.0.0.1 port=1", code=1)
    assert ran.out == ""
    assert "hint: is PostgreSQL running there?" in ran.err


def test_which_cluster(silt: Silt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no deployment.toml here" in silt("pg", "check", code=2).err
    (tmp_path / "deployment.toml").write_text('name = "app"\n[file-sets.a]\npaths = ["/srv"]\n')
    assert "deployment.toml: it names no PostgreSQL cluster" in silt("pg", "check", code=2).err
    assert "give one of the two" in silt("pg", "check", "-c", "deployment.toml", "--dsn", "host=h", code=2).err
    assert "No such command 'chekc'" in silt("pg", "chekc", code=2).err


def test_a_table_on_a_terminal(silt: Silt, server: Server) -> None:
    ours, theirs = pty.openpty()
    with silt.start("pg", "check", "--dsn", server.dsn(), stdout=theirs) as running:
        os.close(theirs)
        said = b""
        while True:
            try:
                said += os.read(ours, 4096)
            except OSError:  # a terminal whose other end is closed
                break
        running.wait(60)
    os.close(ours)
    assert "ok       version" in said.decode()
    assert " -> ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf();" in said.decode()
    assert said.decode().endswith("\nready, with 2 warnings\r\n")


def test_a_table_is_folded_and_commands_are_not() -> None:
    words = " ".join(["word"] * 30)
    found = [Finding("one", "ok", "well"), Finding("another", "fault", words, "ALTER " + words, restart=True)]
    lines = list(table(found, 80))
    assert lines[0] == "ok       one      well"
    assert lines[1].startswith("fault    another  word word")
    assert all(len(line) <= 80 for line in lines[:-1])
    assert lines[-1] == f"{' ' * 18}-> ALTER {words} then restart the server"
    assert len(list(table(found, 20))) == len(list(table(found, 78)))
    assert list(table([], 80)) == []


def test_the_whole_in_a_line() -> None:
    well, note, warning, fault = (Finding("x", state, "y") for state in ("ok", "note", "warning", "fault"))
    assert verdict([well, note]) == "ready"
    assert verdict([well, warning]) == "ready, with 1 warning"
    assert verdict([fault, warning, fault, well]) == "not ready: 2 faults, 1 warning"
