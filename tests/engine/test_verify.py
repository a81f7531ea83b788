"""Verification of the structure: every kind of object, flipped, truncated and deleted, is named with what it concerns.

Rule: damage is done to copies of one real store; packs have a test module of their own. The rest of the store must
verify: whatever is damaged, nothing else is named.
"""

import os

import pytest

from siltstone.engine import Event, Progress, Stretch, Warned, verify_census, verify_store
from siltstone.engine.levels import LevelRef
from siltstone.engine.verify_result import ALL_DATA, NO_DATA
from siltstone.engine.verify_roots import missing_levels
from siltstone.store import list_packs
from tests.backed_up import back_up, copied, delete, flip, ignore, label, new_store, objects, reopened
from tests.damage import WAYS, Sample, sample, verified
from tests.store.backends import MemoryBackend

__all__ = ["sample"]  # a fixture


class TestSound:
    @pytest.mark.parametrize("data", [False, True])
    def test_nothing_is_found(self, sample: Sample, data: bool) -> None:
        result = verified(copied(sample.backend), data=data)
        assert result.damaged == []
        assert (result.levels, result.unreferenced) == (2, 0)
        packs = list(sample.backend.list("packs/"))
        assert (result.packs, result.bytes) == (len(packs), sum(pack.size for pack in packs))
        assert (result.packs_read, result.bytes_read) == ((result.packs, result.bytes) if data else (0, 0))
        assert result.chunks == len(sample.needs.keys() | sample.manifests.keys())

    def test_entries_that_levels_share_are_counted_once(self, sample: Sample) -> None:
        entries = 0
        for stretches in sample.manifests.values():
            (one, *_), *_ = stretches.values()
            entries += one.entries or 0 if one.first is not None else 0
        both = sum(files.entries for level in sample.levels for files in level.sets)
        assert verified(sample.backend, data=False).entries == entries < both

    def test_without_encryption(self, sample: Sample) -> None:
        backend = MemoryBackend()
        store = new_store(backend, encrypted=False)
        back_up(store, sample.tree)
        assert verify_store(store, budget=ALL_DATA, report=ignore).damaged == []
        pack = objects(backend, "packs/")[0]
        flip(backend, pack, 30)
        (damage,) = verify_store(store, budget=ALL_DATA, report=ignore).damaged
        assert damage.object == pack
        assert damage.levels.keys() == {"t:0/0"}

    def test_an_empty_store(self) -> None:
        result = verify_store(new_store(), budget=ALL_DATA, report=ignore)
        assert (result.packs, result.levels, result.damaged) == (0, 0, [])
        assert result.coverage.oldest_ns is None

    def test_many_rounds_find_the_same(self, sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
        whole = verified(sample.backend, data=False)
        monkeypatch.setattr(verify_census, "PART", 100)
        rounds = verified(sample.backend, data=False)
        assert (rounds.chunks, rounds.entries, rounds.damaged) == (whole.chunks, whole.entries, [])

    def test_progress_is_told(self, sample: Sample) -> None:
        events: list[Event] = []
        result = verify_store(reopened(copied(sample.backend)), budget=ALL_DATA, report=events.append)
        last = events[-1]
        assert isinstance(last, Progress)
        assert (last.phase, last.files, last.bytes) == ("packs", result.packs_read, result.bytes_read)
        assert (last.total_files, last.total_bytes) == (result.packs, result.bytes)

    def test_a_level_that_is_newer_than_the_open_store(self, sample: Sample) -> None:
        backend = copied(sample.backend)
        store = reopened(backend)
        (sample.tree / "later").write_bytes(b"later")
        back_up(reopened(backend), sample.tree)
        (sample.tree / "later").unlink()
        result = verify_store(store, budget=ALL_DATA, report=ignore)
        assert (result.levels, result.damaged) == (3, [])


def kept_lease(backend: MemoryBackend) -> None:
    """The lease of a session that was cut off."""
    with reopened(backend).writer():
        lease = objects(backend, "sessions/")[0]
        content = backend.objects[lease]
    backend.objects[lease] = content


@pytest.mark.parametrize("how", WAYS)
class TestSmallObjects:
    def test_config(self, sample: Sample, how: str) -> None:
        backend = copied(sample.backend)
        store = reopened(backend)
        WAYS[how](backend, "config")
        (damage,) = verify_store(store, budget=NO_DATA, report=ignore).damaged
        assert (damage.object, damage.levels) == ("config", {})
        assert "cannot be opened" in damage.error

    def test_the_only_key(self, sample: Sample, how: str) -> None:
        backend = copied(sample.backend)
        store = reopened(backend)
        (key,) = objects(backend, "keys/")
        WAYS[how](backend, key)
        damaged = verify_store(store, budget=NO_DATA, report=ignore).damaged
        assert [damage.object for damage in damaged] == (["keys/"] if how == "deleted" else ["keys/", key])

    def test_lease(self, sample: Sample, how: str) -> None:
        backend = copied(sample.backend)
        kept_lease(backend)
        assert verified(backend, data=False).damaged == []
        (lease,) = objects(backend, "sessions/")
        WAYS[how](backend, lease)
        damaged = verified(backend, data=False).damaged
        assert [(damage.object, damage.levels) for damage in damaged] == ([] if how == "deleted" else [(lease, {})])

    def test_note(self, sample: Sample, how: str) -> None:
        backend = copied(sample.backend)
        verified(backend)
        (note,) = objects(backend, "verified/")
        WAYS[how](backend, note)
        result = verified(backend, data=False)
        assert [(damage.object, damage.levels) for damage in result.damaged] == (
            [] if how == "deleted" else [(note, {})]
        )
        assert result.coverage.share == 0
        verified(backend)
        assert verified(backend, data=False).damaged == [], "the next note replaces it"

    def test_index(self, sample: Sample, how: str) -> None:
        for segment in objects(sample.backend, "index/"):
            backend = copied(sample.backend)
            WAYS[how](backend, segment)
            for data in (False, True):
                (damage,) = verified(backend, data=data).damaged
                assert damage.object == ("index/" if how == "deleted" else segment)
                assert (damage.chunks, damage.levels, damage.unlisted) == (0, {}, {})
                assert "nothing is lost" in damage.error

    def test_root(self, sample: Sample, how: str) -> None:
        for level in sample.levels[:1] if how == "deleted" else sample.levels:
            backend = copied(sample.backend)
            WAYS[how](backend, level.name)
            (damage,) = verified(backend).damaged
            assert damage.object == level.name
            assert damage.levels == {label(level): []}
            assert damage.unlisted == {label(level): [Stretch()]}


def test_every_flip_in_an_index_segment(sample: Sample) -> None:
    backend = copied(sample.backend)
    segment = objects(backend, "index/")[0]
    for at in (0, 10, 60, *range(100, backend.size(segment), 1999), -1):
        flip(backend, segment, at)
        (damage,) = verified(backend, data=False).damaged
        assert (damage.object, damage.levels) == (segment, {}), f"at {at}"
        flip(backend, segment, at)


@pytest.mark.parametrize("frame", [1, 7777])
@pytest.mark.parametrize("what", ["content", "manifest"])
def test_an_index_that_leads_astray(sample: Sample, what: str, frame: int) -> None:
    """An entry that names another frame than the chunk's: a fault of whoever wrote it, which loses nothing."""
    backend = copied(sample.backend)
    store = reopened(backend)
    chunk = next(iter(sample.manifests if what == "manifest" else sample.needs))
    place = store.find(chunk)
    assert place is not None
    for segment in objects(backend, "index/"):
        delete(backend, segment)
    store = reopened(backend)
    for pack in list_packs(store.opened):
        frames = [list(info.ids) for info in store.footer(pack).frames]
        if pack == place.pack:
            frames += [[] for _ in range(place.frame + frame + 1 - len(frames))]
            frames[place.frame + frame].append(chunk)
        store.index.add_pack(pack, frames)
    store.index.flush("astray")
    for data in (False, True):
        (damage,) = verified(backend, data=data).damaged
        assert (damage.object, damage.chunks, damage.copies, damage.levels) == ("index/", 0, 1, {})
        assert "names places" in damage.error


def test_all_of_the_index_is_gone(sample: Sample) -> None:
    """Then packs tell what there is; and what is in a damaged pack besides can only be told by what asks for it."""
    backend = copied(sample.backend)
    for segment in objects(backend, "index/"):
        delete(backend, segment)
    (damage,) = verified(backend).damaged
    assert (damage.object, damage.chunks, damage.levels) == ("index/", 0, {})
    pack = max(objects(backend, "packs/"), key=backend.size)
    delete(backend, pack)
    damaged = {damage.object: damage for damage in verified(backend).damaged}
    assert damaged.keys() >= {"packs/"}
    assert damaged["packs/"].levels.keys() == {"t:0/0", "t:0/1"}
    needed = {chunk for chunk in sample.chunks_of(pack) if chunk in sample.needs}
    if not damaged["packs/"].unlisted:
        paths = {path for chunk in needed for path in sample.needs[chunk].get("t:0/1", ())}
        assert set(damaged["packs/"].levels["t:0/1"]) == paths


def test_packs_that_nothing_names_are_counted(sample: Sample) -> None:
    backend = copied(sample.backend)
    before = set(objects(backend, "packs/")), set(objects(backend, "index/"))
    (sample.tree / "later").write_bytes(os.urandom(1000))
    level = back_up(reopened(backend), sample.tree, name="cut-off")
    (sample.tree / "later").unlink()
    delete(backend, level.name)
    for segment in set(objects(backend, "index/")) - before[1]:
        delete(backend, segment)
    added = set(objects(backend, "packs/")) - before[0]
    result = verified(backend)
    assert result.damaged == []
    assert (result.unreferenced, result.unreferenced_bytes) == (len(added), sum(map(backend.size, added)))
    assert added


def test_levels_that_must_have_been_there() -> None:
    def refs(*pairs: tuple[int, int]) -> list[LevelRef]:
        return [LevelRef("d", *pair) for pair in pairs]

    assert missing_levels([]) == []
    assert missing_levels(refs((3, 0), (3, 1), (4, 0))) == []
    assert missing_levels(refs((3, 2), (5, 0))) == refs((3, 0), (3, 1), (4, 0))
    assert missing_levels([LevelRef("a", 0, 0), LevelRef("b", 1, 1)]) == [LevelRef("b", 1, 0)]


def test_damage_is_told_at_once(sample: Sample) -> None:
    backend = copied(sample.backend)
    pack = objects(backend, "packs/")[0]
    flip(backend, pack, 100)
    events: list[Event] = []
    verify_store(reopened(backend), budget=ALL_DATA, report=events.append)
    assert [(event.kind, event.path) for event in events if isinstance(event, Warned)] == [("damaged", pack)]
