"""The backend that fails when told to does so exactly there: other tests rely on it."""

import pytest

from siltstone.store import BackendError, StoreFull

from .backends import FaultyBackend, Killed, MemoryBackend, lost_mount


def work(backend: FaultyBackend) -> None:
    backend.put("packs/ab/a", [b"pack"])
    backend.replace("sessions/s", [b"lease"])
    assert backend.get("packs/ab/a") == b"pack"
    backend.delete("sessions/s")
    backend.put("backups/h/0/0", [b"root"])


AFTER = [
    [],
    ["packs/ab/a"],
    ["packs/ab/a", "sessions/s"],
    ["packs/ab/a"],
    ["backups/h/0/0", "packs/ab/a"],
]


def test_without_a_fault_it_passes_on_and_counts() -> None:
    memory = MemoryBackend()
    faulty = FaultyBackend(memory)
    work(faulty)
    assert faulty.changes == [
        ("put", "packs/ab/a"),
        ("replace", "sessions/s"),
        ("delete", "sessions/s"),
        ("put", "backups/h/0/0"),
    ]
    assert sorted(memory.objects) == AFTER[-1]


@pytest.mark.parametrize("lands", [False, True])
@pytest.mark.parametrize("at", range(4))
def test_a_kill_ends_everything(at: int, lands: bool) -> None:
    memory = MemoryBackend()
    faulty = FaultyBackend(memory, at, lands=lands)
    with pytest.raises(Killed):
        work(faulty)
    assert sorted(memory.objects) == AFTER[at + lands]
    for call in (faulty.get, faulty.size, faulty.view, faulty.delete):
        with pytest.raises(Killed):
            call("packs/ab/a")
    with pytest.raises(Killed):
        list(faulty.list(""))
    assert sorted(memory.objects) == AFTER[at + lands]


def test_a_fault_may_pass() -> None:
    faulty = FaultyBackend(MemoryBackend(), 1, error=lambda: StoreFull("no room"), once=True)
    faulty.put("a", [b"x"])
    with pytest.raises(StoreFull):
        faulty.put("b", [b"x"])
    faulty.put("b", [b"x"])
    assert [info.name for info in faulty.list("")] == ["a", "b"]


def test_a_mount_may_go_while_it_is_listed() -> None:
    faulty = FaultyBackend(MemoryBackend(), 2, error=lost_mount)
    for name in "ab":
        faulty.put(name, [b"x"])
    found = faulty.list("")
    next(found)
    with pytest.raises(BackendError, match="vanished"):
        faulty.put("c", [b"x"])
    with pytest.raises(BackendError, match="vanished"):
        next(found)
