"""Real servers for tests: clusters made once a version, copied in a blink, started on a free port, stopped cleanly.

Rule: nothing stands in for a server. They do not sync (a test machine's crash costs nothing), and are quiet: no
autovacuum, one MiB of WAL a segment. The one database is `postgres`: with initdb's two templates, which hold the same
once more each, a cluster is three times as large, and copying it was most of what a server cost. `postgres` may do
everything without a password, on the socket and on the loopback; other roles need theirs on the loopback and have no
entry in pg_hba.conf for the socket.
"""

import contextlib
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.ports import free_ports
from siltstone.engine.postgres.connection import Row, connect
from siltstone.engine.postgres.errors import PostgresError

from .installations import EVERY_RUN, VERSIONS, Installation, hand_over, installation, no_groups, run_as_user, user

EACH_VERSION = [pytest.param(version, marks=[] if version in EVERY_RUN else [pytest.mark.slow]) for version in VERSIONS]
START_TIMEOUT = 60  # seconds

_SETTINGS = """
fsync = off
autovacuum = off
listen_addresses = '127.0.0.1'
max_connections = 30
shared_buffers = 16MB
min_wal_size = 2MB
max_wal_senders = 5
log_min_messages = warning
password_encryption = 'scram-sha-256'
"""
_HBA = """
local all,replication postgres trust
host all,replication postgres 127.0.0.1/32 trust
host all,replication all 127.0.0.1/32 scram-sha-256
"""


class Server:
    """A cluster in a folder of its own: `data` is its data directory, `folder` has room for tablespaces."""

    def __init__(self, programs: Installation, folder: Path) -> None:
        self.programs = programs
        self.folder = folder
        self.data = folder / "data"
        self.port = free_ports(1)[0]
        self._process: subprocess.Popen[bytes] | None = None

    def dsn(self, role: str = "postgres", **words: str) -> str:
        """A dsn for the loopback; words such as password or dbname are added."""
        words = {"host": "127.0.0.1", "port": str(self.port), "user": role, **words}
        return " ".join(f"{word}='{value}'" for word, value in words.items())

    def start(self, **settings: str) -> None:
        """Start and wait until it answers (a standby: until it can be read)."""
        options = [f"--{name}={value}" for name, value in settings.items()]
        command: list[str | Path] = [
            self.programs.bin / "postgres",
            "-D",
            self.data,
            "-p",
            str(self.port),
            "-k",
            self.folder,
            *options,
        ]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, user=user(), extra_groups=no_groups(), stdout=log, stderr=log, cwd="/", process_group=0
            )
        end = time.monotonic() + START_TIMEOUT
        while not self._answers():
            assert self._process.poll() is None, f"the server did not start:\n{self.log()}"
            assert time.monotonic() < end, f"the server does not answer:\n{self.log()}"
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: a fast, clean stop. SIGQUIT: as after a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None

    def restart(self, **settings: str) -> None:
        self.stop()
        self.start(**settings)

    def sql(self, *commands: str, dbname: str = "postgres") -> list[Row]:
        """Run commands, each by itself, as postgres: the rows of the last."""
        rows: list[Row] = []
        with connect(self.dsn(dbname=dbname), replication=False) as connection:
            for command in commands:
                rows = connection.query(command)
        return rows

    def configure(self, text: str) -> None:
        """Add lines to postgresql.conf; they count from the next start."""
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(text + "\n")

    def make_folder(self, name: str) -> Path:
        """A folder that belongs to who runs the server, for a tablespace."""
        folder = self.folder / name
        folder.mkdir(mode=0o700)
        hand_over(folder)
        return folder

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def _answers(self) -> bool:
        try:
            self.sql("SELECT 1")
        except PostgresError:
            return False
        return True


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder of the servers' user; short, since the path of a socket has room for 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="silt-pg-"))
    hand_over(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Templates:
    """Fresh clusters, made by initdb once for each version."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._made: dict[int, Path] = {}

    def of(self, version: int) -> Path:
        """The data directory of a cluster that is as good as new."""
        if version not in self._made:
            programs = installation(version)
            data = self._stack.enter_context(_folder()) / "data"
            options = ("--data-checksums", "--no-sync", "--auth=trust", "--username=postgres", "--wal-segsize=1")
            run_as_user(programs.bin / "initdb", f"--pgdata={data}", "--locale=C", "--encoding=UTF8", *options)
            with (data / "postgresql.conf").open("a") as file:
                file.write(_SETTINGS)
            (data / "pg_hba.conf").write_text(_HBA)
            self._leave_one_database(Server(programs, data.parent))
            self._made[version] = data
        return self._made[version]

    def _leave_one_database(self, server: Server) -> None:
        server.start()
        server.sql("UPDATE pg_database SET datistemplate = false")
        server.sql("DROP DATABASE template0", "DROP DATABASE template1", "CHECKPOINT")
        server.stop()

    @contextmanager
    def server(self, version: int) -> Iterator[Server]:
        """A new cluster, not yet started; stopped and removed at the end."""
        template = self.of(version)
        with _folder() as folder:
            run_as_user("cp", "-a", template, folder / "data")
            server = Server(installation(version), folder)
            try:
                yield server
            finally:
                server.stop()

    @contextmanager
    def empty(self, version: int) -> Iterator[Server]:
        """A server whose data directory a test brings itself: a standby, something restored."""
        with _folder() as folder:
            server = Server(installation(version), folder)
            try:
                yield server
            finally:
                server.stop()
