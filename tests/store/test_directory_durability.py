"""The directory backend against power loss: what is under a final name is whole, and what was promised survives.

Rule: the program runs on the simulated disk of powerloss.py, which tries every state at every call. That this finds
losses where there are some is proved in test_wrong_orders.py. What a simulation cannot tell is whether a real disk
keeps what fsync confirmed; that is assumed.
"""

import errno
import os
import re
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.store import BackendError
from siltstone.store.directory import DirectoryBackend

from .scenarios import LEASE, PACK, SCENARIOS, Scenario, Simulation, a_failed_fsync, simulation


@pytest.fixture
def on_disk() -> Iterator[Simulation]:
    with simulation() as simulated:
        yield simulated


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_nothing_is_lost(on_disk: Simulation, scenario: Scenario) -> None:
    scenario(on_disk)
    assert on_disk.disk.losses == []


names = st.sampled_from(["config", "packs/ab/a", "packs/ab/b", "packs/cd/a", "sessions/s", "backups/h/0/0"])
steps = st.tuples(st.sampled_from(["put", "replace", "delete", "connect"]), names, st.binary(max_size=9))


@given(history=st.lists(steps, max_size=12), failing=st.sets(st.integers(0, 12), max_size=2), linking=st.booleans())
@settings(max_examples=50)
def test_nothing_is_lost_in_any_history(
    history: list[tuple[str, str, bytes]], failing: set[int], linking: bool
) -> None:
    with simulation() as on_disk:
        on_disk.disk.failing = {n for n in failing if n - 1 not in failing}  # never twice in a row
        on_disk.disk.linking = linking
        backend, objects = on_disk.connect(), dict[str, bytes]()
        for verb, name, content in history:
            if verb == "connect":
                backend = on_disk.connect()
            elif verb == "replace":
                on_disk.replace(backend, name, objects.get(name), content)
                objects[name] = content
            elif verb == "delete" and name in objects:
                on_disk.delete(backend, name, objects.pop(name))
            elif verb == "put" and name not in objects:
                on_disk.put(backend, name, content)
                objects[name] = content
        assert on_disk.disk.losses == []
        assert list(on_disk.disk.survivors()) == [{f"store/{name}": content for name, content in objects.items()}]
        assert not on_disk.temporaries()


def test_the_order_of_writing(on_disk: Simulation) -> None:
    on_disk.connect().put(PACK, [b"frames"])
    assert [re.sub("[0-9a-f]{16}", "", call) for call in on_disk.disk.calls] == [
        "mkdir store",
        "fsync /",
        "mkdir store/packs",
        "fsync store/",
        "mkdir store/packs/ab",
        "fsync store/packs/",
        "create store/packs/ab/.tmp-",
        "write store/packs/ab/.tmp-",
        "fsync store/packs/ab/.tmp-",
        "link store/packs/ab/abcd",
        "unlink store/packs/ab/.tmp-",
        "fsync store/packs/ab/",
    ]


def test_folders_are_synced_once_by_each_writer(on_disk: Simulation) -> None:
    backend = on_disk.connect()
    for n in range(8):
        backend.put(f"packs/{n:02}/a", [b"x"])
    on_disk.disk.calls.clear()
    another = on_disk.connect()
    for n in range(8):
        another.put(f"packs/{n:02}/b", [b"x"])
    assert on_disk.disk.calls.count("fsync store/packs/") == 1


class TestFailedSync:
    """Nothing about a file is trusted after its fsync, or its close, failed."""

    def test_the_bytes_are_written_again_under_a_new_name(self, on_disk: Simulation) -> None:
        a_failed_fsync(on_disk)
        created = [call for call in on_disk.disk.calls if call.startswith("create")]
        assert len(set(created)) == 2

    @pytest.mark.parametrize("verb", ["put", "replace"])
    def test_the_second_failure_is_an_error(self, on_disk: Simulation, verb: str) -> None:
        backend = on_disk.connect()
        on_disk.disk.failing = {0, 1}
        with pytest.raises(BackendError, match=r"cannot write packs/ab/abcd: Input/output error") as caught:
            getattr(backend, verb)(PACK, [b"frames"])
        assert "dmesg" in caught.value.hint
        assert not on_disk.temporaries()
        assert list(backend.list("")) == []
        assert len([call for call in on_disk.disk.calls if call.startswith("create")]) == 2

    def test_close_tells_it_too(self, on_disk: Simulation) -> None:
        closed: list[int] = []

        def close(descriptor: int) -> None:
            real_close(descriptor)
            written = ".tmp-" in on_disk.disk.calls[-1]
            if written and not closed:
                closed.append(descriptor)
                raise OSError(errno.EIO, "Input/output error")

        real_close = on_disk.disk.close
        on_disk.patch.setattr(on_disk.disk, "close", close)
        on_disk.put(on_disk.connect(), PACK, b"frames")
        assert closed
        assert len([call for call in on_disk.disk.calls if call.startswith("create")]) == 2
        assert on_disk.disk.losses == []

    @pytest.mark.parametrize("verb", ["put", "replace", "delete"])
    def test_a_folder_that_cannot_be_synced_is_an_error(self, on_disk: Simulation, verb: str) -> None:
        backend = on_disk.connect()
        backend.put(LEASE, [b"until noon"])
        fail_folders(on_disk, errno.EIO)
        with pytest.raises(BackendError, match="Input/output error"):
            change(backend, verb, LEASE if verb == "delete" else "sessions/another")

    @pytest.mark.parametrize("verb", ["put", "replace", "delete"])
    def test_a_file_system_without_sync_of_folders_is_used(self, on_disk: Simulation, verb: str) -> None:
        backend = on_disk.connect()
        backend.put(LEASE, [b"until noon"])
        fail_folders(on_disk, errno.EINVAL)
        change(backend, verb, LEASE if verb == "delete" else "sessions/another")
        assert {info.name for info in backend.list("")} == (set() if verb == "delete" else {LEASE, "sessions/another"})


def change(backend: DirectoryBackend, verb: str, name: str) -> None:
    if verb == "delete":
        backend.delete(name)
    else:
        getattr(backend, verb)(name, [b"x"])


def fail_folders(on_disk: Simulation, code: int) -> None:
    """From here on fsync of a folder fails."""

    def fsync(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(code, os.strerror(code))

    on_disk.patch.setattr(on_disk.disk, "fsync", fsync)
