"""Reading packs: frames in order, in few requests, from any thread; and what no segment names is found by footers."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier

import pytest

from siltstone.store import REMOTE_THREADS, ChunkId, Corrupt, NoKey, ObjectMissing, PackName, Store, pack_object
from siltstone.store import reader as reader_module
from siltstone.store.backend import BLOCK
from siltstone.store.index import INDEX
from siltstone.store.lease import SESSIONS
from siltstone.store.opening import OpenStore

from .backends import FaultyBackend, MemoryBackend
from .stores import ROOT, back_up, grains, make, names, put, read_back, reopen, small_packs


class Counting(MemoryBackend):
    """Notes what is read of packs."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[tuple[int, int]] = []

    def read(self, name: str, offset: int, room: memoryview) -> memoryview:
        self.reads.append((offset, len(room)))
        return super().read(name, offset, room)


@contextmanager
def one_pack(count: int = 30, size: int = 1000) -> Iterator[tuple[Counting, Store, PackName]]:
    """A store of one pack, in which each frame holds one chunk of grains(1, count, size)."""
    backend = Counting()
    with small_packs(pack=1 << 20, frame=1):
        store = make(backend)
        back_up(store, grains(1, count, size))
        (name,) = names(backend, "packs/")
        yield backend, store, PackName(name[-64:])


def blocks(start: int, size: int) -> tuple[int, int]:
    """The whole blocks around some bytes: where they begin, and their size."""
    first, stop = start // BLOCK * BLOCK, -(-(start + size) // BLOCK) * BLOCK
    return first, stop - first


class TestFrames:
    """read_frames."""

    def test_any_of_them_ascending(self) -> None:
        with one_pack() as (_, store, pack):
            contents = grains(1, 30)
            rng = random.Random(1)
            for wanted in ([], [0], [29, 0], list(range(30)), [3, 3, 4], *([rng.sample(range(30), 9)] * 3)):
                read = [(number, bytes(plain)) for number, plain in store.read_frames(pack, wanted)]
                assert read == [(number, contents[number]) for number in sorted(wanted)]

    def test_neighbours_are_read_together(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reader_module, "GAP", 1028 * 2)
        with one_pack() as (backend, store, pack):
            for wanted, reads in (
                (range(30), [blocks(8, 30 * 1028)]),
                ([0, 1, 4, 8], [blocks(8, 5 * 1028), blocks(8 + 8 * 1028, 1028)]),  # a gap of two is read over
                ([5], [blocks(8 + 5 * 1028, 1028)]),
            ):
                backend.reads.clear()
                assert len(list(store.read_frames(pack, wanted))) == len(wanted)
                assert backend.reads == reads

    def test_no_request_is_larger_than_a_run(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reader_module, "RUN", 3000)
        with one_pack() as (backend, store, pack):
            assert len(list(store.read_frames(pack, range(30)))) == 30
            assert backend.reads == [blocks(8 + number * 2056, 2056) for number in range(15)]

    def test_threads_read_at_once(self) -> None:
        with one_pack() as (_, store, pack), ThreadPoolExecutor(8) as pool:
            contents = grains(1, 30)

            def read(number: int) -> bool:
                wanted = random.Random(number).sample(range(30), 12)
                return all(bytes(plain) == contents[n] for n, plain in store.read_frames(pack, wanted))

            assert all(pool.map(read, range(50)))

    def test_footers_of_a_remote_store_are_read_at_once_in_one_request_each(self) -> None:
        class Far(MemoryBackend):
            remote = True
            ends: Barrier | None = None

            def end(self, name: str, length: int) -> tuple[bytes, int]:
                if self.ends is not None:
                    self.ends.wait(10)  # raises where the others do not come
                return super().end(name, length)

        backend = Far()
        with small_packs():
            ids = back_up(make(backend), grains(1, 60))
            store, packs = reopen(backend), names(backend, "packs/")
            backend.ends = Barrier(len(packs))
            store.expect(ids)
            backend.ends = None
            backend.delete(packs[0])
            read = {
                chunk for pack in packs for frame in store.footer(PackName(pack[-64:])).frames for chunk in frame.ids
            }
        assert 2 < len(packs) <= REMOTE_THREADS
        assert set(ids) <= read

    def test_damage_is_named_and_frames_before_it_are_read(self) -> None:
        with one_pack() as (backend, store, pack):
            name = pack_object(pack)
            content = bytearray(backend.objects[name])
            content[8 + 7 * 1028 + 500] ^= 4
            backend.objects[name] = bytes(content)
            read: list[int] = []
            with pytest.raises(Corrupt) as caught:
                read.extend(number for number, _ in store.read_frames(pack, range(30)))
            assert read == list(range(7))
            assert (caught.value.name, caught.value.frame) == (name, 7)
            assert len(list(store.read_frames(pack, [6, 8]))) == 2

    def test_a_pack_that_went_away_is_missing(self) -> None:
        with one_pack() as (backend, store, pack):
            store.footer(pack)
            backend.delete(pack_object(pack))
            for read in (lambda: list(store.read_frames(pack, [1])), lambda: reopen(backend).footer(pack)):
                with pytest.raises(ObjectMissing) as caught:
                    read()
                assert caught.value.name == pack_object(pack)


