"""`silt` with a store in a bucket, as its users run it: processes against a real server.

Rule: what breaks is broken for real, by a line that is cut or a server that is killed.
"""

import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from siltstone.cli.exits import Exit
from siltstone.store import make_key_file
from tests.line import Line, line_to
from tests.seaweed import Seaweed, seaweed, shared_seaweed
from tests.tree_difference import difference

from .conftest import Silt

MIB = 1 << 20


@pytest.fixture
def line() -> Iterator[Line]:
    with line_to(shared_seaweed().s3) as line:
        yield line


@pytest.fixture
def keyed(silt: Silt, tmp_path: Path) -> Silt:
    """`silt` with a key file, which costs no derivation of a key."""
    (tmp_path / "key").write_text(make_key_file())
    silt.environment["SILT_KEY_FILE"] = str(tmp_path / "key")
    return silt


@pytest.fixture
def there(keyed: Silt, line: Line, tmp_path: Path) -> Silt:
    """`silt` with a new store in a bucket at the end of the line."""
    keyed.environment |= variables(shared_seaweed(), tmp_path) | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{line.port}"}
    keyed("init")
    return keyed


def variables(server: Seaweed, folder: Path) -> dict[str, str]:
    return server.environment() | {"SILT_STORE": f"s3://trial/{folder.name}", "SILT_CACHE": str(folder / "cache")}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_tree(tmp_path / "tree", 3 * MIB)


def make_tree(tree: Path, size: int, seed: int = 1) -> Path:
    chance = random.Random(seed)
    (tree / "folder").mkdir(parents=True)
    (tree / "noise").write_bytes(chance.randbytes(size))
    (tree / "folder" / "text").write_text("grains laid down in layers\n" * 5000)
    for number in range(50):
        (tree / "folder" / f"small{number}").write_bytes(chance.randbytes(number * 20))
    return tree


def restored(folder: Path, tree: Path) -> Path:
    """Where a restore to `back` put the tree."""
    return folder / "back" / tree.relative_to("/")


def test_a_whole_cycle(there: Silt, tree: Path, tmp_path: Path) -> None:
    first = there("backup", tree, "--name", "t", "--json").result
    assert first["stats"]["stored_bytes"] > 3 * MIB
    (tree / "folder" / "text").write_text("another text\n")
    second = there("backup", tree, "--name", "t", "--json").result
    assert second["stats"]["stored_bytes"] < MIB / 10
    assert "no damage found" in there("verify", "--read-data", "all").out
    there("restore", "latest", "--to", tmp_path / "back")
    assert not difference(tree, restored(tmp_path, tree))
    assert there("cat", "0/1", tree / "folder" / "text").out == "another text\n"
    assert len(there("list", "--json").records[0]) == 2


def test_init_says_that_the_conditions_hold(keyed: Silt, tmp_path: Path) -> None:
    keyed.environment |= variables(shared_seaweed(), tmp_path)
    assert keyed("init", "--json").result["conditional"] is True
    assert "there is a store already" in keyed("init", code=Exit.FAILED).err
    keyed.environment |= {"SILT_STORE": f"s3://trial/{tmp_path.name}-2", "AWS_CONDITIONAL_PUT": "disabled"}
    assert "nothing can be removed from the store while others write" in keyed("init").out


def test_an_unchanged_backup_takes_few_requests(there: Silt, line: Line, tree: Path) -> None:
    for _ in range(2):
        there("backup", tree, "--name", "t")
    line.requests.clear()
    there("backup", tree, "--name", "t")
    assert len(line.requests) <= 25, line.requests  # the figure in docs/object-stores.md


