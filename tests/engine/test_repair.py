"""Repair: whatever of config, keys and index is lost, a key and the packs bring it back; looking changes nothing."""

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from siltstone.engine import apply_remedies, entries, extents_of, list_levels, plan_repair
from siltstone.store import (
    Backend,
    KeyCopy,
    KeyFile,
    NoKey,
    NotAStore,
    ObjectKind,
    Opener,
    Remedy,
    Store,
    WrongKey,
    disclose,
    recover,
)
from siltstone.store.making import init_store
from tests.backed_up import KEY, back_up, copied, delete, flip_middle, ignore, new_store, objects, truncate
from tests.store.backends import FaultyBackend, Killed, MemoryBackend

PARTS = ("config", "index/", "keys/")
WAYS: dict[str, Callable[[MemoryBackend, str], None]] = {
    "deleted": delete,
    "flipped": flip_middle,
    "truncated": truncate,
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("tree")
    for number in range(50):
        (top / f"{number:02}").write_bytes(b"%d " % number * 500)
    return top


@pytest.fixture(scope="module")
def whole(tree: Path) -> dict[bool, MemoryBackend]:
    """Two levels, with encryption and without; tests damage copies."""
    made = {}
    for encrypted in (True, False):
        backend = made[encrypted] = MemoryBackend()
        store = new_store(backend, encrypted=encrypted)
        back_up(store, tree)
        (tree / "more").write_bytes(b"more")
        back_up(store, tree)
        (tree / "more").unlink()
    return made


def contents(backend: Backend, opener: Opener | None) -> dict[str, dict[bytes, bytes]]:
    """Every file of every level, byte for byte."""
    store = Store.open(backend, opener)
    found: dict[str, dict[bytes, bytes]] = {}
    for level in list_levels(store):
        files = found[level.name] = {}
        for entry in entries(store, level):
            pieces = [
                store.read_chunk(extent.id)[extent.offset : extent.offset + extent.length]
                for extent in extents_of(store, entry)
                if extent.id is not None
            ]
            files[entry.path] = b"".join(pieces)
    return found


def copy_of_key(backend: MemoryBackend) -> KeyCopy:
    """A key of the store, as somebody kept it apart."""
    (name,) = objects(backend, "keys/")
    return KeyCopy(disclose(ObjectKind.KEY, name, backend.objects[name]), KEY)


def planned(backend: Backend, opener: Opener | None) -> list[Remedy]:
    return list(plan_repair(recover(backend, opener)))


def repair(backend: Backend, opener: Opener | None) -> list[Remedy]:
    plan = planned(backend, opener)
    assert apply_remedies(plan, ignore) == []
    return plan


def combinations(parts: Iterable[str]) -> list[tuple[str, ...]]:
    listed = list(parts)
    return [some for size in range(1, len(listed) + 1) for some in itertools.combinations(listed, size)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("lost", combinations(PARTS), ids="+".join)
def test_what_is_lost_comes_back(whole: dict[bool, MemoryBackend], lost: tuple[str, ...], way: str) -> None:
    backend = copied(whole[True])
    opener: Opener = copy_of_key(backend) if "keys/" in lost else KEY
    for part in lost:
        for name in [part] if part == "config" else objects(backend, part):
            WAYS[way](backend, name)
    damaged = dict(backend.objects)
    assert {remedy.object.split("/")[0] for remedy in planned(backend, opener)} == {part.strip("/") for part in lost}
    assert backend.objects == damaged  # it only looked
    repair(backend, opener)
    assert contents(backend, KEY) == contents(whole[True], KEY)
    assert planned(backend, KEY) == []
    assert backend.objects["config"] == whole[True].objects["config"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("lost", [("config",), ("config-copy",), ("config", "index/")], ids="+".join)
def test_without_encryption_the_config_has_a_copy(
    whole: dict[bool, MemoryBackend], lost: tuple[str, ...], way: str
) -> None:
    backend = copied(whole[False])
    for part in lost:
        for name in objects(backend, part) if part.endswith("/") else [part]:
            WAYS[way](backend, name)
    repair(backend, None)
    assert contents(backend, None) == contents(whole[False], None)
    assert planned(backend, None) == []


def test_nothing_is_wrong_with_a_store_that_is_whole(whole: dict[bool, MemoryBackend]) -> None:
    assert planned(whole[True], KEY) == []
    assert planned(whole[False], None) == []


@pytest.mark.parametrize("lands", [False, True])
def test_killed_at_any_change_it_can_be_done_again(whole: dict[bool, MemoryBackend], *, lands: bool) -> None:
    def ruined() -> MemoryBackend:
        backend = copied(whole[True])
        for name in ("config", *objects(backend, "keys/"), *objects(backend, "index/")):
            delete(backend, name)
        return backend

    opener = copy_of_key(whole[True])
    counting = FaultyBackend(ruined())
    repair(counting, opener)
    for at in range(len(counting.changes)):
        backend = ruined()
        with pytest.raises(Killed):
            repair(FaultyBackend(backend, at, lands=lands), opener)
        repair(backend, opener)
        assert contents(backend, KEY) == contents(whole[True], KEY)
    assert len(counting.changes) >= 4


class TestRefused:
    """What cannot be the store's is not written into it."""

    def test_a_wrong_key(self, whole: dict[bool, MemoryBackend]) -> None:
        backend = copied(whole[True])
        delete(backend, "config")
        with pytest.raises(WrongKey):
            recover(backend, KeyFile(bytes(32)))
        with pytest.raises(NoKey):
            recover(backend, None)

    def test_an_empty_place(self) -> None:
        with pytest.raises(NotAStore):
            recover(MemoryBackend(), KEY)

    def test_a_copy_of_another_stores_key(self, whole: dict[bool, MemoryBackend]) -> None:
        another = MemoryBackend()
        init_store(another, [(KEY, "another")])
        with pytest.raises(WrongKey):
            recover(whole[True], copy_of_key(another))

    def test_a_key_that_only_reads_or_writes(self, whole: dict[bool, MemoryBackend]) -> None:
        opened = recover(whole[True], KEY)
        for ring in (opened.opened.ring.without_private(), opened.opened.ring.for_reading()):
            store = Store.open(whole[True], KEY).opened
            with pytest.raises(NoKey, match="repairing a store is refused"):
                list(plan_repair(type(opened)(type(store)(store.backend, store.config, ring), ())))


def test_of_keys_of_two_stores_the_one_that_fits_is_taken(whole: dict[bool, MemoryBackend]) -> None:
    """An init that was cut off may have left a key that the same secret opens."""
    another = MemoryBackend()
    init_store(another, [(KEY, "left over")])
    (name,) = objects(another, "keys/")
    backend = copied(whole[True])
    backend.objects["keys/" + "0" * 32] = backend.objects["keys/" + "f" * 32] = another.objects[name]
    delete(backend, "config")
    repair(backend, KEY)
    assert contents(backend, KEY) == contents(whole[True], KEY)


def test_a_damaged_key_beside_a_sound_one_is_told_and_left(whole: dict[bool, MemoryBackend]) -> None:
    backend = copied(whole[True])
    backend.objects["keys/" + "0" * 32] = b"silt nonsense"
    (remedy,) = planned(backend, KEY)
    assert (remedy.object, remedy.apply) == ("keys/" + "0" * 32, None)
    assert "silt key remove" in remedy.advice


def test_what_cannot_be_mended_is_told(whole: dict[bool, MemoryBackend]) -> None:
    backend = copied(whole[True])
    flip_middle(backend, "backups/t/0/1")
    pack = objects(backend, "packs/")[0]
    delete(backend, pack)
    found = {remedy.object: remedy for remedy in planned(backend, KEY)}
    assert found.keys() == {"backups/t/0/1", pack}
    assert all(remedy.apply is None and remedy.advice for remedy in found.values())
