"""Sessions: every chunk is stored once, packs before index before root, and whatever became durable is used again."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from siltstone.store import (
    FRAME_SIZE,
    BackendError,
    ChunkId,
    ObjectExists,
    ObjectMissing,
    PackName,
    Store,
    StoreFull,
    chunk_id,
)
from siltstone.store import index as index_module
from siltstone.store import writer as writer_module
from siltstone.store.index import INDEX, Index
from siltstone.store.lease import SESSIONS

from .backends import FaultyBackend, MemoryBackend, lost_mount
from .stores import ROOT, back_up, grains, make, names, put, read_back, reopen, run_of, small_packs

pytestmark = pytest.mark.timeout(60)


class TestStoring:
    """What goes in, and how often."""

    @pytest.mark.parametrize("encrypted", [True, False])
    @pytest.mark.parametrize("compression", ["none", "lz4", "zstd"])
    def test_what_was_committed_reads_back(self, encrypted: bool, compression: str) -> None:
        backend, contents = MemoryBackend(), [*grains(1, 20), b"", b"x", b"text " * 2000]
        with small_packs():
            back_up(make(backend, encrypted=encrypted), contents, compression=compression)
        store = reopen(backend, encrypted=encrypted)
        assert read_back(store) == contents
        assert names(backend, SESSIONS) == []

    def test_a_chunk_is_stored_once(self) -> None:
        backend, contents = MemoryBackend(), grains(1, 10)
        store = make(backend)
        with store.writer() as writer:
            first = put(writer, contents + contents[:3])
            assert (writer.new_chunks, writer.known_chunks, writer.new_bytes) == (10, 3, 10_000)
            writer.flush()
            again = put(writer, contents)
            assert (writer.new_chunks, writer.known_chunks) == (10, 13)
            writer.commit(ROOT, {"chunks": first})
        assert again == first[:10]
        with reopen(backend).writer() as writer:
            put(writer, contents)
            assert writer.new_chunks == 0
            writer.commit("backups/host/0/1", {"chunks": first})
        assert len(names(backend, "packs/")) == 1
        assert len(names(backend, INDEX)) == 1

    def test_thousands_of_tiny_chunks_in_one_run(self) -> None:
        """More than a frame takes, and a footer that one read does not bring."""
        backend = MemoryBackend()
        contents = [b"", *(number.to_bytes(3, "big") for number in range(9000))]
        ids = back_up(make(backend), contents)
        store = reopen(backend)
        assert len(set(ids)) == 9001
        assert read_back(store) == contents
        frames = [len(f.ids) for name in names(backend, "packs/") for f in store.footer(PackName(name[-64:])).frames]
        assert frames == [4096, 4096, 809]

    @pytest.mark.parametrize("size", [FRAME_SIZE - 1, FRAME_SIZE, FRAME_SIZE + 1, 3 * FRAME_SIZE])
    def test_a_chunk_as_large_as_a_frame_or_larger(self, size: int) -> None:
        backend = MemoryBackend()
        contents = [b"before", *grains(size, 1, size), b"behind"]
        back_up(make(backend), contents)
        assert read_back(reopen(backend)) == contents

    def test_known_chunks_between_new_ones(self) -> None:
        backend, contents = MemoryBackend(), grains(1, 9)
        store = make(backend)
        back_up(store, contents[::3])
        back_up(store, contents, "backups/host/0/1")
        assert read_back(reopen(backend), "backups/host/0/1") == contents

    def test_an_empty_run(self) -> None:
        backend = MemoryBackend()
        assert back_up(make(backend), []) == []
        assert names(backend, "packs/") == names(backend, INDEX) == []
        assert reopen(backend).read_root(ROOT) == {"chunks": []}

    def test_a_buffer_may_be_reused(self) -> None:
        backend = MemoryBackend()
        with make(backend).writer("none") as writer:
            buffer = bytearray(b"first")
            (one,) = writer.store_run(memoryview(buffer), [5])
            buffer[:] = b"other"
            (two,) = writer.store_run(memoryview(buffer), [5])
            writer.commit(ROOT, {})
        store = reopen(backend)
        assert (store.read_chunk(one), store.read_chunk(two)) == (b"first", b"other")

    def test_many_threads_store_the_same(self) -> None:
        backend, contents = MemoryBackend(), grains(1, 200, 500)
        with small_packs(), make(backend).writer("none") as writer, ThreadPoolExecutor(8) as pool:
            runs = list(pool.map(lambda turn: put(writer, contents[turn:] + contents[:turn]), range(0, 160, 10)))
            writer.commit(ROOT, {"chunks": runs[0]})
            assert writer.new_chunks == 200
        assert read_back(reopen(backend)) == contents

    def test_of_threads_that_find_a_chunk_new_at_once_one_stores_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        backend, together = MemoryBackend(), threading.Barrier(4)

        def unknown(index: Index, chunk: ChunkId) -> bool:
            together.wait(20)
            return False

        with make(backend).writer() as writer, ThreadPoolExecutor(4) as pool:
            with monkeypatch.context() as patch:
                patch.setattr(Index, "__contains__", unknown)
                for content in grains(1, 20):
                    assert len(set(pool.map(lambda _, each=content: put(writer, [each])[0], range(4)))) == 1
            assert (writer.new_chunks, writer.known_chunks) == (20, 60)
            writer.commit(ROOT, {})

    def test_segments_are_written_on_the_way(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(writer_module, "SEGMENT_ENTRIES", 50)
        monkeypatch.setattr(index_module, "MERGE_WHEN", 100)
        backend = MemoryBackend()
        with small_packs(), make(backend).writer("none") as writer:
            for seed in range(10):
                put(writer, grains(seed, 30, 500))
                until = time.monotonic() + 20
                while writer._index.recent >= 50 + 40 and time.monotonic() < until:  # a segment is being written
                    time.sleep(0.01)
                assert writer._index.recent < 50 + 40
            assert len(names(backend, INDEX)) >= 2
            writer.commit(ROOT, {})
        assert all(
            reopen(backend).find(chunk_id(c, writer._id_key)) for seed in range(10) for c in grains(seed, 30, 500)
        )


class TestCommitting:
    """The order of writes, and what a commit is."""

    def test_packs_then_index_then_root(self) -> None:
        backend = MemoryBackend()
        make(backend)
        faulty = FaultyBackend(backend)
        with small_packs():
            back_up(reopen(faulty), grains(1, 50))
        folders = [f"{verb} {name.split('/')[0]}" for verb, name in faulty.changes]
        packs = ["put packs"] * folders.count("put packs")
        assert len(packs) > 3
        assert folders == ["put sessions", *packs, "put index", "put backups", "delete sessions"]

    def test_a_name_that_is_taken(self) -> None:
        backend = MemoryBackend()
        store = make(backend)
        back_up(store, [b"mine"])
        with store.writer() as writer:
            ids = put(writer, [b"theirs"])
            with pytest.raises(ObjectExists):
                writer.commit(ROOT, {"chunks": ids})
            writer.commit("backups/host/0/1", {"chunks": ids})
        assert read_back(reopen(backend)) == [b"mine"]
        assert read_back(reopen(backend), "backups/host/0/1") == [b"theirs"]

    def test_what_was_chosen_and_not_written_is_not_committed(self) -> None:
        backend = MemoryBackend()
        with make(backend).writer() as writer:
            put(writer, [b"stored"])
            _, frames = writer.choose(*run_of([b"forgotten"]))
            with pytest.raises(AssertionError, match="never written"):
                writer.commit(ROOT, {})
            for frame in frames:
                writer.write(frame)
            writer.commit(ROOT, {})

    def test_without_a_commit_there_is_no_root_and_no_waste(self) -> None:
        backend, contents = MemoryBackend(), grains(1, 5)
        with make(backend).writer() as writer:
            put(writer, contents)
        assert names(backend, "backups/") == names(backend, SESSIONS) == []
        store = reopen(backend)
        dry = store.dry_writer()
        assert dry.store_run(*run_of(contents)) == [chunk_id(content, store.ring.id_key) for content in contents]
        assert dry.new_chunks == 0
        with store.writer() as writer:
            put(writer, contents)
            assert writer.new_chunks == 0

    def test_a_dry_session_counts_alike_and_writes_nothing(self) -> None:
        """Whatever the state of the index."""
        backend, contents = MemoryBackend(), [*grains(1, 30), b"", b"x"]
        with small_packs():
            back_up(make(backend), contents[:20])
        for name in names(backend, INDEX):
            backend.delete(name)
        backend.objects["sessions/other"] = b"a lease"
        before = dict(backend.objects)
        dry = reopen(backend).dry_writer()
        ids, frames = dry.choose(*run_of(contents + contents[:5]))
        assert backend.objects == before
        with reopen(backend).writer() as writer:
            assert (put(writer, contents + contents[:5]), frames) == (ids, [])
            for each in (dry, writer):
                assert (each.new_chunks, each.new_bytes, each.known_chunks) == (12, 10_001, 25)


class Giving(Exception):
    """What the code around a session raises."""


def give_up(store: Store, contents: list[bytes], error: type[BaseException]) -> None:
    with store.writer("none") as writer:
        put(writer, contents)
        raise error


class TestFailing:
    """A session that ends badly keeps what is durable."""

    @pytest.mark.parametrize("error", [Giving, KeyboardInterrupt])
    def test_given_up(self, error: type[BaseException]) -> None:
        backend, contents = MemoryBackend(), grains(1, 30)
        with small_packs():
            with pytest.raises(error):
                give_up(make(backend), contents, error)
            assert names(backend, SESSIONS) == []
            with reopen(backend).writer("none") as writer:
                ids = put(writer, contents)
                assert writer.new_chunks == 0
                writer.commit(ROOT, {"chunks": ids})
        assert read_back(reopen(backend)) == contents

    @pytest.mark.parametrize("once", [True, False])
    @pytest.mark.parametrize("lands", [True, False])
    @pytest.mark.parametrize("at", range(7))
    def test_the_storage_fails(self, at: int, lands: bool, once: bool) -> None:
        """For a moment or for good. What is durable is used by the next session."""
        backend, contents = MemoryBackend(), grains(1, 50)
        make(backend)
        faulty = FaultyBackend(backend, at, error=lambda: StoreFull("no room"), lands=lands, once=once)
        with small_packs():
            with pytest.raises(StoreFull):
                back_up(reopen(faulty), contents)
            if once:
                assert len(self.unindexed(backend)) <= lands  # one that landed, and nobody was told
            assert not any(thread.name.startswith("silt") for thread in threading.enumerate())
            before = set(names(backend, "packs/"))
            store = reopen(backend)
            stored = {chunk for name in before for f in store.footer(PackName(name[-64:])).frames for chunk in f.ids}
            with store.writer("none") as writer:
                ids = put(writer, contents)
                assert writer.new_chunks == len(contents) - len(stored)
                writer.commit("backups/host/0/1", {"chunks": ids})
        assert read_back(reopen(backend), "backups/host/0/1") == contents

    def unindexed(self, backend: MemoryBackend) -> set[str]:
        return {name[-64:] for name in names(backend, "packs/")} - set(reopen(backend).index.packs())

    def test_a_session_that_cannot_begin_leaves_no_lease(self) -> None:
        backend = MemoryBackend()
        with small_packs():
            back_up(make(backend), grains(1, 30))
        for name in names(backend, INDEX):
            backend.delete(name)
        backend.objects["sessions/dead"] = b"a lease, once"  # so that the next session looks for packs
        faulty = FaultyBackend(backend, 1, error=lambda: StoreFull("no room"), once=True)
        store = reopen(faulty)
        with pytest.raises(StoreFull), store.writer():
            pytest.fail("it began")
        assert names(backend, SESSIONS) == ["sessions/dead"]
        with reopen(backend).writer() as writer:
            put(writer, grains(1, 30))
            assert writer.new_chunks == 0

    def test_a_lost_mount_is_no_missing_chunk(self) -> None:
        """Packs that no segment names cannot be looked through then; that is not to say that there are none."""
        backend = MemoryBackend()
        store = make(backend)
        (chunk,) = back_up(store, [b"content"])
        for name in names(backend, INDEX):
            backend.delete(name)
        faulty = FaultyBackend(backend, 0, error=lost_mount)
        after: Store = reopen(faulty)
        with pytest.raises(BackendError, match="vanished"):
            faulty.put("x", [])
        with pytest.raises(BackendError, match="vanished"):
            after.read_chunk(chunk)
        faulty._at, faulty._failed = None, False  # mounted again
        assert after.read_chunk(chunk) == b"content"
        with pytest.raises(ObjectMissing):
            after.read_chunk(ChunkId(bytes(32)))
