"""A PostgreSQL cluster to measure with: made once, filled with what hardly compresses, loaded by pgbench.

Rule: what is measured is the server as it comes: it syncs, it writes page checksums, autovacuum is off so that every
repetition finds the same pages. Servers refuse to run as root, so root runs them, and every tool that is measured, as
`postgres` or `nobody`, with the right to read what only root may, for this Python may lie in root's home.

Archiving is a shell script beside the cluster: while the pipe `hold` is there it waits, then it does what the file
`archiver` says. So several tools can archive one server's WAL one after the other.
"""

import os
import pwd
import re
import shutil
import subprocess
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from bench.measure import BenchError
from bench.ports import free_ports

PGBENCH_SCALE = 60  # 60 x 100,000 rows: some 900 MiB
TINY = 0.1  # below this scale nothing is to be measured: small segments and buffers, and no waiting for the disk
_PROGRAMS = ("initdb", "pg_ctl", "pgbench", "psql", "pg_basebackup")
_CAP_DAC_OVERRIDE = 1
_SETTINGS = """
wal_level = replica
archive_mode = on
max_wal_size = '4GB'
wal_keep_size = '4GB'
checkpoint_timeout = '30min'
shared_buffers = '{buffers}MB'
autovacuum = off
fsync = {sync}
listen_addresses = ''
log_min_messages = log
"""
_LOAD = """
BEGIN;
TRUNCATE pgbench_accounts, pgbench_branches, pgbench_tellers, pgbench_history;
INSERT INTO pgbench_branches SELECT bid, 0, NULL FROM generate_series(1, {branches}) AS bid;
INSERT INTO pgbench_tellers SELECT tid, (tid - 1) / 10 + 1, 0, NULL FROM generate_series(1, {branches} * 10) AS tid;
INSERT INTO pgbench_accounts
    SELECT aid, (aid - 1) / 100000 + 1, 0, left(md5(aid::text) || md5((aid * 7)::text) || md5((aid * 13)::text), 84)
    FROM generate_series(1, {branches} * 100000) AS aid;
COMMIT;
"""
_ARCHIVE = """#!/bin/sh
[ -p {folder}/hold ] && read -r _ < {folder}/hold
. {folder}/archiver
"""


