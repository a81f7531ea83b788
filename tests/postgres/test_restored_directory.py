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


def test_verifybackup_amcheck_and_checksums_find_nothing(backups: Backups, other: Server, version: int) -> None:
    """Over the wire, which brings the server's own manifest; test_both_ways_give_the_same_files binds the other way."""
    verifybackup, checksums = program(other, "pg_verifybackup"), program(other, "pg_checksums")
    backups = Backups(backups.server, "wire")
    moves = filled(backups, other)
    backups.level()
    backups.server.sql("UPDATE changing SET text = 'changed' WHERE n % 5000 = 1", "CHECKPOINT")
    assert not restore(backups, backups.level(), other, **moves).failures
    assert os.path.islink(next((other.data / "pg_tblspc").iterdir()))
    # The map has the new places, as it must.
    run_as_user(verifybackup, "--exit-on-error", "--ignore=tablespace_map", other.data)
    refuses_damage(verifybackup, other.data / str(backups.server.sql("SELECT pg_relation_filepath('changing')")[0][0]))
    other.start()
    if (amcheck := other.programs.tool("pg_amcheck")) is not None:
        other.sql("CREATE EXTENSION amcheck")
        options = ("--heapallindexed", "--parent-check", "--all", "--username=postgres")
        run_as_user(amcheck, *options, "--host=127.0.0.1", f"--port={other.port}")
    other.stop()
    run_as_user(checksums, "--check", "-D", other.data)


def refuses_damage(verifybackup: Path, path: Path) -> None:
    """That the program does look at the files: with a byte of one changed it fails. The byte is put back."""
    whole = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(DAMAGE)
        file.write(bytes([whole[DAMAGE] ^ 1]))
    command: list[str | Path] = [verifybackup, "--ignore=tablespace_map", path.parents[2]]
    done = subprocess.run(command, user=user(), extra_groups=no_groups(), cwd="/", capture_output=True, text=True)
    assert done.returncode == 1
    assert "checksum mismatch" in done.stderr
    with path.open("r+b") as file:
        file.write(whole)
