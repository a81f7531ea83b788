"""The index: what was added is found, at once by its own session and after a flush by all."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.store import ChunkId, StoreFull, block_cache
from siltstone.store import index as index_module
from siltstone.store.index import INDEX, MERGE_WHEN
from siltstone.store.index_rows import blocks_without, renumbered
from siltstone.store.segment import BLOCK_ENTRIES, BLOCK_SIZE, Segment

from .backends import FaultyBackend, MemoryBackend
from .indexes import KEY, Model, add, damage, fill, found, frame_ids, opened, pack
from .stores import names

HISTORIES = st.lists(st.integers(0, 60) | st.sampled_from(["flush", "reopen"]), max_size=80)


@pytest.mark.parametrize("key", [b"", KEY])
def test_what_was_added_is_found_at_once_and_by_others_after_a_flush(key: bytes) -> None:
    backend = MemoryBackend()
    index = opened(backend, key)
    model = add(index, 1)
    assert found(index, model) == model
    assert found(opened(backend, key), model) == {}
    index.flush("session")
    assert index.recent == 0
    for each in (index, opened(backend, key)):
        assert found(each, model) == model
        assert all(chunk in each for chunk in model)
        assert each.find(ChunkId(bytes(32))) is None
        assert each.packs() == {pack(1)}
        assert each.chunk_count() == len(model)


@pytest.mark.parametrize("alike", [2, 200, 400])
def test_ids_that_begin_alike_are_found_across_blocks(alike: int) -> None:
    backend = MemoryBackend()
    index = opened(backend)
    ids = [ChunkId(bytes([0x80] * 8) + chunk[8:]) for chunk in frame_ids(1, alike)]
    index.add_pack(pack(1), [[*ids, *frame_ids(2, 100)]])
    index.flush("session")
    after = opened(backend)
    assert [after.find(chunk) for chunk in ids] == [(pack(1), 0, slot) for slot in range(alike)]
    assert after.find(ChunkId(bytes([0x80] * 8) + bytes(24))) is None


@pytest.mark.parametrize("at_once", [False, True], ids=["merged", "in one segment"])
@pytest.mark.parametrize("gone", [7, 8])
def test_what_two_packs_hold_stays_when_one_of_them_goes(gone: int, at_once: bool) -> None:
    """Whichever goes, and whether one session knew of both or another one merged what two had written."""
    backend, ids = MemoryBackend(), frame_ids(0)
    one, two = opened(backend), opened(backend)
    for index, number in ((one, 7), (one if at_once else two, 8)):
        index.add_pack(pack(number), [ids])
    for index in (one, two):
        index.flush("session")
    merging = opened(backend)
    merging.merge("session")
    assert len(names(backend, INDEX)) == 1
    opened(backend).drop_packs(frozenset({pack(gone)}), "collector")
    (stays,) = {7, 8} - {gone}
    after = opened(backend)
    assert [after.find(chunk) for chunk in ids] == [(pack(stays), 0, slot) for slot in range(len(ids))]


@pytest.mark.parametrize("gone", [[2], [1, 3], [1, 2, 3]])
def test_a_segment_without_some_packs_is_what_its_entries_would_be(
    gone: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written in blocks, and not entry by entry; over several readings, with blocks that run across them."""
    monkeypatch.setattr("siltstone.store.index_rows.BLOCKS_AT_ONCE", 2)
    index = opened(MemoryBackend())
    for number in range(1, 4):
        add(index, number, 3 * BLOCK_ENTRIES + number)
    index.add_pack(pack(4), [frame_ids(3, 100)])
    index.flush("session")
    (segment,) = index._segments
    without = frozenset(map(pack, gone))
    numbers = {name: number for number, name in enumerate(name for name in segment.packs() if name not in without)}
    blocks = list(blocks_without(segment, numbers, without))
    assert b"".join(blocks) == b"".join(renumbered(segment, numbers, without))
    assert {len(block) for block in blocks[:-1]} <= {BLOCK_SIZE}
    assert 0 < len(blocks[-1]) <= BLOCK_SIZE


def test_a_place_in_a_damaged_pack_hides_no_other() -> None:
    backend, ids = MemoryBackend(), frame_ids(0)
    index = opened(backend)
    for number in (7, 8):
        index.add_pack(pack(number), [ids])
    for _ in range(2):  # of what is in no segment yet, and of what is in one
        for bad, good in ((7, 8), (8, 7)):
            index.suspect = frozenset({pack(bad)})
            assert {index.sound_pack(chunk) for chunk in ids} == {pack(good)}
        index.flush("session")


@pytest.mark.parametrize("flushed", [False, True])
def test_a_pack_of_known_chunks_is_named(flushed: bool) -> None:
    """Else every session would look into it again."""
    backend = MemoryBackend()
    fill(backend, range(1))
    index = opened(backend)
    for number in (7, 8):
        index.add_pack(pack(number), [frame_ids(0)])
        if flushed:
            index.flush("session")
    index.flush("session")
    assert opened(backend).packs() == {pack(0), pack(7), pack(8)}


def test_nothing_to_flush_writes_nothing() -> None:
    backend = MemoryBackend()
    opened(backend).flush("session")
    assert names(backend, "") == []


