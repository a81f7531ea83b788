"""`ibackup --setup` and a real server: it says what is missing, makes it ready, and a second run changes nothing."""

import os
import re
import subprocess
import sys
from pathlib import Path

from .servers import Server

PROGRAM = [sys.executable, "-c", "from siltstone.cli.ibackup import main; main()"]


def test_the_database_is_made_ready(any_source: Server, tmp_path: Path) -> None:
    any_source.sql("CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'right'")
    for name in ("apps", "vault"):
        (tmp_path / "phantom" / name).mkdir(parents=True)
        (tmp_path / "phantom" / name / "file").write_text(name)
        os.utime(tmp_path / "phantom" / name / "file", (0, 0))

    def ibackup(*words: str | Path, password: str = "right") -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SILT_", "PG", "XDG_"))}
        own = {"HOME": str(tmp_path), "PGPASSWORD": password, "SILT_STATE": str(tmp_path / "state")}
        return subprocess.run([*PROGRAM, *words], capture_output=True, text=True, env=kept | own, timeout=100)

    place = ("--store", tmp_path / "store", "--home", tmp_path / "phantom", "--folder", tmp_path / "etc")
    words = ("--setup", *place, "--dsn", any_source.dsn("boss"))

    refused = ibackup(*words, password="wrong")
    assert refused.returncode == 1
    assert "password authentication failed" in refused.stderr
    assert "the database is not ready: see to what is said above, and run the same line again" in refused.stdout
    assert "+ silt init" in refused.stdout  # what can be done is done

    done = ibackup(*words)
    assert done.returncode == 3, done.stdout + done.stderr  # nothing streams yet, and that is told
    assert "run: SELECT pg_create_physical_replication_slot('siltstone', true);" in done.stdout
    assert "warning: slot: siltstone is not in use" in done.stdout
    assert "fault: " not in done.stdout
    assert re.search(r"^@reboot .* wal stream --create-slot -c .*phantom.toml$", done.stdout, re.MULTILINE)
    assert any_source.sql("SELECT slot_name FROM pg_replication_slots") == [("siltstone",)]
    assert any_source.sql("SHOW max_slot_wal_keep_size") == [("64GB",)]

    again = ibackup(*words)
    assert (again.returncode, again.stdout.count("run: "), again.stdout.count("+ silt init")) == (3, 0, 0)
