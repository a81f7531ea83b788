"""The index: what was added is found, whatever is written, merged, damaged or taken away meanwhile."""

import random
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.store import Backend, ChunkId, PackName, Place, StoreFull
from siltstone.store import index as index_module
from siltstone.store.index import INDEX, MERGE_WHEN, Index
from siltstone.store.segment import BLOCK_ENTRIES, Segment

from .backends import FaultyBackend, MemoryBackend, fresh
from .stores import names

KEY = b"x" * 32
Model = dict[ChunkId, Place]


def pack(number: int) -> PackName:
    return PackName(f"{number:064x}")


def frame_ids(number: int, count: int = 20) -> list[ChunkId]:
    """The ids in frame 0 of pack `number`."""
    rng = random.Random(number)
    return [ChunkId(rng.randbytes(32)) for _ in range(count)]


def add(index: Index, number: int, count: int = 20) -> Model:
    """Add pack `number`, of one frame; where its chunks are then."""
    ids = frame_ids(number, count)
    index.add_frame(pack(number), 0, ids)
    return {chunk: Place(pack(number), 0, slot) for slot, chunk in enumerate(ids)}


def fill(backend: Backend, numbers: range, count: int = 20) -> Model:
    """A segment for each of these packs, by one session; where everything is."""
    index, model = opened(backend), {}
    for number in numbers:
        model |= add(index, number, count)
        index.flush("session")
    return model


def opened(backend: Backend, key: bytes = KEY) -> Index:
    index = Index(backend, key)
    index.load()
    return index


def found(index: Index, model: Model) -> Model:
    """What of the model is found, and where."""
    return {chunk: place for chunk in model if (place := index.find(chunk)) is not None}


def damage(backend: MemoryBackend, name: str, at: int) -> None:
    content = bytearray(backend.objects[name])
    content[at] ^= 1
    backend.objects[name] = bytes(content)


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
    monkeypatch.setattr(index_module, "CACHE_BLOCKS", 3)
    backend = MemoryBackend()
    model = fill(backend, range(1), count=10 * BLOCK_ENTRIES)
    index = opened(backend)
    assert found(index, model) == model
    assert len(index._blocks) == 3


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
        if at <= MERGE_WHEN:
            with pytest.raises(StoreFull):
                index.flush("session")
        else:
            index.flush("session")
        after = opened(backend)
        assert found(after, model) == model
        assert found(after, added) == ({} if at == 0 and not lands else added)
        assert after.chunk_count() <= len(model) + len(added)  # what is replaced is not opened
        model |= add(after, 200)
        after.flush("session")
        assert found(opened(backend), model) == model

    def test_a_segment_that_proves_damaged_is_left_alone(self) -> None:
        backend = MemoryBackend()
        model = fill(backend, range(MERGE_WHEN + 1))
        (name, *_) = names(backend, INDEX)
        model |= fill(backend, range(50, 50 + MERGE_WHEN))
        index = opened(backend)
        name = index._segments[0].name
        damage(backend, name, 100)
        index = opened(backend)
        model |= add(index, 200)
        index.flush("session")
        assert list(index.damaged) == [name]
        assert name in names(backend, INDEX)
        lost = model.keys() - found(opened(backend), model).keys()
        assert lost == {chunk for number in index_of_lost(index, model, lost) for chunk in frame_ids(number)}


def index_of_lost(index: Index, model: Model, lost: set[ChunkId]) -> set[int]:
    return {int(model[chunk].pack, 16) for chunk in lost}


class Vanishing(MemoryBackend):
    """Segments are merged by another session while this one opens what it has listed."""

    def __init__(self) -> None:
        super().__init__()
        self.at = -1

    def view(self, name: str) -> memoryview:
        self.at -= 1
        if self.at == 0:
            other = opened(self)
            add(other, 1000)
            other.flush("other")
        return super().view(name)


