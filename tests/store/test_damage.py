"""Damage of every kind of object: a flipped bit, a cut, a deletion. Never wrong bytes, and never silence.

Rule: whoever reads gets the bytes that were stored, or an error that names the damaged object. What can be made anew
(index segments, leases) may be damaged without any error.
"""

from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.store import BackendError, Corrupt, NotAStore, ObjectMissing, SiltError, Store

from .backends import MemoryBackend
from .stores import back_up, grains, make, names, put, reopen, small_packs

KINDS = ["config", "keys/", "packs/", "index/", "backups/", "sessions/"]
ROOTS = {f"backups/host/0/{level}": [*grains(level, 40), b"", b"text " * 500] for level in range(2)}
Damage = Callable[[bytes, st.DataObject], bytes | None]


@cache
def whole(encrypted: bool) -> dict[str, bytes]:
    """The objects of a store: several of each kind, with the lease of a session that is at work."""
    backend = MemoryBackend()
    with small_packs():
        store = make(backend, encrypted=encrypted)
        for name, contents in ROOTS.items():
            back_up(store, contents, name, compression="zstd")
        with store.writer() as writer:
            put(writer, [b"of the session at work"])
            writer.flush()
            return dict(backend.objects)


def flip(content: bytes, data: st.DataObject) -> bytes:
    changed = bytearray(content)
    bit = data.draw(st.integers(0, len(content) * 8 - 1), label="bit")
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def cut(content: bytes, data: st.DataObject) -> bytes:
    return content[: data.draw(st.integers(0, len(content) - 1), label="length")]


def overwrite(content: bytes, data: st.DataObject) -> bytes:
    """Zeros over a part, as a disk that lost a page has them."""
    start = data.draw(st.integers(0, len(content) - 1), label="start")
    length = data.draw(st.integers(1, 4096), label="length")
    return content[:start] + bytes(min(length, len(content) - start)) + content[start + length :]


def delete(content: bytes, data: st.DataObject) -> None:
    return None


def damaged(encrypted: bool, kind: str, how: Damage, data: st.DataObject) -> tuple[MemoryBackend, str]:
    """A store of which one object of this kind is damaged; and its name."""
    backend = MemoryBackend()
    backend.objects = dict(whole(encrypted))
    name = data.draw(st.sampled_from(names(backend, kind) if kind.endswith("/") else [kind]), label="object")
    content = how(backend.objects[name], data)
    if content is None:
        backend.delete(name)
    else:
        backend.objects[name] = content
    return backend, name


def read_everything(store: Store) -> list[SiltError]:
    """Read each root and each chunk; whatever cannot be read is returned, whatever is read is right."""
    errors: list[SiltError] = []
    for name, contents in ROOTS.items():
        try:
            ids = store.read_root(name)["chunks"]
        except (Corrupt, ObjectMissing) as error:
            errors.append(error)
            continue
        assert len(ids) == len(contents)
        for chunk, content in zip(ids, contents, strict=True):
            try:
                assert store.read_chunk(chunk) == content
            except (Corrupt, ObjectMissing) as error:
                errors.append(error)
    return errors


@pytest.mark.parametrize("encrypted", [True, False])
@pytest.mark.parametrize("kind", ["packs/", "backups/"])
@pytest.mark.parametrize("how", [flip, cut, overwrite, delete])
@settings(max_examples=60)
@given(data=st.data())
def test_of_what_holds_data(encrypted: bool, kind: str, how: Damage, data: st.DataObject) -> None:
    backend, name = damaged(encrypted, kind, how, data)
    errors = read_everything(reopen(backend, encrypted=encrypted))
    for error in errors:
        assert isinstance(error, ObjectMissing if how is delete else Corrupt)
        assert error.name == name
    if how is cut or how is delete:
        assert errors or name not in needed(encrypted)


@cache
def needed(encrypted: bool) -> set[str]:
    """The objects that reading everything needs."""
    found = set()
    for name in whole(encrypted):
        backend = MemoryBackend()
        backend.objects = {key: content for key, content in whole(encrypted).items() if key != name}
        if name.startswith(("packs/", "backups/")) and read_everything(reopen(backend, encrypted=encrypted)):
            found.add(name)
    return found


@pytest.mark.parametrize("encrypted", [True, False])
def test_every_pack_but_one_is_needed(encrypted: bool) -> None:
    """That of the session at work; so that the tests above mean something."""
    objects = {name for name in whole(encrypted) if name.startswith(("packs/", "backups/"))}
    assert len(objects - needed(encrypted)) == 1
    assert len(objects) > 7


@pytest.mark.parametrize("encrypted", [True, False])
@pytest.mark.parametrize("kind", ["index/", "sessions/"])
@pytest.mark.parametrize("how", [flip, cut, overwrite, delete])
@settings(max_examples=30)
@given(data=st.data())
def test_of_what_can_be_made_anew(encrypted: bool, kind: str, how: Damage, data: st.DataObject) -> None:
    """Everything is read, and the next session needs nothing again."""
    backend, name = damaged(encrypted, kind, how, data)
    store = reopen(backend, encrypted=encrypted)
    assert read_everything(store) == []
    assert store.index.damaged.keys() <= {name}
    with store.writer() as writer:
        for contents in ROOTS.values():
            put(writer, contents)
        assert writer.new_chunks == 0
        writer.commit("backups/host/1/0", {"chunks": []})
    assert read_everything(reopen(backend, encrypted=encrypted)) == []


@pytest.mark.parametrize("encrypted", [True, False])
@pytest.mark.parametrize("kind", ["config", "keys/"])
@pytest.mark.parametrize("how", [flip, cut, overwrite, delete])
@settings(max_examples=30)
@given(data=st.data())
def test_of_what_opens_the_store(encrypted: bool, kind: str, how: Damage, data: st.DataObject) -> None:
    if kind == "keys/" and not encrypted:
        return
    backend, name = damaged(encrypted, kind, how, data)
    if backend.objects.get(name) == whole(encrypted)[name]:  # zeros over zeros
        return
    with pytest.raises((Corrupt, NotAStore)) as caught:
        reopen(backend, encrypted=encrypted)
    if how is delete and kind == "config":
        assert isinstance(caught.value, NotAStore)
    else:
        assert isinstance(caught.value, Corrupt)
        assert caught.value.name == ("keys/" if how is delete else name)
    assert not isinstance(caught.value, BackendError)


@pytest.mark.parametrize("kind", KINDS)
def test_there_is_something_of_every_kind(kind: str) -> None:
    for encrypted in (True, False):
        there = [name for name in whole(encrypted) if name.startswith(kind)]
        assert bool(there) is (encrypted or kind != "keys/")
