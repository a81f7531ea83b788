"""`silt schedule` and `silt status`: runs as a timer makes them, what they leave, whom they tell, and what is seen
then.

Rule: the mail and the webhook go to real servers on the loopback. Installing with systemd is tried as far as files go.
"""

import http.server
import json
import os
import shutil
import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .conftest import Silt

MakeStore = Callable[..., Path]


@pytest.fixture
def place(tmp_path: Path, silt: Silt, make_store: MakeStore) -> Path:
    """A deployment file for a folder, and a store named in the environment."""
    silt.environment |= {"SILT_STATE": str(tmp_path / "state"), "SILT_STORE": str(make_store())}
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("grain")
    write(tmp_path, "")
    return tmp_path


def write(place: Path, more: str) -> Path:
    file = place / "deployment.toml"
    file.write_text(
        f'name = "app"\n[file-sets.data]\npaths = ["{place / "data"}"]\n'
        f'[schedule]\nfull = "Sun 02:00"\nincremental = "Mon..Sat 02:00"\nverify = "05:00"\n{more}'
    )
    return file


class Bodies(list[bytes]):
    """What came in."""


@contextmanager
def webhook() -> Iterator[tuple[str, Bodies]]:
    bodies = Bodies()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # http.server calls it by this name
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with serving(http.server.HTTPServer(("127.0.0.1", 0), Handler)) as port:
        yield f"http://127.0.0.1:{port}/hook", bodies


@contextmanager
def mail_server() -> Iterator[tuple[str, Bodies]]:
    bodies = Bodies()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            """As much of RFC 5321 as a client needs to hand one mail over."""
            self.wfile.write(b"220 test\r\n")
            while line := self.rfile.readline():
                word = line[:4].upper()
                if word == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    body = b""
                    while (line := self.rfile.readline()) != b".\r\n":
                        body += line
                    bodies.append(body)
                self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
                if word == b"QUIT":
                    return

    with serving(socketserver.TCPServer(("127.0.0.1", 0), Handler)) as port:
        yield f"127.0.0.1:{port}", bodies