@pytest.mark.parametrize("at", range(1, MERGE_WHEN + 1))
def test_segments_may_be_merged_while_they_are_opened(at: int) -> None:
    backend = Vanishing()
    model = fill(backend, range(MERGE_WHEN))
    backend.at = at
    assert found(opened(backend), model) == model
    assert len(names(backend, INDEX)) == 1


@pytest.mark.parametrize("kind", ["memory", "directory"])
def test_segments_may_be_merged_away_under_an_open_index(kind: str) -> None:
    with fresh(kind) as connect:
        model = fill(connect(), range(MERGE_WHEN), count=3 * BLOCK_ENTRIES)
        index = opened(connect())
        other = opened(connect())
        add(other, 100)
        other.flush("other")
        assert len(names(connect(), INDEX)) == 1
        assert found(index, model) == model
        model |= add(index, 200)
        index.flush("session")  # merges what is gone already
        assert found(opened(connect()), model) == model


class TestDamage:
    """A damaged segment hides its own entries and no others."""

    def test_around_the_blocks(self) -> None:
        backend = MemoryBackend()
        kept, lost = fill(backend, range(1)), fill(backend, range(1, 2))
        name = next(n for n in names(backend, INDEX) if found_in(backend, n, lost))
        damage(backend, name, 4)
        index = opened(backend)
        assert list(index.damaged) == [name]
        assert found(index, kept | lost) == kept
        assert index.packs() == {pack(0)}

    def test_of_one_block(self) -> None:
        backend = MemoryBackend()
        model = fill(backend, range(1), count=3 * BLOCK_ENTRIES)
        (name,) = names(backend, INDEX)
        damage(backend, name, 100)
        index = opened(backend)
        assert len(found(index, model)) == 2 * BLOCK_ENTRIES
        assert list(index.damaged) == [name]
        assert index.packs() == set()  # so that footers are looked into
        index.adopt_frame(pack(0), 0, list(model))
        assert index.recent == BLOCK_ENTRIES
        assert found(index, model) == model
        index.flush("session")
        assert found(opened(backend), model) == model

    def test_of_one_that_another_stands_for(self) -> None:
        backend = MemoryBackend()
        model = fill(backend, range(MERGE_WHEN))
        merged = names(backend, INDEX)
        before = {name: backend.objects[name] for name in merged}
        index = opened(backend)
        model |= add(index, 100)
        index.flush("session")
        backend.objects |= before  # as if the session had been killed before it removed them
        damage(backend, merged[0], 4)
        index = opened(backend)
        assert not index.damaged
        assert found(index, model) == model


def found_in(backend: MemoryBackend, name: str, model: Model) -> bool:
    return any(row[:24] == chunk[:24] for row in Segment(name, backend.view(name), KEY).rows() for chunk in model)


def test_threads_may_add_find_and_flush_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = MemoryBackend()
    index = opened(backend)
    missed: list[ChunkId] = []
    done = threading.Event()

    def writing(numbers: range) -> Iterator[Model]:
        for number in numbers:
            yield add(index, number, 50)
            if number % 10 == 0:
                index.flush("session")

    def write(numbers: range) -> None:
        for model in writing(numbers):
            missed.extend(model.keys() - found(index, model).keys())

    def look() -> None:
        while not done.is_set():
            index.packs()
            index.chunk_count()

    looking = threading.Thread(target=look)
    writers = [threading.Thread(target=write, args=(range(n * 1000, n * 1000 + 80),)) for n in range(4)]
    for thread in (looking, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    looking.join()
    index.flush("session")
    assert not missed
    everything = {chunk for n in range(4) for k in range(80) for chunk in frame_ids(n * 1000 + k, 50)}
    assert all(chunk in opened(backend) for chunk in everything)


@settings(max_examples=40)
@given(st.lists(st.one_of(st.integers(0, 60), st.sampled_from(["flush", "reopen"])), max_size=80), st.sampled_from([2, 8]))
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
