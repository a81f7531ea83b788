"""A store for WAL, `silt` run by who runs the servers, and copies of a cluster recovered from the archive.

Rule: archive_command and restore_command are what the pages say, run by real servers; where root runs the tests,
through a relay (relay.py).
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .installations import hand_over, user
from .relay import Relay
from .servers import Server, Templates

PROGRAM = [sys.executable, "-c", "from siltstone.cli.start import main; main()"]
FOR_SERVERS = [str(Path(sys.executable).parent / "silt-wal")]  # `silt wal`, without a Python where it can
PATIENCE = 30.0


class Archive:
    """A store without encryption (recovery must not wait for Argon2) and the state folder of its user."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.environment = {**os.environ, "SILT_STORE": str(self.store), "XDG_STATE_HOME": str(folder / "state")}
        self._relay = None if user() is None else Relay(folder / "relay", FOR_SERVERS, self.environment)
        self.run("init", self.store, "--no-encryption", "-q")

    def command(self, words: str) -> str:
        """The shell command with which a server runs `silt wal` with this store."""
        if self._relay is not None:
            return self._relay.command(words)
        names = ("SILT_STORE", "XDG_STATE_HOME", "PYTHONPATH")
        given = [f"{name}={shlex.quote(self.environment[name])}" for name in names if name in self.environment]
        return " ".join([*given, *map(shlex.quote, FOR_SERVERS), words, "2>>", shlex.quote(str(self.folder / "log"))])

    @property
    def log(self) -> str:
        """What `silt` said to the servers."""
        return (self.folder / ("log" if self._relay is None else "relay/log")).read_text()

    @property
    def settings(self) -> dict[str, str]:
        """Of a server that archives."""
        return {"archive_mode": "on", "archive_command": self.command("push %p -q")}

    @property
    def restore_command(self) -> str:
        return self.command("fetch %f %p") + " || exit $(($? == 44 ? 1 : 255))"

    def close(self) -> None:
        if self._relay is not None:
            self._relay.close()

    def run(
        self, *words: str | Path, code: int | None = 0, cwd: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `silt`; it has to end with `code`."""
        done = subprocess.run(
            [*PROGRAM, *words],
            cwd=cwd or self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert code is None or done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done

    def status(self) -> dict[str, Any]:
        """`silt wal status --json` of the one cluster."""
        record = json.loads(self.run("wal", "status", "--json", code=None).stdout)
        (cluster,) = record["clusters"]
        return dict(cluster)

    def objects(self) -> dict[str, Path]:
        """The archived files by name."""
        return {path.name: path for path in (self.store / "wal").rglob("*") if path.is_file()}

    def forget_spool(self) -> None:
        shutil.rmtree(self.folder / "state", ignore_errors=True)


@contextmanager
def archive() -> Iterator[Archive]:
    folder = Path(tempfile.mkdtemp(prefix="silt-wal-"))
    folder.chmod(0o755)
    made = Archive(folder)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(folder, ignore_errors=True)


def cold_copy(server: Server, folder: Path) -> Path:
    """The data directory of a server that is down."""
    subprocess.run(["cp", "-a", server.data, folder / "base"], check=True)
    return folder / "base"


def recover(server: Server, base: Path, restore_command: str, **settings: str) -> None:
    """Begin archive recovery of a copy; the caller starts it."""
    subprocess.run(["cp", "-a", base, server.data], check=True)
    (server.data / "recovery.signal").touch()
    hand_over(server.data / "recovery.signal")
    for name, value in {"restore_command": restore_command, "archive_mode": "off", **settings}.items():
        quoted = value.replace("'", "''")
        server.configure(f"{name} = '{quoted}'")


def promoted(server: Server) -> Server:
    """The same, once recovery has ended."""
    until(lambda: server.sql("SELECT pg_is_in_recovery()") == [("f",)], "recovery does not end")
    return server


def recovered(servers: Templates, version: int, base: Path, restore_command: str, **settings: str) -> Any:
    """A running server that was recovered and promoted, as a context manager."""

    @contextmanager
    def running() -> Iterator[Server]:
        with servers.empty(version) as server:
            recover(server, base, restore_command, **settings)
            server.start()
            yield promoted(server)

    return running()


def load(server: Server, first: int, count: int, *, rows: int = 400) -> None:
    """Transactions of some hundred bytes a row: about 100 KiB of WAL each."""
    server.sql(
        *(
            f"INSERT INTO rows SELECT {number}, n, md5(n::text || {number}) || repeat('x', 150)"
            f" FROM generate_series(1, {rows}) n"
            for number in range(first, first + count)
        )
    )


def content(server: Server) -> list[Any]:
    """Which transactions are there, and a digest of every row."""
    return server.sql("SELECT t, count(*), md5(string_agg(n || text, ',' ORDER BY n)) FROM rows GROUP BY t ORDER BY t")


def prepare(server: Server) -> None:
    server.sql("CREATE TABLE rows (t int, n int, text text)")


def all_archived(server: Server) -> None:
    """Switch to a new segment, and wait until the server has nothing left to archive."""
    server.sql("SELECT pg_switch_wal()")
    folder = server.data / "pg_wal" / "archive_status"
    until(lambda: not list(folder.glob("*.ready")), "the server does not get rid of its WAL")


def until(condition: Callable[[], bool], complaint: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, complaint
        time.sleep(0.02)
