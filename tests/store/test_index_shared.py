"""An index that others change meanwhile: threads of its process, sessions that merge its segments, a disk that rots."""

import threading

import pytest

from siltstone.store import ChunkId
from siltstone.store.index import INDEX, MERGE_WHEN
from siltstone.store.segment import BLOCK_ENTRIES, Segment

from .backends import MemoryBackend, fresh
from .indexes import KEY, Model, add, damage, fill, found, frame_ids, opened, pack
from .stores import names


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


def test_a_segment_names_all_of_a_pack_or_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """However flushes and additions meet: a pack that is named is not looked into again."""
    monkeypatch.setattr("siltstone.store.index.MERGE_WHEN", 10**6)
    backend = MemoryBackend()
    index, done = opened(backend), threading.Event()

    def flush() -> None:
        while not done.is_set():
            index.flush("session")

    flushing = threading.Thread(target=flush)
    flushing.start()
    for number in range(60):
        ids = frame_ids(number, 400)
        index.add_pack(pack(number), [ids[at : at + 2] for at in range(0, 400, 2)])
    done.set()
    flushing.join()
    index.flush("session")
    entries = {name: Segment(name, backend.view(name), KEY) for name in names(backend, INDEX)}
    assert sum(segment.pack_count for segment in entries.values()) == 60
    assert all(segment.entries == 400 * segment.pack_count for segment in entries.values())


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
        index.add_pack(pack(0), [list(model)])
        assert index.recent == 3 * BLOCK_ENTRIES  # of the damaged segment nothing is relied on
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

    def write(numbers: range) -> None:
        for number in numbers:
            model = add(index, number, 50)
            if number % 10 == 0:
                index.flush("session")
            missed.extend(model.keys() - found(index, model).keys())

    def look() -> None:
        while not done.is_set():
            index.packs()
            index.chunk_count()

    looking = threading.Thread(target=look)
    writers = [threading.Thread(target=write, args=(range(n * 1000, n * 1000 + 30),)) for n in range(4)]
    for thread in (looking, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    looking.join()
    index.flush("session")
    assert not missed
    after = opened(backend)
    assert all(chunk in after for n in range(4) for k in range(30) for chunk in frame_ids(n * 1000 + k, 50))
