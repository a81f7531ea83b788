"""What PostgreSQL's own programs say of a restored data directory: pg_verifybackup, pg_checksums, pg_amcheck.

Rule: they judge, as far as the installation at hand has them (Debian's has, wheels do not).
"""

import os
import subprocess
from pathlib import Path

import pytest

from .clusters import Backups, restore
from .installations import no_groups, run_as_user, user
from .servers import Server

DAMAGE = 100_000


def program(server: Server, name: str) -> Path:
    path = server.programs.tool(name)
    if path is None:
        pytest.skip(f"this installation has no {name}: Debian's postgresql package has it")
    return path


def filled(backups: Backups, other: Server) -> dict[str, Path]:
    """Indexes, an unlogged table, a tablespace; where that goes."""
    place = backups.server.make_folder("space")
    backups.server.sql(
        f"CREATE TABLESPACE one LOCATION '{place}'",
        "CREATE TABLE there TABLESPACE one AS SELECT n FROM generate_series(1, 5000) n",
        "CREATE UNLOGGED TABLE unlogged AS SELECT n FROM generate_series(1, 3000) n",
        "CREATE INDEX ON changing (n)",
        "CREATE INDEX ON changing (text)",
        "CHECKPOINT",
    )
    return {str(place): other.make_folder("moved")}


@pytest.mark.parametrize("version", [15])
def test_verifybackup_finds_what_the_server_sent(backups: Backups, other: Server, version: int) -> None:
    verifybackup = program(other, "pg_verifybackup")
    backups = Backups(backups.server, "wire")
    moves = filled(backups, other)
    backups.level()
    backups.server.sql("UPDATE changing SET text = 'changed' WHERE n % 5000 = 1", "CHECKPOINT")
    assert not restore(backups, backups.level(), other, **moves).failures
    # The map has the new places, as it must.
    run_as_user(verifybackup, "--exit-on-error", "--ignore=tablespace_map", other.data)
    (path,) = (path for (path,) in backups.server.sql("SELECT pg_relation_filepath('changing')"))
    with (other.data / str(path)).open("r+b") as file:
        file.seek(DAMAGE)
        file.write(b"x")
    done = subprocess.run(
        [verifybackup, "--ignore=tablespace_map", other.data],
        user=user(),
        extra_groups=no_groups(),
        cwd="/",
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, "it does look at the files"
    assert "checksum mismatch" in done.stderr


def test_checksums_and_amcheck_find_nothing(backups: Backups, other: Server, version: int) -> None:
    checksums, amcheck = program(other, "pg_checksums"), other.programs.tool("pg_amcheck")
    moves = filled(backups, other)
    backups.level()
    backups.server.sql("UPDATE changing SET text = 'changed' WHERE n % 5000 = 1", "CHECKPOINT")
    assert not restore(backups, backups.level(), other, **moves).failures
    other.start()
    if amcheck is not None:
        other.sql("CREATE EXTENSION amcheck")
        options = ("--heapallindexed", "--parent-check", "--all", "--username=postgres")
        run_as_user(amcheck, *options, "--host=127.0.0.1", f"--port={other.port}")
    other.stop()
    run_as_user(checksums, "--check", "-D", other.data)
    assert os.path.islink(next((other.data / "pg_tblspc").iterdir()))