def test_footers_are_kept_while_they_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = MemoryBackend()
    with small_packs():
        back_up(make(backend), grains(1, 90))
    packs = [PackName(name[-64:]) for name in names(backend, "packs/")]
    for most in (0, 40):
        monkeypatch.setattr(reader_module, "FOOTER_CHUNKS", most)
        store = reopen(backend)
        for pack in packs * 3:
            footer = store.footer(pack)
            kept = [len(frame.ids) for each in store.reader._footers.values() for frame in each.frames]
            assert store.reader._footers[pack] is footer
            assert store.reader._footer_chunks == sum(kept)
            assert sum(kept) <= most or len(store.reader._footers) == 1


class TestWithoutSegments:
    """Every index can be made anew from the footers."""

    @pytest.mark.parametrize("encrypted", [True, False])
    def test_all_of_them_deleted(self, encrypted: bool) -> None:
        backend, contents = MemoryBackend(), grains(1, 60)
        with small_packs():
            back_up(make(backend, encrypted=encrypted), contents)
        for name in names(backend, INDEX):
            backend.delete(name)
        assert read_back(reopen(backend, encrypted=encrypted)) == contents

    def test_a_session_writes_them_anew_when_it_knows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        backend, contents = MemoryBackend(), grains(1, 60)
        with small_packs():
            back_up(make(backend), contents)
        monkeypatch.setattr("siltstone.store.writer.SEGMENT_ENTRIES", 20)
        (segment,) = names(backend, INDEX)
        backend.objects[segment] = b"rotten"
        with reopen(backend).writer() as writer:
            put(writer, contents)
            assert writer.new_chunks == 0
        assert segment not in names(backend, INDEX)  # it said nothing any more
        store = reopen(backend)
        assert store.index.packs() == {name[-64:] for name in names(backend, "packs/")}
        assert store.index.recent == 0
        assert len(names(backend, INDEX)) >= 2  # no session holds more than SEGMENT_ENTRIES and a pack

    def test_damaged_blocks_that_show_one_after_the_other(self) -> None:
        """After packs were looked through already, too."""
        backend, contents = MemoryBackend(), [grains(1, 30), grains(2, 30)]
        store = make(backend)
        ids = [back_up(store, each, f"backups/host/0/{n}") for n, each in enumerate(contents)]
        for name in names(backend, INDEX):
            content = bytearray(backend.objects[name])
            content[100] ^= 1
            backend.objects[name] = bytes(content)
        store = reopen(backend)
        with pytest.raises(ObjectMissing):
            store.read_chunk(ChunkId(bytes(32)))
        assert not store.index.damaged
        assert [[store.read_chunk(chunk) for chunk in part] for part in ids] == contents
        assert len(store.index.damaged) == 2

    def test_many_threads_look_for_it_at_once(self) -> None:
        """None of them is told 'missing' while another one still looks."""
        backend = MemoryBackend()
        with small_packs():
            ids = back_up(make(backend), grains(1, 90))
        for name in names(backend, INDEX):
            backend.delete(name)
        for _ in range(5):
            store = reopen(backend)
            with ThreadPoolExecutor(8) as pool:
                assert all(pool.map(store.find, reversed(ids)))

    def test_a_pack_without_a_readable_footer_is_passed_over(self) -> None:
        backend, contents = MemoryBackend(), grains(1, 60)
        with small_packs():
            back_up(make(backend), contents)
        for name in names(backend, INDEX):
            backend.delete(name)
        first, *_ = names(backend, "packs/")
        backend.objects[first] = backend.objects[first][:-1]
        store = reopen(backend)
        found = [chunk for chunk in store.read_root(ROOT)["chunks"] if store.find(ChunkId(chunk))]
        assert 0 < len(found) < 60


