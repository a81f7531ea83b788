"""Leases: a session at work is seen by others, and called dead only when that is proved."""

import subprocess
import sys
import threading
import time

import msgpack
import pytest
from blake3 import blake3

from siltstone.store import BackendError, ObjectKind, ObjectMissing, enclose
from siltstone.store import lease as lease_module
from siltstone.store.lease import SESSIONS, HeldLease, leases, standing

from .backends import FaultyBackend, MemoryBackend, lost_mount
from .stores import names

KEY = b"k" * 32


def owner_that(monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    """Leases are held by another process from here on, which differs from this one in some way."""
    mine = lease_module._owner()
    monkeypatch.setattr(lease_module, "_owner", lambda: mine | changes)


@pytest.mark.parametrize("key", [KEY, b""])
def test_a_session_is_seen_until_it_ends(key: bytes) -> None:
    backend, before = MemoryBackend(), time.time_ns()
    held = HeldLease(backend, "aa", key)
    (seen,) = leases(backend, key)
    assert (seen.name, seen.session, seen.generation, seen.dead) == ("sessions/aa", "aa", 0, False)
    assert before <= seen.started_ns <= seen.renewed_ns <= time.time_ns()
    held.end()
    assert leases(backend, key) == []


def test_a_lease_may_be_kept() -> None:
    backend = MemoryBackend()
    HeldLease(backend, "aa", KEY).end(keep=True)
    assert [lease.session for lease in leases(backend, KEY)] == ["aa"]


def test_it_is_renewed_and_survives_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "RENEW_SECONDS", 0.01)
    renewed = threading.Event()

    class Backend(FaultyBackend):
        def replace(self, name: str, pieces: object) -> None:
            if len(self.changes) > 3:
                renewed.set()
            super().replace(name, pieces)  # type: ignore[arg-type]  # passed on as it came

    backend = MemoryBackend()
    held = HeldLease(Backend(backend, 1, error=lost_mount, once=True), "aa", KEY)
    (first,) = leases(backend, KEY)
    assert renewed.wait(20)
    (later,) = leases(backend, KEY)
    held.end()
    assert later.started_ns == first.started_ns
    assert later.renewed_ns > first.renewed_ns
    assert names(backend, SESSIONS) == []


def test_to_end_it_never_fails() -> None:
    backend = MemoryBackend()
    faulty = FaultyBackend(backend, 1, error=lost_mount)
    HeldLease(faulty, "aa", KEY).end()
    with pytest.raises(BackendError):
        faulty.size("config")
    gone = HeldLease(backend, "bb", KEY)
    backend.delete("sessions/bb")
    gone.end()


class TestDead:
    """When a session is called dead."""

    def test_its_process_is_gone(self) -> None:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        assert child.stdin is not None
        with pytest.MonkeyPatch.context() as patch:
            owner_that(patch, pid=child.pid, start=lease_module._start_time(child.pid))
            backend = MemoryBackend()
            HeldLease(backend, "aa", KEY).end(keep=True)
        assert [lease.dead for lease in leases(backend, KEY)] == [False]
        child.stdin.close()
        assert child.wait(20) != 0
        assert [lease.dead for lease in leases(backend, KEY)] == [True]

    @pytest.mark.parametrize(
        ("changes", "dead"),
        [
            ({}, False),
            ({"start": "1"}, True),  # its number was given to a later process
            ({"boot": "an earlier one"}, True),
            ({"boot": ""}, False),  # nobody knows
            ({"host": "another"}, False),
            ({"host": "another", "boot": "another", "start": "1"}, False),
            ({"pids": "another container's", "start": "1"}, False),
            ({"pids": "another container's", "boot": "an earlier one"}, True),
        ],
    )
    def test_only_when_it_is_proved(
        self, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], dead: bool
    ) -> None:
        backend = MemoryBackend()
        with monkeypatch.context() as patch:
            owner_that(patch, **changes)
            HeldLease(backend, "aa", KEY).end(keep=True)
        (seen,) = leases(backend, KEY)
        assert seen.dead is dead


class TestStrange:
    """Leases that are not what they seem are sessions of somebody, and never dead."""

    def test_a_damaged_one(self) -> None:
        backend = MemoryBackend()
        HeldLease(backend, "aa", KEY).end(keep=True)
        whole = backend.objects["sessions/aa"]
        for at in range(len(whole)):
            backend.objects["sessions/aa"] = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
            (seen,) = leases(backend, KEY)
            assert (seen.session, seen.dead, seen.started_ns) == ("aa", False, 0)

    def test_one_of_another_store(self) -> None:
        backend = MemoryBackend()
        HeldLease(backend, "aa", b"another key" + bytes(21)).end(keep=True)
        (seen,) = leases(backend, KEY)
        assert not seen.dead

    def test_one_under_the_name_of_another(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each session seals under a key of its own: two that counted their nonces alike would betray each other."""
        owner_that(monkeypatch, start="1")
        backend = MemoryBackend()
        HeldLease(backend, "aa", KEY).end(keep=True)
        backend.objects["sessions/bb"] = backend.objects["sessions/aa"]
        assert [(lease.name, lease.dead) for lease in leases(backend, KEY)] == [
            ("sessions/aa", True),
            ("sessions/bb", False),
        ]

    def test_one_that_parses_as_something_else(self) -> None:
        backend = MemoryBackend()
        rows = [msgpack.packb(row) for row in ([1], {}, {"owner": 1}, {"owner": b"sealed"})]
        later = b"silt\x03\x02of the future"
        objects = [enclose(ObjectKind.LEASE, payload) for payload in (b"", b"\xc1", *rows)]
        for backend.objects["sessions/aa"] in (*objects, later + blake3(later).digest(length=16)):
            (seen,) = leases(backend, KEY)
            assert not seen.dead


def test_it_says_whom_its_session_waits_for() -> None:
    backend = MemoryBackend()
    held = HeldLease(backend, "aa", KEY)
    assert standing(backend, "aa") == (held.started_ns, "")
    held.follow("bb")
    assert standing(backend, "aa") == (held.started_ns, "bb")
    held.end()
    held.follow("cc")  # it ended: it does not come back
    with pytest.raises(ObjectMissing):
        standing(backend, "aa")


@pytest.mark.parametrize("content", [b"no lease", enclose(ObjectKind.LEASE, msgpack.packb({"session": "aa"}))])
def test_one_that_cannot_be_read_waits_for_nobody(content: bytes) -> None:
    backend = MemoryBackend()
    backend.put(SESSIONS + "aa", [content])
    assert standing(backend, "aa") == (0, "")