def test_a_failed_flush_forgets_nothing() -> None:
    backend = MemoryBackend()
    index = opened(FaultyBackend(backend, 0, error=lambda: StoreFull("no room"), once=True))
    model = add(index, 1)
    with pytest.raises(StoreFull):
        index.flush("session")
    assert found(index, model) == model
    index.flush("session")
    assert found(opened(backend), model) == model


def test_the_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_cache, "CACHE_BLOCKS", 3)
    backend = MemoryBackend()
    model = fill(backend, range(1), count=10 * BLOCK_ENTRIES)
    index = opened(backend)
    assert found(index, model) == model
    assert len(index._blocks._blocks) == 3


class TestMerging:
    """Small segments pile up into larger ones."""

    def test_many_small_ones_become_one(self) -> None:
        backend = MemoryBackend()
        model = fill(backend, range(MERGE_WHEN))
        assert len(names(backend, INDEX)) == MERGE_WHEN
        index = opened(backend)
        model |= add(index, MERGE_WHEN)
        index.flush("session")
        assert len(names(backend, INDEX)) == 1
        for each in (index, opened(backend)):
            assert found(each, model) == model
            assert each.packs() == set(map(pack, range(MERGE_WHEN + 1)))

    def test_their_number_grows_slowly(self) -> None:
        backend = MemoryBackend()
        model = fill(backend, range(300), count=8)
        assert len(names(backend, INDEX)) < 3 * MERGE_WHEN
        assert found(opened(backend), model) == model

    def test_none_grows_beyond_the_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(index_module, "MERGE_LIMIT", 500)
        backend = MemoryBackend()
        model = fill(backend, range(60), count=20)
        sizes = [Segment(name, backend.view(name), KEY).entries for name in names(backend, INDEX)]
        assert max(sizes) <= 500
        assert len(sizes) < 5 + MERGE_WHEN
        assert found(opened(backend), model) == model

    def test_two_sessions_may_merge_the_same(self) -> None:
        backend = MemoryBackend()
        model = fill(backend, range(MERGE_WHEN))
        one, two = opened(backend), opened(backend)
        model |= add(one, 100) | add(two, 200)
        one.flush("one")
        two.flush("two")
        assert len(names(backend, INDEX)) == 2
        third = opened(backend)
        assert found(third, model) == model
        for index, own in ((one, 200), (two, 100)):  # what the other one added is unknown, and nothing else
            assert found(index, model).keys() == model.keys() - set(frame_ids(own))

    @pytest.mark.parametrize("at", range(2 + MERGE_WHEN))
    @pytest.mark.parametrize("lands", [False, True])
    def test_cut_off_at_any_write_it_loses_nothing(self, at: int, lands: bool) -> None:
        backend = MemoryBackend()
        model = fill(backend, range(MERGE_WHEN))
        index = opened(FaultyBackend(backend, at, error=lambda: StoreFull("gone"), lands=lands))
        added = add(index, 100)
        if at == 0:
            with pytest.raises(StoreFull):
                index.flush("session")
        else:
            index.flush("session")  # what could not be deleted says nothing more, and stays
        after = opened(backend)
        assert found(after, model) == model
        assert found(after, added) == ({} if at == 0 and not lands else added)
        assert after.chunk_count() <= len(model) + len(added)  # what is replaced is not opened
        model |= add(after, 200)
        after.flush("session")
        assert found(opened(backend), model) == model

    def test_one_that_proves_damaged_is_left_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """And what it says is found from footers then; the flush of a backup must not fail by it."""
        backend = MemoryBackend()
        with monkeypatch.context() as patch:
            patch.setattr(index_module, "MERGE_WHEN", 100)
            model = fill(backend, range(MERGE_WHEN + 2))
        (name, *others) = names(backend, INDEX)
        (own,) = Segment(name, backend.view(name), KEY).packs()
        damage(backend, name, 100)
        index = opened(backend)
        model |= add(index, 100)
        index.flush("session")
        assert list(index.damaged) == [name]
        assert name in names(backend, INDEX)
        assert not set(others) & set(names(backend, INDEX))
        assert found(opened(backend), model) == {chunk: at for chunk, at in model.items() if at.pack != own}


@settings(max_examples=40)
@given(HISTORIES, st.sampled_from([2, 8]))
def test_any_history(history: list[int | str], merge_when: int) -> None:
    """Packs come, some of them twice, in any order between flushes and sessions."""
    backend, model, kept = MemoryBackend(), Model(), Model()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_module, "MERGE_WHEN", merge_when)
        index = opened(backend)
        for step in history:
            if isinstance(step, int):
                model |= add(index, step, step)
            elif step == "flush":
                index.flush("session")
                kept = dict(model)
            else:
                index, model = opened(backend), dict(kept)
            assert found(index, model) == model
        assert found(opened(backend), kept) == kept


@pytest.mark.parametrize("count", [5, 50, 1000])
def test_what_is_surely_unknown(count: int) -> None:
    """Nothing that is known, wherever it is; and of what is new all but a few."""
    backend = MemoryBackend()
    new = set(frame_ids(9, 1000))
    assert opened(backend).unknown(new) == new
    model = fill(backend, range(1, 3), count)
    index = opened(backend)
    model |= add(index, 3, count)
    told = index.unknown([*model, *new])
    assert told <= new
    assert len(told) > 0.9 * len(new)