@contextmanager
def serving(server: socketserver.TCPServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_run_is_an_ordinary_backup_and_is_seen(silt: Silt, place: Path) -> None:
    file = place / "deployment.toml"
    ran = silt("status", "-c", file, "--json", code=3)
    assert ran.result["deployments"][0]["newest"] is None
    assert ran.result["attention"][0]["command"] == "silt backup --type full"
    silt("schedule", "run", "full", "-c", file)
    silt("schedule", "run", "incremental", "-c", file)
    found = silt("status", "-c", file, "--json", "--metrics", place / "silt.prom").result
    assert found["attention"] == []
    (deployment,) = found["deployments"]
    assert (deployment["levels"], deployment["groups"], deployment["missed"]) == (2, 1, [])
    assert deployment["newest"]["level"] == 1
    assert found["store"]["stored_bytes"] > 0
    metrics = (place / "silt.prom").read_text()
    assert 'silt_run_exit_code{deployment="app",task="full"} 0' in metrics
    assert 'silt_levels{deployment="app"} 2' in metrics
    assert "all is well" in silt("status", "-c", file).out


def test_a_run_that_fails_is_seen_and_told(silt: Silt, place: Path) -> None:
    with webhook() as (url, hooked), mail_server() as (server, mailed):
        told = place / "told"
        file = write(
            place,
            f'[notify]\ncommand = "(echo $SILT_TASK $SILT_EXIT_CODE; cat) > {told}"\n'
            f'mail-to = "ops@example.org"\nmail-server = "{server}"\nwebhook = "{url}"\n',
        )
        silt("schedule", "run", "full", "-c", file)
        assert not told.exists()
        assert hooked == mailed == []
        (place / "data" / "file").unlink()
        (place / "data").rmdir()
        ran = silt("schedule", "run", "incremental", "-c", file, code=1)
    assert "none of the paths to back up exists" in ran.err
    assert told.read_text().startswith("incremental 1\n")
    assert "none of the paths" in told.read_text()
    (hook,) = map(json.loads, hooked)
    assert (hook["deployment"], hook["task"], hook["exit_code"]) == ("app", "incremental", 1)
    (mail,) = mailed
    assert b"Subject: silt on" in mail
    assert b"failed" in mail
    assert silt("status", "-c", file, code=3).out.splitlines()[0].split()[-2:] == ["AGE", "KIND"]
    attention = silt("status", "-c", file, "--json", code=3).result["attention"]
    assert "incremental of app failed" in attention[0]["what"]


def test_a_message_that_does_not_get_through_changes_no_exit_code(silt: Silt, place: Path) -> None:
    file = write(
        place, '[notify]\nwhen = "always"\ncommand = "echo sorry >&2; exit 9"\nwebhook = "http://127.0.0.1:1/"\n'
    )
    ran = silt("schedule", "run", "full", "-c", file)
    assert "nobody was told by the command echo sorry >&2; exit 9: exit code 9: sorry\n" in ran.err
    assert "nobody was told by the webhook http://127.0.0.1:1/: Connection refused\n" in ran.err


def test_units_are_written_replaced_and_removed(silt: Silt, place: Path) -> None:
    file, units = write(place, 'wal-stream = true\n[postgres]\ndsn = "host=/nowhere"\n'), place / "units"
    key = {"SILT_KEY_FILE": str(place / "key")}
    silt("key", "new", place / "key")
    silt.environment |= key
    made = silt("schedule", "install", "-c", file, "--units", units, "--json").result["installed"]
    assert sorted(os.listdir(units)) == sorted(made)
    assert len(made) == 7
    if shutil.which("systemd-analyze"):
        said = subprocess.run(["systemd-analyze", "verify", *units.iterdir()], capture_output=True, text=True)
        assert said.stdout + said.stderr == ""
    service = (units / "silt-app-full.service").read_text()
    assert f"--key-file {place / 'key'} schedule run full -c {file}" in service
    file.write_text(file.read_text().replace('verify = "05:00"\nwal-stream = true\n', ""))
    gone = silt("schedule", "install", "-c", file, "--units", units, "--json").result["removed"]
    assert sorted(gone) == ["silt-app-verify.service", "silt-app-verify.timer", "silt-app-wal.service"]
    silt("schedule", "remove", "-c", file, "--units", units)
    assert os.listdir(units) == []


@pytest.mark.skipif(os.path.isdir("/run/systemd/system"), reason="this would install timers")
def test_where_systemd_does_not_run_nothing_is_written(silt: Silt, place: Path) -> None:
    silt.environment |= {"SILT_KEY_FILE": str(place / "key"), "XDG_CONFIG_HOME": str(place / "settings")}
    silt("key", "new", place / "key")
    said = silt("schedule", "install", "-c", place / "deployment.toml", code=2).err
    assert "systemd does not run this host" in said
    folders = [Path("/etc/systemd/system"), place / "settings"]
    assert not [file for folder in folders for file in folder.rglob("silt-app-*")]
    assert "there was nothing to remove" in silt("schedule", "remove", "-c", place / "deployment.toml").out


def test_a_timer_without_a_key_is_refused(silt: Silt, place: Path) -> None:
    ran = silt("schedule", "install", "-c", place / "deployment.toml", "--units", place / "units", code=2)
    assert "SILT_PASSPHRASE" in ran.err
    assert not (place / "units").exists()


def test_cron_lines_are_for_crontab(silt: Silt, place: Path) -> None:
    lines = silt("schedule", "show", "--cron", "-c", place / "deployment.toml").out.splitlines()
    assert lines[0] == "# silt: full of app"
    assert lines[1].startswith("0 2 * * 0 ")
    ran = silt("schedule", "show", "-c", place / "no.toml", code=2)
    assert "no.toml" in ran.err
