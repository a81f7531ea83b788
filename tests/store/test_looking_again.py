"""A session at work knows of what others published since it began, and leans on it as on what was there before."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from siltstone.store import Backend, ChunkId, ObjectInfo, PackName, Store, following, open_backend
from siltstone.store.index import INDEX
from tests.seaweed import shared_seaweed, surroundings

from .backends import MemoryBackend
from .stores import ROOT, grains, make, names, put, read_back, reopen, small_packs
from .test_reliance import condemn, remove

NEXT = "backups/host/0/1"
SHARED, MINE, EVERY = grains(1, 60), grains(2, 60), 6

pytestmark = pytest.mark.timeout(60)

# A session in a process of its own: it begins when it is told, and stores a little each time it is told to go on.
SESSION = """
import sys
from siltstone.store import Store, following, open_backend
from tests.store.stores import KEY, grains, put, small_packs
following.PUBLISH_PACKS, following.LOOK_AFTER, following.PATIENCE = 1, 1, -1  # who is told to go on waits for nobody
contents = grains(1, 60)
with small_packs(), Store.open(open_backend(sys.argv[1]), KEY).writer("none") as writer:
    ids = []
    for first in range(0, 60, 6):
        print(writer.new_chunks, flush=True)
        input()
        ids += put(writer, contents[first : first + 6])
        writer.flush()
    print(writer.new_chunks, flush=True)
    writer.commit(sys.argv[2], {"chunks": ids})
"""


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Sessions publish each pack, and packs are small."""
    monkeypatch.setattr(following, "PUBLISH_PACKS", 1)
    with small_packs():
        yield


@pytest.fixture(params=["directory", "s3"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    """A place that other processes reach as well."""
    if request.param == "directory":
        yield open_backend(str(tmp_path / "store"), create=True)
        return
    with surroundings(shared_seaweed().environment()):
        yield open_backend(f"s3://trial/{tmp_path.name}-again")


def begin(backend: Backend, name: str) -> "subprocess.Popen[str]":
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    return subprocess.Popen(
        [sys.executable, "-c", SESSION, backend.location, name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path, **shared_seaweed().environment()},
    )


def go_on(session: "subprocess.Popen[str]") -> int:
    """Let it store the next few, and wait until they are; how many chunks it has stored by then."""
    assert session.stdin is not None
    session.stdin.write("\n")
    session.stdin.flush()
    return told(session)


def told(session: "subprocess.Popen[str]") -> int:
    assert session.stdout is not None
    return int(session.stdout.readline())


def test_four_processes_with_the_same_data_store_it_once(backend: Backend) -> None:
    """One goes ahead by a step; the others, at work since before it stored anything, store their first pack anew."""
    make(backend)
    sessions = [begin(backend, f"backups/writer{number}/0/0") for number in range(4)]
    assert [told(session) for session in sessions] == [0, 0, 0, 0]
    stored = [[go_on(session)] for session in sessions[:1]] + [[], [], []]
    for _ in range(9):
        for session, counts in zip(sessions, stored, strict=True):
            counts.append(go_on(session))
    for session in sessions[1:]:
        go_on(session)
    for session in sessions:
        session.communicate(timeout=30)
        assert session.returncode == 0
    ahead, *others = (counts[-1] for counts in stored)
    assert ahead == len(SHARED)
    assert max(others) <= 2 * EVERY, stored
    store = reopen(backend)
    assert all(read_back(store, f"backups/writer{number}/0/0") == SHARED for number in range(4))


class Listed(MemoryBackend):
    """Notes of what it is asked for lists."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        self.asked.append(prefix)
        return super().list(prefix)


class TestProtection:
    """What was published meanwhile is no safer than what was there before, and is seen to alike."""

    def begun(self, backend: MemoryBackend) -> Store:
        """A session that began before another stored SHARED, and ended."""
        store = make(backend)
        self.writer = store.writer("none")
        self.writer.__enter__()
        with reopen(backend).writer("none") as other:
            put(other, SHARED)
        return store

    def end(self) -> None:
        self.writer.__exit__(None, None, None)

    def look(self) -> None:
        put(self.writer, MINE)
        self.writer.flush()  # packs are durable on the way, and then it looks

    def relying(self, backend: MemoryBackend) -> tuple[Store, list[ChunkId]]:
        """A session that has looked and found SHARED."""
        store = self.begun(backend)
        self.look()
        ids = put(self.writer, SHARED)
        assert self.writer.known_chunks == len(SHARED)
        return store, ids

    def test_what_is_condemned_after_it_looked_is_copied(self) -> None:
        backend = MemoryBackend()
        store, ids = self.relying(backend)
        gone = condemn(store)
        self.writer.commit(ROOT, {"chunks": ids})
        self.end()
        remove(backend, gone)
        assert read_back(reopen(backend), ROOT) == SHARED

    def test_what_was_condemned_before_it_looked_is_stored_anew(self) -> None:
        backend = MemoryBackend()
        gone = condemn(self.begun(backend))
        self.look()
        ids = put(self.writer, SHARED)
        assert self.writer.known_chunks == 0
        self.writer.commit(ROOT, {"chunks": ids})
        self.end()
        remove(backend, gone)
        assert read_back(reopen(backend), ROOT) == SHARED

    def test_what_is_named_and_gone_is_stored_anew(self) -> None:
        """As a session publishes it that was given up, and knew packs that were removed since."""
        backend = MemoryBackend()
        self.begun(backend)
        remove(backend, [PackName(name[-64:]) for name in names(backend, "packs/")])
        assert names(backend, INDEX)
        self.look()
        ids = put(self.writer, SHARED)
        assert self.writer.known_chunks == 0
        self.writer.commit(ROOT, {"chunks": ids})
        self.end()
        assert read_back(reopen(backend), ROOT) == SHARED

    def test_what_is_condemned_is_copied_where_its_other_place_is_named_and_gone(self) -> None:
        """A session that was given up may have stored the same, and published it after its packs were removed."""
        backend = MemoryBackend()
        store, ids = self.relying(backend)
        condemned, before = condemn(store), set(names(backend, "packs/"))
        with reopen(backend).writer("none") as other:
            put(other, SHARED)
        remove(backend, [PackName(name[-64:]) for name in set(names(backend, "packs/")) - before])
        self.writer.commit(ROOT, {"chunks": ids})
        self.end()
        remove(backend, condemned)
        assert read_back(reopen(backend), ROOT) == SHARED

    def test_whether_a_pack_is_there_is_asked_once_it_is_relied_on(self) -> None:
        backend = Listed()
        self.begun(backend)
        of_other = {name.rpartition("/")[0] + "/" for name in names(backend, "packs/")}
        backend.asked.clear()
        self.look()
        assert of_other.isdisjoint(backend.asked)
        put(self.writer, SHARED)
        assert of_other <= set(backend.asked)
        self.end()