def find_programs() -> Path:
    """The folder of the newest server's programs. BenchError where there are none."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -int(path.parent.name))
    on_path = [Path(folder) for folder in os.environ.get("PATH", os.defpath).split(os.pathsep)]
    for folder in (*installed, *on_path):
        if all((folder / name).exists() for name in _PROGRAMS):
            return folder
    raise BenchError("no PostgreSQL with initdb, pgbench and psql is here: apt-get install postgresql")


def as_server_user(command: Sequence[str]) -> list[str]:
    """The same command, run by who runs servers."""
    if os.geteuid() != 0:
        return list(command)
    user = _user()
    change = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    held = re.search(r"^CapEff:\s*([0-9a-f]+)", status, re.MULTILINE)
    if held and int(held[1], 16) >> _CAP_DAC_OVERRIDE & 1:
        change += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return [*change, "--", *command]


def hand_over(path: Path) -> None:
    """Give a file or a folder to who runs servers."""
    if os.geteuid() == 0:
        os.chown(path, _user().pw_uid, _user().pw_gid)


def _user() -> pwd.struct_passwd:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return pwd.getpwnam("postgres" if "postgres" in names else "nobody")


class Cluster:
    """A server's data directory and what belongs to it, below a folder with a short path (sockets allow 107 bytes)."""

    def __init__(self, folder: Path, data: Path | None = None) -> None:
        self.programs = find_programs()
        self.folder, self.data = folder, data or folder / "data"
        self.port = free_ports(1)[0]
        self.log = folder / f"log-{self.port}"

    def make(self, scale: float) -> None:
        """Make it, fill it, and start it. `scale` 1: some 900 MiB, segments of 16 MiB."""
        self.folder.mkdir(parents=True, exist_ok=True)
        hand_over(self.folder)
        segments = 16 if scale >= TINY else 1
        options = ["--data-checksums", "--no-sync", "--auth=trust", "--username=postgres", f"--wal-segsize={segments}"]
        self.run("initdb", f"--pgdata={self.data}", "--locale=C.UTF-8", *options)
        settings = _SETTINGS.format(buffers=512 if scale >= TINY else 32, sync="on" if scale >= TINY else "off")
        archive = self.folder / "archive"
        archive.write_text(_ARCHIVE.format(folder=self.folder))
        archive.chmod(0o755)
        with (self.data / "postgresql.conf").open("a") as file:  # pgBackRest refuses a command without its name
            file.write(f"{settings}archive_command = '{archive} %p %f # or pgbackrest'\n")
        self.archive_with("exit 0")
        # Loaded without WAL, and as the rows are to be from the first: pgbench fills in blanks, which would compress to
        # a twentieth, and to change them all later takes three times as long.
        self.start("-c wal_level=minimal -c max_wal_senders=0 -c archive_mode=off -c maintenance_work_mem=256MB")
        branches = max(1, round(PGBENCH_SCALE * scale))
        self.pgbench("--initialize", "--quiet", "--init-steps=dt", f"--scale={branches}")
        self.sql(_LOAD.format(branches=branches))
        self.pgbench("--initialize", "--quiet", "--init-steps=pv", f"--scale={branches}")
        self.stop()
        self.start()
        self.settle_pages()

    def settle_pages(self) -> None:
        """Have pages change no more by being read: who first reads a row that changed notes that it is valid, the first
        vacuum that all see it, and an update removes what earlier ones left.
        """
        self.sums()
        self.sql("VACUUM (FREEZE)")
        self.sql("CHECKPOINT")

    def start(self, more: str = "") -> None:
        """Start it, with `more` options, and wait until it can be used. BenchError with its log."""
        options = f"-p {self.port} -k {self.folder} {more}"
        self.run(
            "pg_ctl", "--silent", "-D", str(self.data), "-l", str(self.log), "-o", options, "-t", "300", "-w", "start"
        )

    def stop(self) -> None:
        """Stop it, if it runs."""
        command = [str(self.programs / "pg_ctl"), "--silent", "-D", str(self.data), "-m", "fast", "-w", "stop"]
        subprocess.run(as_server_user(command), cwd="/", capture_output=True, check=False)

    def run(self, program: str, *words: str) -> str:
        """Run one of PostgreSQL's programs: what it printed. BenchError."""
        command = as_server_user([str(self.programs / program), *words])
        # pg_ctl hands its output on to the server, which would keep a pipe open.
        output = self.folder / f"said-{self.port}"
        with output.open("w+") as file:
            done = subprocess.run(command, cwd="/", stdout=file, stderr=subprocess.STDOUT, check=False, timeout=1800)
        said = output.read_text(errors="replace")
        if done.returncode:
            log = self.log.read_text(errors="replace")[-1500:] if self.log.exists() else ""
            raise BenchError(f"{program}: {said.strip()[-500:]} {log}")
        return said

    def sql(self, command: str) -> str:
        """Run a command as the superuser: what it answers, without decoration. BenchError."""
        return self.run("psql", *self.where(), "-XqAt", "-v", "ON_ERROR_STOP=1", "-c", command, "postgres").strip()

    def pgbench(self, *options: str) -> str:
        """Run pgbench on it."""
        return self.run("pgbench", *self.where(), *options, "postgres")

    def sums(self) -> str:
        """What tells whether two copies hold the same rows."""
        return self.sql(
            "SELECT (SELECT (count(*), sum(abalance)) FROM pgbench_accounts),"
            " (SELECT (count(*), sum(delta)) FROM pgbench_history)"
        )

    def archive_with(self, command: str) -> None:
        """From now on archive by this shell command; "$1" is the path of a segment."""
        temporary = self.folder / "archiver.new"
        temporary.write_text(f"{command}\n")
        temporary.rename(self.folder / "archiver")

    def drop_wal(self) -> None:
        """Archive what was written up to now by nobody."""
        self.archive_with("exit 0")
        self.go_on_archiving()
        self.sql("CHECKPOINT")
        self.sql("SELECT pg_switch_wal()")
        self.settle_archiving()

    def hold_archiving(self) -> None:
        """From now on finished segments wait."""
        (self.folder / "hold").unlink(missing_ok=True)
        os.mkfifo(self.folder / "hold")
        hand_over(self.folder / "hold")

    def go_on_archiving(self) -> None:
        """Let what waits be archived."""
        hold = self.folder / "hold"
        if hold.exists():
            pipe = os.open(hold, os.O_RDWR)  # whoever waits to read it goes on now, and ends when it is closed
            hold.unlink()
            time.sleep(0.01)
            os.close(pipe)

    def waiting(self) -> set[str]:
        """The files that wait to be archived."""
        return self._in_state(".ready")

    def archived(self) -> set[str]:
        """The files that are archived."""
        return self._in_state(".done")

    def ask_again(self, names: Collection[str]) -> None:
        """Have the server archive files once more that it has archived."""
        status = self.data / "pg_wal" / "archive_status"
        for name in names:
            (status / f"{name}.done").rename(status / f"{name}.ready")
        self.sql("SELECT pg_reload_conf()")  # which wakes the archiver, and writes no WAL

    def _in_state(self, ending: str) -> set[str]:
        names = os.listdir(self.data / "pg_wal" / "archive_status")
        return {name.removesuffix(ending) for name in names if name.endswith(ending)}

    def settle_archiving(self, patience: float = 600) -> None:
        """Wait until nothing waits. BenchError."""
        end = time.monotonic() + patience
        while self.waiting():
            if time.monotonic() > end:
                raise BenchError(f"archiving does not end: {self.log.read_text(errors='replace')[-1500:]}")
            time.sleep(0.01)

    def remove(self) -> None:
        """Stop it and remove everything."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def where(self) -> list[str]:
        """The words that tell a program of PostgreSQL where this server is."""
        return ["-h", str(self.folder), "-p", str(self.port), "-U", "postgres"]
