"""Sync: twins and stores with other keys; interrupted anywhere; damage on either side; what is there stays.

Rule: what was copied is told by reading it: every level of the target has the same entries and contents as in the
source, through the target alone.
"""

import os
import random
from pathlib import Path

import pytest

from siltstone.engine import (
    Event,
    LevelNotFound,
    Progress,
    SyncResult,
    Warned,
    entries,
    extents_of,
    list_levels,
    sync_stores,
)
from siltstone.engine.levels import LevelRef
from siltstone.engine.sync_select import select_levels
from siltstone.store import Backend, ChunkId, Corrupt, KeyFile, Store, StoreError, make_twin
from tests.backed_up import KEY, back_up, copied, delete, flip, flip_middle, ignore, new_store, objects, reopened
from tests.store.backends import FaultyBackend, Killed, MemoryBackend

OTHER = KeyFile(bytes(range(1, 33)))
Contents = dict[str, list[tuple[bytes, int, int, bytes]]]


def contents(store: Store) -> Contents:
    """Path, mode, time and content of every entry of every level."""
    found: Contents = {}
    for level in list_levels(store):
        assert not level.damage
        for entry in entries(store, level):
            data = b"".join(
                bytes(e.length) if e.id is None else store.read_chunk(ChunkId(e.id))[e.offset : e.offset + e.length]
                for e in extents_of(store, entry)
            )
            found.setdefault(level.name, []).append((entry.path, entry.mode, entry.mtime_ns, data))
    return found


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> MemoryBackend:
    """Two groups of one deployment, and another deployment; small files, large ones, a sparse one."""
    tree = tmp_path_factory.mktemp("source") / "tree"
    tree.mkdir()
    rng = random.Random(11)
    for number in range(100):
        (tree / f"{number:03}").write_bytes(rng.randbytes(rng.randrange(300)))
    (tree / "large").write_bytes(rng.randbytes(400_000))
    with (tree / "sparse").open("wb") as file:
        file.seek(1 << 20)
        file.write(b"end")
    backend = MemoryBackend()
    back_up(new_store(backend), tree)
    for kind in ("incr", "full", "incr"):
        (tree / "large").write_bytes(rng.randbytes(300_000))
        (tree / "001").write_bytes(rng.randbytes(100))
        back_up(reopened(backend), tree, kind=kind)
    back_up(reopened(backend), tree / "large", name="other")
    return backend


def twin_of(backend: Backend) -> MemoryBackend:
    twin = MemoryBackend()
    make_twin(backend, twin)
    return twin


def other_store() -> MemoryBackend:
    backend = MemoryBackend()
    Store.init(backend, [(OTHER, "other")])
    return backend


def target_of(kind: str, backend: Backend) -> tuple[MemoryBackend, KeyFile]:
    return (twin_of(backend), KEY) if kind == "twin" else (other_store(), OTHER)


def synced(
    source: Backend, target: Backend, key: KeyFile, *words: str, events: list[Event] | None = None
) -> SyncResult:
    report = ignore if events is None else events.append
    return sync_stores(reopened(source), Store.open(target, key), words, report=report)


KINDS = pytest.mark.parametrize("kind", ["twin", "other"])


@KINDS
def test_all_of_it_and_again(source: MemoryBackend, kind: str) -> None:
    target, key = target_of(kind, source)
    result = synced(source, target, key)
    assert len(result.levels) == 5
    assert result.twins == (kind == "twin")
    assert contents(Store.open(target, key)) == contents(reopened(source))
    before = dict(target.objects)
    again = synced(source, target, key)
    assert (again.levels, again.there, again.packs, again.differing) == ([], 5, 0, [])
    assert target.objects == before


@KINDS
def test_what_is_named(source: MemoryBackend, kind: str) -> None:
    target, key = target_of(kind, source)
    assert synced(source, target, key, "t:0/1").levels == ["backups/t/0/1"]
    assert synced(source, target, key, "t:1").levels == ["backups/t/1/0", "backups/t/1/1"]
    everything = contents(reopened(source))
    assert contents(Store.open(target, key)) == {name: everything[name] for name in sorted(objects(target, "backups/"))}
    assert synced(source, target, key).there == 3


def test_twins_of_other_keys_share_contents(source: MemoryBackend) -> None:
    """Chunk for chunk, and manifest for manifest: the second level costs what changed."""
    target = other_store()
    first = synced(source, target, OTHER, "t:0/0")
    second = synced(source, target, OTHER, "t:0/1")
    assert second.bytes < 0.8 * first.bytes
    sizes = [sum(store.size(name) for name in objects(store, "packs/")) for store in (source, target)]
    synced(source, target, OTHER)
    assert sum(target.size(name) for name in objects(target, "packs/")) == pytest.approx(sizes[0], rel=0.05)


def test_a_dry_run_writes_nothing(source: MemoryBackend) -> None:
    for kind in ("twin", "other"):
        target, key = target_of(kind, source)
        before = dict(target.objects)
        result = sync_stores(reopened(source), Store.open(target, key), dry_run=True, report=ignore)
        assert len(result.levels) == 5
        assert target.objects == before


@KINDS
@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_cut_off_anywhere(source: MemoryBackend, kind: str, every: int) -> None:
    """A level that is there is whole, and the next sync goes on."""
    target, key = target_of(kind, source)
    counting = FaultyBackend(copied(target))
    synced(source, counting, key)
    everything = contents(reopened(source))
    places = [(at, lands) for lands in (False, True) for at in range(len(counting.changes))]
    for at, lands in places[::every]:
        part = copied(target)
        with pytest.raises(Killed):
            synced(source, FaultyBackend(part, at, lands=lands), key)
        found = contents(Store.open(part, key))
        assert found == {name: everything[name] for name in found}
        synced(source, part, key)
        assert contents(Store.open(part, key)) == everything


