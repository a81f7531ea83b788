"""Sessions that are killed, at every write: what was committed stays, what became durable is used again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from siltstone.store import Backend, PackName, Store, following, open_backend
from siltstone.store.lease import SESSIONS

from .backends import Connect, FaultyBackend, Killed, MemoryBackend, fresh
from .stores import KEY, ROOT, back_up, grains, make, names, put, read_back, reopen, small_packs

pytestmark = pytest.mark.timeout(60)

BEFORE, CONTENTS, NEXT = grains(0, 20), grains(1, 60), "backups/host/0/1"

# A session in a process of its own: it says where it is, and ends as it is told.
SESSION = """
import sys
from tests.store.stores import KEY, grains, put, small_packs
from siltstone.store import Store, open_backend
with small_packs(), Store.open(open_backend(sys.argv[1]), KEY).writer("none") as writer:
    seed, name = int(sys.argv[2]), sys.argv[3]
    ids = put(writer, grains(seed, 60))
    print("stored", flush=True)
    input()
    writer.commit(name, {"chunks": ids})
"""


def durable(store: Store) -> set[bytes]:
    """Every chunk in every pack."""
    packs = [PackName(name[-64:]) for name in names(store.backend, "packs/")]
    return {bytes(chunk) for pack in packs for frame in store.footer(pack).frames for chunk in frame.ids}


def begun(folder: Path, seed: int, name: str) -> "subprocess.Popen[str]":
    """A session in another process, which has stored what it has to store and not committed it."""
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    session = subprocess.Popen(
        [sys.executable, "-c", SESSION, str(folder), str(seed), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert session.stdout is not None
    assert session.stdout.readline() == "stored\n"
    return session


def commit_again(backend: Backend) -> None:
    """The next session stores what is not durable, and nothing else."""
    store = reopen(backend)
    there = durable(store)
    with store.writer("none") as writer:
        ids = put(writer, CONTENTS)
        assert writer.new_chunks == len(set(ids) - there)
        writer.commit("backups/host/0/2", {"chunks": ids})
    store = reopen(backend)
    assert read_back(store) == BEFORE
    assert read_back(store, "backups/host/0/2") == CONTENTS
    assert durable(store) == set(map(bytes, store.read_root(ROOT)["chunks"] + ids))
    assert set(store.index.packs()) == {name[-64:] for name in names(backend, "packs/")}


@pytest.mark.parametrize("lands", [False, True])
def test_at_every_write(lands: bool) -> None:
    backend = MemoryBackend()
    with small_packs():
        back_up(make(backend), BEFORE)
        whole = dict(backend.objects)
        counting = FaultyBackend(backend)
        back_up(reopen(counting), CONTENTS, NEXT)
        assert len(counting.changes) > 6
        for at in range(len(counting.changes)):
            backend.objects = dict(whole)
            with pytest.raises(Killed):
                back_up(reopen(FaultyBackend(backend, at, lands=lands)), CONTENTS, NEXT)
            assert read_back(reopen(backend)) == BEFORE
            root_done = at > len(counting.changes) - 2 or (lands and at == len(counting.changes) - 2)
            assert (NEXT in names(backend, "backups/")) is root_done
            if root_done:
                assert read_back(reopen(backend), NEXT) == CONTENTS
            commit_again(backend)


def test_while_what_an_earlier_one_left_is_adopted() -> None:
    """A second kill at each write of the session that follows the first."""
    backend = MemoryBackend()
    with small_packs():
        back_up(make(backend), BEFORE)
        with pytest.raises(Killed):
            back_up(reopen(FaultyBackend(backend, 4)), CONTENTS, NEXT)
        whole = dict(backend.objects)
        for at in range(5):
            backend.objects = dict(whole)
            with pytest.raises(Killed):
                back_up(reopen(FaultyBackend(backend, at)), CONTENTS, NEXT)
            commit_again(backend)


def test_a_process(tmp_path: Path) -> None:
    with small_packs():
        backend = open_backend(str(tmp_path / "store"), create=True)
        back_up(make(backend), BEFORE)
        packs = names(backend, "packs/")
        session = begun(tmp_path / "store", 1, NEXT)
        while names(backend, "packs/") == packs:  # the first is on its way
            time.sleep(0.01)
        session.send_signal(signal.SIGKILL)
        assert session.wait(20) == -signal.SIGKILL
        session.communicate()
        assert len(names(backend, SESSIONS)) == 1
        assert len(durable(reopen(backend))) > len(BEFORE)
        commit_again(backend)
        assert names(backend, SESSIONS) == []  # proved dead, and all that it left was adopted


def test_two_processes_at_once(tmp_path: Path) -> None:
    """They store some of the same chunks and know nothing of each other."""
    with small_packs():
        folder = tmp_path / "store"
        back_up(make(open_backend(str(folder), create=True)), BEFORE)
        sessions = [begun(folder, 1, NEXT), begun(folder, 1, "backups/host/0/2"), begun(folder, 2, "backups/host/0/3")]
        backend = open_backend(str(folder))
        assert len(names(backend, SESSIONS)) == 3
        for session in sessions:
            session.communicate("\n", timeout=30)
            assert session.returncode == 0
        store = reopen(backend)
        assert read_back(store) == BEFORE
        assert read_back(store, NEXT) == read_back(store, "backups/host/0/2") == CONTENTS
        assert read_back(store, "backups/host/0/3") == grains(2, 60)
        assert names(backend, SESSIONS) == []


@pytest.mark.parametrize("kind", ["memory", "directory"])
@pytest.mark.parametrize("shared", [True, False])
def test_two_sessions_of_one_process_at_once(kind: str, shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one open store, or of two."""
    monkeypatch.setattr(following, "PATIENCE", -1.0)  # in one thread, so that nothing comes of waiting

    def opened(connect: Connect) -> list[Store]:
        store = make(connect())
        return [store, store if shared else reopen(connect())]

    with fresh(kind) as connect, small_packs():
        one, two = opened(connect)
        with one.writer("none") as first, two.writer("none") as second:
            ids = [put(first, CONTENTS[:40]), put(second, CONTENTS[20:])]
            second.commit(NEXT, {"chunks": ids[1]})
            ids[0] += put(first, CONTENTS[40:])
            first.commit(ROOT, {"chunks": ids[0]})
        store = Store.open(connect(), KEY)
        assert read_back(store) == CONTENTS
        assert read_back(store, NEXT) == CONTENTS[20:]
        assert names(connect(), SESSIONS) == []
