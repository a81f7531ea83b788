"""Roots: the content comes back, under the name that it was written for and no other."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.store import Corrupt, NoKey, ObjectExists, ObjectMissing, Store
from siltstone.store.opening import OpenStore
from siltstone.store.root import read_root, root_names, seal_root
from siltstone.store.seal import sealer_for

from .backends import MemoryBackend
from .stores import ROOT, make_open, reopen

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=9) | st.binary(max_size=9)
KEYS = st.text(max_size=9) | st.integers(0, 2**32)
CONTENTS = st.dictionaries(KEYS, SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(KEYS, SCALARS, max_size=3))


def write(store: OpenStore, name: str, content: dict[str, Any]) -> None:
    key = store.ring.new_session()
    store.backend.put(name, [seal_root(name, content, key, sealer_for(key.data_key))])


@pytest.mark.parametrize("encrypted", [True, False])
@settings(max_examples=30)
@given(content=CONTENTS)
def test_the_content_comes_back(encrypted: bool, content: dict[Any, Any]) -> None:
    store = make_open(MemoryBackend(), encrypted=encrypted)
    write(store, ROOT, content)
    assert read_root(store, ROOT) == content


def test_names_are_listed() -> None:
    store = make_open(MemoryBackend())
    for name in ("backups/host/0/1", "backups/b/0/0", "backups/host/0/0"):
        write(store, name, {})
    assert list(root_names(store)) == ["backups/b/0/0", "backups/host/0/0", "backups/host/0/1"]


def test_a_root_is_written_once() -> None:
    store = make_open(MemoryBackend())
    write(store, ROOT, {"mine": True})
    with pytest.raises(ObjectExists):
        write(store, ROOT, {"mine": False})
    assert read_root(store, ROOT) == {"mine": True}


def test_a_missing_root_is_missing() -> None:
    with pytest.raises(ObjectMissing) as caught:
        read_root(make_open(MemoryBackend()), ROOT)
    assert caught.value.name == ROOT


@pytest.mark.parametrize("encrypted", [True, False])
def test_a_root_is_not_passed_off_as_another(encrypted: bool) -> None:
    backend = MemoryBackend()
    store = make_open(backend, encrypted=encrypted)
    write(store, ROOT, {"level": 0})
    backend.objects["backups/host/0/1"] = backend.objects[ROOT]
    with pytest.raises(Corrupt, match="under this name") as caught:
        read_root(store, "backups/host/0/1")
    assert caught.value.name == "backups/host/0/1"


def test_a_root_of_another_store_is_damage_and_no_wrong_key() -> None:
    backend, another = MemoryBackend(), MemoryBackend()
    write(make_open(another), ROOT, {"level": 0})
    store = make_open(backend)
    backend.objects[ROOT] = another.objects[ROOT]
    with pytest.raises(Corrupt) as caught:
        read_root(store, ROOT)
    assert caught.value.name == ROOT


def test_a_host_that_only_writes_reads_no_root() -> None:
    backend = MemoryBackend()
    store = make_open(backend)
    writer = OpenStore(backend, store.config, store.ring.without_private())
    write(writer, ROOT, {"level": 0})
    with pytest.raises(NoKey):
        read_root(writer, ROOT)
    opened: Store = reopen(backend)
    assert opened.read_root(ROOT) == {"level": 0}