@KINDS
def test_damage_in_the_source_is_not_copied(source: MemoryBackend, kind: str) -> None:
    """Every pack of the source, damaged or gone: what cannot be read whole is told, and the rest comes."""
    everything = contents(reopened(source))
    for name in objects(source, "packs/"):
        for how in (flip_middle, delete):
            damaged = copied(source)
            how(damaged, name)
            target, key = target_of(kind, source)
            events: list[Event] = []
            result = synced(damaged, target, key, events=events)
            assert result.failed
            assert {event.path for event in events if isinstance(event, Warned)} == set(result.failed)
            found = contents(Store.open(target, key))
            assert found == {name: everything[name] for name in result.levels}
            assert set(result.levels) | set(result.failed) == set(everything)
            assert len(synced(source, target, key).levels) == len(result.failed)


@KINDS
def test_another_level_of_the_same_name_stays(source: MemoryBackend, kind: str, tmp_path: Path) -> None:
    target, key = target_of(kind, source)
    (tmp_path / "file").write_text("of the other")
    back_up(Store.open(target, key), tmp_path / "file", name="t")
    before = target.objects["backups/t/0/0"]
    result = synced(source, target, key)
    assert result.differing == ["backups/t/0/0"]
    assert len(result.levels) == 4
    assert target.objects["backups/t/0/0"] == before


def test_both_ways(source: MemoryBackend, tmp_path: Path) -> None:
    """Twins that each got levels of their own."""
    one, two = copied(source), twin_of(source)
    synced(one, two, KEY)
    for number, backend in enumerate((one, two)):
        (tmp_path / f"of {number}").write_bytes(os.urandom(1000))
        back_up(reopened(backend), tmp_path / f"of {number}", name=f"host{number}")
    assert synced(one, two, KEY).levels == ["backups/host0/0/0"]
    assert synced(two, one, KEY).levels == ["backups/host1/0/0"]
    assert contents(reopened(one)) == contents(reopened(two))
    assert len(contents(reopened(one))) == 7


def test_a_damaged_root_of_the_source_is_told(source: MemoryBackend) -> None:
    damaged = copied(source)
    flip(damaged, "backups/t/0/1", 50)
    twin = twin_of(source)
    assert synced(damaged, twin, KEY).failed == ["backups/t/0/1"]
    assert "backups/t/0/1" not in objects(twin, "backups/")


def test_a_twin_is_made_where_nothing_is(source: MemoryBackend) -> None:
    part = MemoryBackend()
    for at in range(2):
        part.objects.clear()
        with pytest.raises(Killed):
            make_twin(source, FaultyBackend(part, at))
        make_twin(source, part)
        assert objects(part, "") == ["config", *objects(source, "keys/")]
    with pytest.raises(StoreError, match="there is a store already"):
        make_twin(source, part)
    broken = copied(source)
    flip(broken, objects(source, "keys/")[0], 30)
    with pytest.raises(Corrupt):
        make_twin(broken, MemoryBackend())


def test_words() -> None:
    refs = [LevelRef("a", 0, 0), LevelRef("a", 0, 1), LevelRef("a", 1, 0), LevelRef("b", 3, 0)]
    assert select_levels(refs, []) == refs
    assert select_levels(refs, ["a:0", "a:0/1"]) == refs[:2]
    assert select_levels(refs, ["b:3"]) == refs[3:]
    assert select_levels(refs, ["b:latest", "a:latest"]) == refs[2:]
    for words in (["a:7"], ["c:0"], ["a:0/5"], ["latest"]):
        with pytest.raises(LevelNotFound):
            select_levels(refs, words)
    with pytest.raises(LevelNotFound, match="ambiguous"):
        select_levels(refs, ["3"])


def test_stores_without_encryption(source: MemoryBackend) -> None:
    """As a source, as a target, and as a twin."""
    plain = MemoryBackend()
    first = sync_stores(reopened(source), Store.init(plain, []), report=ignore)
    assert len(first.levels) == 5
    twin, sealed = MemoryBackend(), other_store()
    make_twin(plain, twin)
    assert "config-copy" in objects(twin, "")
    for backend, key in ((twin, None), (sealed, OTHER)):
        assert len(sync_stores(Store.open(plain, None), Store.open(backend, key), report=ignore).levels) == 5
        assert contents(Store.open(backend, key)) == contents(reopened(source))


def test_a_later_sync_to_other_keys_reads_what_changed(source: MemoryBackend, tmp_path: Path) -> None:
    """Not what lies beside it in the same part of a manifest."""
    backend = copied(source)
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(50):
        (tree / f"{number:02}").write_bytes(os.urandom(40_000))
    back_up(reopened(backend), tree, name="pairs")
    target = other_store()
    assert synced(backend, target, OTHER, "pairs:latest").levels == ["backups/pairs/0/0"]
    (tree / "25").write_bytes(os.urandom(40_000))
    back_up(reopened(backend), tree, name="pairs")
    rekeyer_read: list[int] = []

    def report(event: Event) -> None:
        if isinstance(event, Progress) and event.phase == "levels":
            rekeyer_read.append(event.bytes)

    words = ["pairs:0"]
    result = sync_stores(reopened(backend), Store.open(target, OTHER), words, report=report)
    assert (result.levels, result.there) == (["backups/pairs/0/1"], 1)
    assert 40_000 < rekeyer_read[-1] < 100_000
    found = contents(Store.open(target, OTHER))
    assert found == {name: rows for name, rows in contents(reopened(backend)).items() if "pairs" in name}
