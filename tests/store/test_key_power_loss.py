"""Changes of keys on a disk that forgets what was not synced: wherever the power goes, nobody is locked out.

Rule: after every call of the system each state that a power loss may leave is opened with every secret that must open
it; a wrong order (the old key deleted first) is found, which proves that the test bites.
"""

from collections.abc import Callable, Iterator

import pytest

from siltstone.store import Backend, KeyFile, StoreError, add_key, exchange_key, remove_key, rotate_keys, unlock
from siltstone.store import key_changes as key_changes_module
from siltstone.store.key_objects import put_key
from siltstone.store.making import init_store

from .backends import MemoryBackend
from .scenarios import Simulation, simulation
from .stores import KEY

A, B, NEW = KEY, KeyFile(b"b" * 32), KeyFile(b"n" * 32)
CHANGES: dict[str, tuple[Callable[[Backend], object], list[set[KeyFile]]]] = {
    # what is done, and of which of these groups one secret at least must open every state
    "add": (lambda backend: add_key(unlock(backend, A), NEW, label="new"), [{A}, {B}]),
    "remove": (lambda backend: remove_key(unlock(backend, A), unlock(backend, B).key.removeprefix("keys/")), [{A}]),
    "exchange": (lambda backend: exchange_key(unlock(backend, A), A, NEW), [{A, NEW}, {B}]),
    "rotate": (lambda backend: rotate_keys(unlock(backend, A), [A, B]), [{A}, {B}]),
}


@pytest.fixture
def on_disk() -> Iterator[Simulation]:
    with simulation() as simulated:
        yield simulated


def opens(tree: dict[str, bytes], secret: KeyFile) -> bool:
    """Whether a secret opens the store that a power loss left."""
    backend = MemoryBackend()
    backend.objects = {name.removeprefix("store/"): content for name, content in tree.items()}
    try:
        unlock(backend, secret)
    except StoreError:
        return False
    return True


def locked_out(on_disk: Simulation, change: Callable[[Backend], object], groups: list[set[KeyFile]]) -> list[str]:
    """The calls after which a power loss may leave a store that one of the groups does not open."""
    backend = on_disk.connect()
    init_store(backend, [(A, "first"), (B, "second")])
    on_disk.disk.calls.clear()
    found: list[str] = []
    states = 0

    def look(call: str, path: str) -> None:
        nonlocal states
        on_disk.disk.calls.append(f"{call} {path}")
        for tree in on_disk.disk.survivors():
            states += 1
            if not all(any(opens(tree, secret) for secret in group) for group in groups):
                found.append(on_disk.disk.calls[-1])

    on_disk.patch.setattr(on_disk.disk, "_changed", look)
    change(backend)
    assert states >= 3
    return found


@pytest.mark.parametrize("name", CHANGES)
def test_no_state_locks_anybody_out(on_disk: Simulation, name: str) -> None:
    assert locked_out(on_disk, *CHANGES[name]) == []


@pytest.mark.parametrize("name", ["exchange", "rotate"])
def test_a_wrong_order_is_found(on_disk: Simulation, name: str) -> None:
    def delete_first(backend: Backend, payload: bytes) -> str:
        for info in list(backend.list("keys/")):
            backend.delete(info.name)
        return put_key(backend, payload)

    on_disk.patch.setattr(key_changes_module, "put_key", delete_first)
    assert locked_out(on_disk, *CHANGES[name])
