"""The command `bench newcomer`: from a fresh clone to a verified restore, with the README's words and a stop-watch.

    git clone, `./dev shell` in an empty home folder, and in it every command of "Five minutes" and "And a database"

Rule: the README is the script. Only what a host has of its own is put in its place: a server of ours for the one that
runs there, free places for `/tmp/pg` and the port, who may run servers before `pg_ctl`. Each command has to end well;
at the end files and rows are compared with what was backed up. Setting up installs from wherever pip does here.
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from msgspec import Struct

from bench.measure import BenchError
from bench.pg_cluster import Cluster, as_server_user, hand_over

ROOT = Path(__file__).parent.parent
DATABASE = 0.02  # of pg_cluster's: the least of pgbench, 100,000 rows
PATIENCE = 900  # seconds for all of it
_SECTION = re.compile(r"^## (?P<title>.+?)$(?P<text>.*?)(?=^## )", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^```sh.*?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = "@@ "
_ROWS = "SELECT count(*), sum(aid), sum(abalance) FROM pgbench_accounts"


class Step(Struct, frozen=True):
    """What was done, and how many seconds it took."""

    what: str
    seconds: float


def newcomer(work: Path) -> list[Step]:
    """Go all the way in an empty folder with a short path. BenchError with what a command said."""
    hand_over(work)
    work.chmod(0o755)
    cluster = Cluster(work / "server")
    try:
        cluster.make(DATABASE)
        return _go(work, cluster)
    finally:
        cluster.remove()


def _go(work: Path, cluster: Cluster) -> list[Step]:
    home = work / "home"
    home.mkdir()
    begun = time.time()
    _run(["git", "clone", "--quiet", str(ROOT), str(home / "silt")], {**os.environ})
    steps = [Step("git clone", time.time() - begun)]
    script = [f"cd {home}", f"echo '{_MARK}./dev shell' $EPOCHREALTIME"]
    for title, lines in _commands((home / "silt" / "README.md").read_text(encoding="utf-8")):
        if any("rm -r" in line for line in lines):
            script += _proof(home, work)
        script += [*(_here(line, work, cluster) for line in lines), f"echo {shlex.quote(_MARK + title)} $EPOCHREALTIME"]
    environment = {**os.environ, "HOME": str(home), "PGHOST": str(cluster.folder), "PGPORT": str(cluster.port)}
    for name in [name for name in environment if name.startswith(("SILT_", "XDG_", "VIRTUAL_ENV"))]:
        del environment[name]
    words = ["./dev", "shell", "-euo", "pipefail", "-c", "\n".join(script)]
    said = _run(words, environment | {"SHELL": "/bin/bash"}, home / "silt")
    last = begun + steps[0].seconds
    for what, at in re.findall(rf"^{_MARK}(.+) ([0-9.]+)$", said, re.MULTILINE):
        steps.append(Step(what, float(at) - last))
        last = float(at)
    return steps


def _commands(text: str) -> list[tuple[str, list[str]]]:
    """The blocks of the README that a newcomer types, each under the title of its section."""
    sections = {match["title"]: match["text"] for match in _SECTION.finditer(text)}
    return [
        (title, block.splitlines())
        for title in ("Five minutes", "And a database")
        for block in _BLOCK.findall(sections[title])
    ]


def _here(line: str, work: Path, cluster: Cluster) -> str:
    """A line of the README with what this host has of its own."""
    places = {
        "sudo -u postgres ": "env PGUSER=postgres ",
        "host=/run/postgresql": f"host={cluster.folder} port={cluster.port}",
        "/usr/lib/postgresql/$(cat /tmp/pg/PG_VERSION)/bin": str(cluster.programs),
        "$bin/pg_ctl": shlex.join(as_server_user(["pg_ctl"])).replace("pg_ctl", "$bin/pg_ctl"),
        "/tmp/pg": f"{work}/pg",
        "-k /tmp": f"-k {work}",
        "-h /tmp": f"-h {work}",
        "5499": str(cluster.port + 1 if cluster.port < 65535 else 1024),
    }
    for said, ours in places.items():
        line = line.replace(said, ours)
    return line


def _proof(home: Path, work: Path) -> list[str]:
    """What shows that files and rows are back, before the trial is removed."""
    trial = home / "trial"
    rows = f'psql -XAtd postgres -c "{_ROWS}"'
    there = f"-h {work} -p $(sed -n 4p {work}/pg/postmaster.pid)"
    return [
        f"diff -r {trial}/documents {trial}/files{trial}/documents",
        f"cmp {trial}/restored{trial}/documents/numbers {trial}/documents/numbers",
        f'test "$({rows} -U postgres)" = "$({rows} -U postgres {there})"',
    ]


def _run(command: list[str], environment: dict[str, str], folder: Path | None = None) -> str:
    """Run it without a terminal: what it printed. BenchError."""
    # A server that is started keeps a pipe open for as long as it runs.
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            check=False,
            timeout=PATIENCE,
        )
        output.seek(0)
        said = output.read()
    if done.returncode:
        raise BenchError(f"{shlex.join(command[:3])} ended with code {done.returncode}:\n{said[-3000:]}")
    return said


def main(arguments: list[str]) -> int:
    """Go the way, and print how long each step took."""
    parser = argparse.ArgumentParser(prog="./dev bench newcomer", description=__doc__)
    parser.add_argument("--work", type=Path, metavar="DIR", help="where to write (default: the temporary folder)")
    given = parser.parse_args(arguments)
    work = Path(tempfile.mkdtemp(prefix="silt-new-", dir=given.work))
    try:
        steps = newcomer(work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    for step in steps:
        print(f"{step.seconds:7.1f} s  {step.what}")
    print(f"{sum(step.seconds for step in steps):7.1f} s  from a fresh clone to a verified restore")
    return 0
