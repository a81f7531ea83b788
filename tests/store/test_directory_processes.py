"""The directory backend among processes, and on real mounts: races, kill -9, a full disk, a read-only or lost mount.

Rule: no part of the system is stood in for. Mounts are made by a process that has them for itself and takes them away
when it ends; where we may not mount, those tests are skipped and say so.
"""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from siltstone.store import StoreError, open_backend

WRITERS, ROUNDS = 4, 30

RACE = """
    root, me = sys.argv[1], int(sys.argv[2])
    backend = open_backend(root)
    print("ready", flush=True)
    sys.stdin.readline()
    won = []
    for turn in range(30):
        try:
            backend.put(f"backups/h/{turn % 3}/{turn}", [bytes([me]) * 1000])
            won.append(turn)
        except ObjectExists:
            pass
    print(json.dumps(won))
"""

ENDLESS = """
    backend = open_backend(sys.argv[1])
    for n in range(1 << 30):
        backend.put(f"packs/{n % 7:02}/{sys.argv[2]}-{n}", [n.to_bytes(8, "big") * 512] * 100)
        print(n, flush=True)
"""


def program(script: str) -> list[str]:
    prelude = "import json, os, subprocess, sys\nfrom siltstone.store import *\n"
    return [sys.executable, "-c", prelude + textwrap.dedent(script)]


class TestProcesses:
    def test_one_of_many_processes_wins(self, tmp_path: Path) -> None:
        backend = open_backend(str(tmp_path))
        writers = [
            subprocess.Popen(
                [*program(RACE), str(tmp_path), str(me)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for me in range(WRITERS)
        ]
        for writer in writers:
            assert writer.stdout
            assert writer.stdout.readline() == "ready\n"
        answers = [writer.communicate("go\n")[0] for writer in writers]
        won = {me: json.loads(answer) for me, answer in enumerate(answers)}
        assert sorted(turn for turns in won.values() for turn in turns) == list(range(ROUNDS))
        for me, turns in won.items():
            for turn in turns:
                assert backend.get(f"backups/h/{turn % 3}/{turn}") == bytes([me]) * 1000
        assert not list(tmp_path.rglob(".tmp-*"))

    def test_a_killed_writer_leaves_whole_objects(self, tmp_path: Path) -> None:
        backend = open_backend(str(tmp_path))
        for turn in range(3):
            writer = subprocess.Popen([*program(ENDLESS), str(tmp_path), str(turn)], stdout=subprocess.PIPE, text=True)
            assert writer.stdout
            first = writer.stdout.readline()
            time.sleep(0.01 + 0.017 * turn)
            writer.send_signal(signal.SIGKILL)
            acknowledged = {f"packs/{int(n) % 7:02}/{turn}-{int(n)}" for n in [first, *writer.stdout.read().split()]}
            writer.wait()
            writer.stdout.close()
            assert acknowledged <= {info.name for info in backend.list("")}
        for info in backend.list(""):
            number = int(info.name.rpartition("-")[2])
            assert backend.get(info.name) == number.to_bytes(8, "big") * 51200
        left = len(list(tmp_path.rglob(".tmp-*")))
        assert left <= 3
        assert backend.remove_stale(-60) == left
        assert not list(tmp_path.rglob(".tmp-*"))


def in_own_mounts(script: str, mountpoint: Path) -> Any:
    """What the script prints as JSON; it runs with a tmpfs of 2 MiB at argv[1] that nobody else sees."""
    mountpoint.mkdir()
    mount = "subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=2m', 'none', sys.argv[1]], check=True)\n"
    command = ["unshare", "--mount", *program(mount + textwrap.dedent(script)), str(mountpoint)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def may_mount() -> bool:
    try:
        probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
        return os.geteuid() == 0 and subprocess.run(probe, capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not may_mount(), reason="needs the right to mount")
class TestMounts:
    def test_a_full_disk(self, tmp_path: Path) -> None:
        script = """
            backend = open_backend(sys.argv[1] + "/store", create=True)
            backend.put("packs/ab/small", [b"grain"])
            before = backend.free_space()
            try:
                backend.put("packs/ab/large", [bytes(1 << 19)] * 8)
            except StoreFull as error:
                said = str(error)
            names = [info.name for info in backend.list("")]
            backend.put("packs/ab/fits", [bytes(1 << 20)])
            print(json.dumps([said, names, backend.free_space() <= before - (1 << 20), before]))
        """
        said, names, less, before = in_own_mounts(script, tmp_path / "mnt")
        assert said.endswith("cannot write packs/ab/large: No space left on device")
        assert names == ["packs/ab/small"]
        assert less
        assert 0 < before < 2 << 20

    def test_a_mount_that_became_read_only(self, tmp_path: Path) -> None:
        script = """
            backend = open_backend(sys.argv[1] + "/store", create=True)
            backend.put("packs/ab/small", [b"grain"])
            subprocess.run(["mount", "-o", "remount,ro", sys.argv[1]], check=True)
            said = []
            for call in (lambda: backend.put("packs/ab/x", [b"x"]), lambda: backend.delete("packs/ab/small")):
                try:
                    call()
                except BackendError as error:
                    said.append([str(error), error.hint])
            print(json.dumps([said, backend.get("packs/ab/small").decode()]))
        """
        said, content = in_own_mounts(script, tmp_path / "mnt")
        assert [text.rpartition(": ")[2] for text, _ in said] == ["Read-only file system"] * 2
        assert all("mount it writable" in hint for _, hint in said)
        assert content == "grain"

    def test_a_mount_that_went_away(self, tmp_path: Path) -> None:
        script = """
            subprocess.run(["umount", sys.argv[1]], check=True)
            os.makedirs(sys.argv[1] + "/store")
            subprocess.run(["mount", "-t", "tmpfs", "none", sys.argv[1]], check=True)
            backend = open_backend(sys.argv[1] + "/store", create=True)
            backend.put("packs/ab/small", [b"grain"])
            subprocess.run(["umount", "--lazy", sys.argv[1]], check=True)
            said = []
            for call in (
                lambda: backend.put("packs/ab/x", [b"x"]),
                lambda: backend.replace("sessions/s", [b"x"]),
                lambda: backend.get("packs/ab/x"),
                lambda: list(backend.list("")),
                lambda: backend.delete("packs/ab/small"),
            ):
                try:
                    call()
                except StoreError as error:
                    said.append([type(error).__name__, str(error)])
            print(json.dumps([said, os.listdir(sys.argv[1] + "/store")]))
        """
        said, below = in_own_mounts(script, tmp_path / "mnt")
        place = tmp_path / "mnt" / "store"
        assert said == [["BackendError", f"the store vanished: {place}: another directory is in its place"]] * 5
        assert below == []


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir(mode=0o500)
    with pytest.raises(StoreError, match="Permission denied") as caught:
        open_backend(str(tmp_path / "store")).put("config", [b"x"])
    assert "user who owns" in caught.value.hint