def test_a_host_that_only_writes() -> None:
    """It knows what is there by the index, adds to it, and reads nothing."""
    backend, contents = MemoryBackend(), grains(1, 20)
    store = make(backend)
    ids = back_up(store, contents)
    adding = Store(OpenStore(backend, store.config, store.ring.without_private()))
    with adding.writer() as writer:
        put(writer, contents)
        assert writer.new_chunks == 0
        more = put(writer, grains(2, 5))
        writer.commit("backups/host/0/1", {"chunks": more})
    for read in (lambda: adding.read_chunk(ids[0]), lambda: adding.read_root(ROOT)):
        with pytest.raises(NoKey):
            read()
    assert read_back(reopen(backend), "backups/host/0/1") == grains(2, 5)


def test_a_chunk_in_two_packs_is_read_from_one_of_them() -> None:
    backend, contents = MemoryBackend(), grains(1, 30)
    one, two = make(backend), reopen(backend)
    with one.writer() as mine:  # at once: a session that began later would know what the first one stored
        back_up(two, contents, "backups/host/0/0")
        mine.commit("backups/host/0/1", {"chunks": list(put(mine, contents))})
    assert len(names(backend, "packs/")) == 2
    for _ in range(2):
        store = reopen(backend)
        assert read_back(store) == contents
        assert store.index.packs() == {name[-64:] for name in names(backend, "packs/")}
        with store.writer() as writer:
            put(writer, contents)
            assert writer.new_chunks == 0
    backend.delete(names(backend, INDEX)[0])
    assert read_back(reopen(backend)) == contents


def test_a_place_that_the_index_gets_wrong_is_damage() -> None:
    backend = MemoryBackend()
    store = make(backend)
    (chunk, *_) = back_up(store, grains(1, 3))
    place = store.find(chunk)
    assert place is not None
    for frame in (0, 99):
        store.index._recent._first[ChunkId(bytes(32))] = (place.pack, frame, 0)
        with pytest.raises(Corrupt, match="the index says") as caught:
            store.read_chunk(ChunkId(bytes(32)))
        assert caught.value.name == pack_object(place.pack)


def test_leases_of_others_make_a_session_look_for_packs() -> None:
    backend, contents = MemoryBackend(), grains(1, 30)
    store = make(backend)
    with small_packs(), store.writer("none") as working:
        put(working, contents)
        working._packer.close()
        assert len(names(backend, SESSIONS)) == 1
        faulty = FaultyBackend(backend)
        with reopen(faulty).writer("none") as writer:
            put(writer, contents)
            assert writer.new_chunks == 0
        assert len(names(backend, SESSIONS)) == 1  # the other one is at work still