def test_a_store_that_goes_away_midway(there: Silt, line: Line, tree: Path, tmp_path: Path) -> None:
    """The backup fails and says why; the next one uses what was stored."""
    make_tree(tmp_path / "large", 70 * MIB, seed=2)
    there.environment["SILT_RETRY_SECONDS"] = "1"
    running = there.start("backup", tmp_path / "large", "--name", "t", stdout=subprocess.DEVNULL)
    while running.poll() is None and sum("/packs/" in each for each in line.requests) < 2:
        time.sleep(0.01)
    line.cut()
    _, err = running.communicate(timeout=60)
    assert running.returncode == Exit.STORE
    assert b"onnection" in err
    assert b"hint: " in err
    assert b"Traceback" not in err
    line.mend()
    assert not there("list", "--json").records[0]
    done = there("backup", tmp_path / "large", "--name", "t", "--json").result
    there("restore", "latest", "--to", tmp_path / "back")
    assert not difference(tmp_path / "large", restored(tmp_path, tmp_path / "large"))
    assert done["stats"]["new_bytes"] < 71 * MIB


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "secret key"),
        ({"SILT_STORE": "s3://nowhere/x"}, "no such bucket"),
        ({"SILT_STORE": "s3://trial/nothing-here"}, "no Siltstone store"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "SILT_RETRY_SECONDS": "0"}, "Connection refused"),
        ({"AWS_ENDPOINT_URL": "storage"}, "no URL"),
    ],
)
def test_what_is_wrong_is_a_sentence_and_a_hint(keyed: Silt, tmp_path: Path, change: dict[str, str], said: str) -> None:
    keyed.environment |= variables(shared_seaweed(), tmp_path) | change
    err = keyed("list", code=Exit.STORE).err
    assert said in err
    assert "hint: " in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("option", "setting", "said"), [("--limit-upload=fast", "", "bandwidth"), ("-q", "much", "size of the cache")]
)
def test_amounts_that_are_none(there: Silt, option: str, setting: str, said: str) -> None:
    there.environment["SILT_CACHE_SIZE"] = setting
    assert said in there("list", option, code=Exit.USAGE).err


@pytest.mark.slow
class TestServers:
    """Servers of their own, because they are killed."""

    def test_one_that_is_killed_midway(self, keyed: Silt, tmp_path: Path) -> None:
        tree, folder = make_tree(tmp_path / "tree", 200 * MIB), tmp_path / "weed"
        folder.mkdir()
        with seaweed(folder) as server:
            keyed.environment |= variables(server, tmp_path) | {"SILT_RETRY_SECONDS": "1"}
            keyed("init")
            running = keyed.start("backup", tree, "--name", "t", stdout=subprocess.DEVNULL)
            while running.poll() is None and not server.holds(f"{tmp_path.name}/packs/"):
                time.sleep(0.05)
            server.server.kill()
            _, err = running.communicate(timeout=60)
            assert running.returncode == Exit.STORE
            assert b"hint: " in err
        with seaweed(folder) as server:
            keyed.environment |= variables(server, tmp_path) | {"SILT_RETRY_SECONDS": "20"}
            done = keyed("backup", tree, "--name", "t", "--json").result
            assert done["stats"]["new_bytes"] < 200 * MIB
            assert "no damage found" in keyed("verify", "--read-data", "all").out
            keyed("restore", "latest", "--to", tmp_path / "back")
        assert not difference(tree, restored(tmp_path, tree))

    def test_one_of_several_volume_servers_that_is_stopped(self, keyed: Silt, tmp_path: Path) -> None:
        tree, folder = make_tree(tmp_path / "tree", 70 * MIB), tmp_path / "weed"
        folder.mkdir()
        with seaweed(folder, volume_servers=3) as server:
            keyed.environment |= variables(server, tmp_path)
            keyed("init")
            keyed("backup", tree, "--name", "t")
            server.volumes[0].kill()
            shutil.rmtree(tmp_path / "cache")
            keyed("restore", "latest", "--to", tmp_path / "back")
            assert not difference(tree, restored(tmp_path, tree))
            make_tree(tmp_path / "more", 40 * MIB, seed=3)
            keyed.environment["SILT_RETRY_SECONDS"] = "60"
            keyed("backup", tree, tmp_path / "more", "--name", "t")
            assert "no damage found" in keyed("verify", "--read-data", "all").out


@pytest.mark.parametrize(
    ("command", "words", "seen"),
    [
        ("list", "", 1),
        ("backup", "PUT /packs/", 1),
        pytest.param("restore", "GET /packs/", 6, marks=pytest.mark.slow),
    ],
)
def test_ctrl_c_while_the_server_does_not_answer(
    there: Silt, line: Line, tmp_path: Path, command: str, words: str, seen: int
) -> None:
    """The line stays up, and nothing comes back over it: as from a server that is stopped."""
    tree = make_tree(tmp_path / "large", (1 if command == "list" else 40) * MIB, seed=2)
    if command == "restore":
        there("backup", tree, "--name", "t")
    given: dict[str, list[str | Path]] = {
        "list": [],
        "backup": [tree, "--name", "t"],
        "restore": ["latest", "--to", tmp_path / "back"],
    }
    line.requests.clear()
    if command == "list":
        line.hold()
    running = there.start(command, *given[command], stdout=subprocess.DEVNULL)
    while running.poll() is None and sum(all(word in each for word in words.split()) for each in line.requests) < seen:
        time.sleep(0.01)
    line.hold()
    began = time.monotonic()
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=120)

    assert running.returncode == Exit.INTERRUPTED
    assert time.monotonic() - began < 60  # a request by itself is waited for ten minutes
    assert b"Traceback" not in err
    assert line.requests
