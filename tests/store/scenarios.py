"""What a store does on the simulated disk of powerloss.py, step by step with what it promises.

Rule: a scenario says before each change what may be found from now on, and after it what must be. It asserts nothing
about losses itself: the same scenarios run with the right order of writing and with every wrong one.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from mmap import mmap
from pathlib import Path

import pytest

from siltstone.store import ObjectExists
from siltstone.store import direct as direct_module
from siltstone.store import directory as directory_module
from siltstone.store import durable as durable_module
from siltstone.store.directory import DirectoryBackend

from .backends import Killed
from .powerloss import RecordingOs

PACK, LEASE = "packs/ab/abcd", "sessions/s"


class Simulation:
    """A store on a disk that forgets, and calls that say what they promise."""

    def __init__(self, top: Path, patch: pytest.MonkeyPatch) -> None:
        self.top, self.patch = top, patch
        self.disk = RecordingOs(top)
        patch.setattr(durable_module, "os", self.disk)
        patch.setattr(durable_module, "rename_exclusively", self.disk.rename_exclusively)
        patch.setattr(direct_module, "os", self.disk)
        patch.setattr(directory_module, "os", self.disk)

    def connect(self) -> DirectoryBackend:
        return DirectoryBackend(self.top / "store", create=True)

    def put(self, backend: DirectoryBackend, name: str, content: bytes) -> None:
        self.disk.expect(f"store/{name}", None, content)
        backend.put(name, [content[:3], content[3:]])
        self.disk.expect(f"store/{name}", content)

    def replace(self, backend: DirectoryBackend, name: str, old: bytes | None, new: bytes) -> None:
        self.disk.expect(f"store/{name}", old, new)
        backend.replace(name, [new])
        self.disk.expect(f"store/{name}", new)

    def delete(self, backend: DirectoryBackend, name: str, content: bytes) -> None:
        self.disk.expect(f"store/{name}", content, None)
        backend.delete(name)
        self.disk.expect(f"store/{name}", None)

    def temporaries(self) -> list[str]:
        return [path.name for path in self.top.rglob(".tmp-*")]


@contextmanager
def simulation() -> Iterator[Simulation]:
    with tempfile.TemporaryDirectory(prefix="silt-powerloss-") as top, pytest.MonkeyPatch.context() as patch:
        yield Simulation(Path(top), patch)


def usual_work(on_disk: Simulation) -> None:
    backend = on_disk.connect()
    on_disk.put(backend, "config", b"the format")
    on_disk.put(backend, PACK, b"frames and a footer")
    on_disk.put(backend, "packs/ab/abff", b"")
    on_disk.put(backend, "packs/cd/cdef", b"more frames")
    on_disk.replace(backend, LEASE, None, b"until noon")
    on_disk.replace(backend, LEASE, b"until noon", b"until one")
    on_disk.delete(backend, "packs/ab/abff", b"")
    on_disk.put(backend, "backups/host/0/0", b"the root")


def a_pack_written_past_the_page_cache(on_disk: Simulation) -> None:
    """Its whole blocks go that way, and the rest of it through the cache."""
    whole = memoryview(mmap(-1, 2 * direct_module.LEAST))[: direct_module.LEAST + 700]
    whole[::1000] = bytes(range(1, 256)) * (len(whole[::1000]) // 255) + bytes(len(whole[::1000]) % 255)
    content = bytes(whole) + b"its end"
    backend = on_disk.connect()
    on_disk.disk.expect(f"store/{PACK}", None, content)
    backend.put(PACK, [whole, b"its end"])
    on_disk.disk.expect(f"store/{PACK}", content)
    assert backend.get(PACK) == content


def two_writers_of_one_name(on_disk: Simulation) -> None:
    first, second = on_disk.connect(), on_disk.connect()

    def meanwhile() -> None:
        with pytest.raises(ObjectExists):
            second.put(PACK, [b"frames"])
        on_disk.disk.expect(f"store/{PACK}", b"frames")  # the second writer goes on and refers to it

    on_disk.disk.then["link"] = meanwhile
    on_disk.put(first, PACK, b"frames")
    assert not on_disk.disk.then


def two_writers_in_one_new_folder(on_disk: Simulation) -> None:
    first, second = on_disk.connect(), on_disk.connect()
    on_disk.disk.then["mkdir"] = lambda: on_disk.put(second, "packs/ab/abff", b"of the second")
    on_disk.put(first, PACK, b"of the first")
    assert not on_disk.disk.then


def a_killed_init_and_another(on_disk: Simulation) -> None:
    def die() -> None:
        raise Killed

    on_disk.disk.then["mkdir"] = die
    with pytest.raises(Killed):
        on_disk.connect()
    on_disk.put(on_disk.connect(), "config", b"the format")


def a_failed_fsync(on_disk: Simulation) -> None:
    on_disk.disk.failing = {0}
    on_disk.put(on_disk.connect(), PACK, b"frames")
    assert not on_disk.temporaries()


def no_hard_links(on_disk: Simulation) -> None:
    on_disk.disk.linking = False
    usual_work(on_disk)
    with pytest.raises(ObjectExists):
        on_disk.connect().put(PACK, [b"other frames"])
    assert not on_disk.temporaries()
    assert not any(call.startswith("link") for call in on_disk.disk.calls)


Scenario = Callable[[Simulation], None]
SCENARIOS: list[Scenario] = [
    usual_work,
    a_pack_written_past_the_page_cache,
    two_writers_of_one_name,
    two_writers_in_one_new_folder,
    a_killed_init_and_another,
    a_failed_fsync,
    no_hard_links,
]
