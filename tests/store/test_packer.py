"""The packer: frames of many threads become packs, each announced when it is durable, and no failure hangs anybody."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from siltstone.store import Backend, ChunkId, FrameInfo, PackName, StoreError, StoreFull, chunk_id, pack_object
from siltstone.store import packer as packer_module
from siltstone.store.backend import Buffer
from siltstone.store.frame import CODEC_NONE
from siltstone.store.keys import SessionKey
from siltstone.store.opening import OpenStore
from siltstone.store.packer import ARENAS, UPLOADS, Packer
from siltstone.store.reader import PackReader
from siltstone.store.seal import AesSealer, Sealer

from .backends import FaultyBackend, MemoryBackend
from .stores import SMALL_PACK, grains, make_open, names

pytestmark = pytest.mark.timeout(30)


class Packing:
    """A packer over a store, and what it announced."""

    def __init__(
        self, backend: Backend, store: OpenStore, sealer: Callable[[bytes], Sealer] = AesSealer, **terms: Any
    ) -> None:
        self.store = store
        self.announced: dict[PackName, list[ChunkId]] = {}
        self.backend = backend
        key: SessionKey = store.ring.new_session()
        self.packer = Packer(backend, key, sealer(key.data_key), self._durable, **terms)

    def _durable(self, pack: PackName, frames: Sequence[FrameInfo]) -> None:
        assert self.backend.size(pack_object(pack))
        self.announced[pack] = [chunk for frame in frames for chunk in frame.ids]

    def add(self, *contents: bytes) -> list[ChunkId]:
        """One frame of these chunks."""
        ids = [chunk_id(content, self.store.ring.id_key) for content in contents]
        body = b"".join(contents)
        self.packer.add(CODEC_NONE, body, len(body), ids, [len(content) for content in contents])
        return ids

    def sizes(self) -> list[int]:
        """Chunks of each announced pack, ascending: two threads store them."""
        return sorted(map(len, self.announced.values()))

    def read_all(self) -> dict[ChunkId, bytes]:
        """Every chunk of every pack of the store."""
        reader, chunks = PackReader(self.store), {}
        for name in names(self.store.backend, "packs/"):
            footer = reader.footer(PackName(name[-64:]))
            for number, plain in reader.read_frames(footer.pack, range(len(footer.frames))):
                frame = footer.frames[number]
                for chunk, start, length in zip(frame.ids, frame.starts, frame.lengths, strict=True):
                    chunks[chunk] = bytes(plain[start : start + length])
        return chunks


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packer_module, "PACK_SIZE", SMALL_PACK)


@pytest.fixture
def memory() -> MemoryBackend:
    return MemoryBackend()


def packing(memory: MemoryBackend) -> Packing:
    return Packing(memory, make_open(memory))


def in_threads(count: int, work: Callable[[int], None]) -> list[BaseException]:
    """Run the work in so many threads; what they raised."""
    raised: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except StoreError as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


def test_frames_of_many_threads_become_packs(memory: MemoryBackend) -> None:
    packed, contents = packing(memory), [grains(seed, 40, 700) for seed in range(6)]

    def work(number: int) -> None:
        for pair in zip(contents[number][::2], contents[number][1::2], strict=True):
            packed.add(*pair)

    assert in_threads(6, work) == []
    packed.packer.close()
    packed.packer.stop()
    everything = {content for each in contents for content in each}
    assert set(packed.read_all().values()) == everything
    announced = [chunk for ids in packed.announced.values() for chunk in ids]
    assert len(announced) == len(everything) == len(set(announced))
    assert len(packed.announced) == packed.packer.packs == len(names(memory, "packs/")) > 10
    assert packed.packer.stored_bytes == sum(info.size for info in memory.list("packs/"))


def test_a_frame_that_just_fits_and_one_that_does_not(memory: MemoryBackend) -> None:
    packed = packing(memory)
    room = SMALL_PACK - 8 - 28
    for number, size in enumerate((room, room, 1, room - 29, room - 30)):  # the third and the fourth share a pack
        packed.add(*grains(number, 1, size))
    packed.packer.close()
    assert packed.sizes() == [1, 1, 1, 2]
    for size in (room + 1, 10 * room):
        with pytest.raises(ValueError, match="fits into no pack"):
            packed.add(bytes(size))
    packed.packer.close()
    packed.packer.stop()
    assert len(packed.read_all()) == 5


@pytest.mark.parametrize("limit", ["MAX_FRAMES", "MAX_CHUNKS"])
def test_a_pack_has_only_so_many_frames_and_chunks(
    memory: MemoryBackend, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(packer_module, limit, 10)
    packed = packing(memory)
    for content in grains(1, 35, 4):
        packed.add(content)
    packed.packer.close()
    packed.packer.stop()
    assert packed.sizes() == [5, 10, 10, 10]


def test_a_frame_of_more_chunks_than_a_pack_has_its_own(memory: MemoryBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packer_module, "MAX_CHUNKS", 10)
    packed = packing(memory)
    for count in (1, 25, 1, 9):
        packed.add(*grains(count, count, 4))
    packed.packer.close()
    packed.packer.stop()
    assert packed.sizes() == [1, 10, 25]


def test_nothing_added_writes_nothing(memory: MemoryBackend) -> None:
    packed = packing(memory)
    packed.packer.close()
    packed.packer.stop()
    assert names(memory, "packs/") == []


def test_it_goes_on_after_a_close(memory: MemoryBackend) -> None:
    packed = packing(memory)
    for content in grains(1, 3):
        packed.add(content)
        packed.packer.close()
    packed.packer.stop()
    assert len(packed.announced) == 3


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("lands", [False, True])
def test_when_the_storage_fails_every_thread_hears_of_it(memory: MemoryBackend, at: int, lands: bool) -> None:
    """Those that wait for a buffer, too; and what was announced is there."""
    faulty = FaultyBackend(memory, at, error=lambda: StoreFull("no room"), lands=lands, once=True)
    packed = Packing(faulty, make_open(memory))

    def work(number: int) -> None:
        for content in grains(number, 200):
            packed.add(content)

    raised = in_threads(6, work)
    assert len(raised) == 6
    assert all(isinstance(error, StoreFull) for error in raised)
    with pytest.raises(StoreFull):
        packed.packer.close()
    packed.packer.stop()
    there = {name[-64:] for name in names(memory, "packs/")}
    assert packed.announced.keys() <= there
    assert len(there - packed.announced.keys()) == lands
    assert len(packed.announced) >= at


def test_a_worker_that_raises_hangs_nobody(memory: MemoryBackend) -> None:
    """What is announced may raise, too: the index could not be written, say."""
    packed = packing(memory)

    def fail(pack: PackName, frames: Sequence[FrameInfo]) -> None:
        raise StoreFull("no room for the index")

    packed.packer._on_durable = fail

    def work(number: int) -> None:
        for content in grains(number, 200):
            packed.add(content)

    assert len(in_threads(4, work)) == 4
    with pytest.raises(StoreFull, match="for the index"):
        packed.packer.close()
    packed.packer.stop()


def test_a_pack_that_is_there_already_is_announced(memory: MemoryBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name is the checksum of its bytes. Equal ones come of an answer that was lost and a request sent again."""
    packed = packing(memory)

    def twice(name: str, pieces: Sequence[Buffer]) -> None:
        MemoryBackend.put(memory, name, pieces)
        MemoryBackend.put(memory, name, pieces)

    monkeypatch.setattr(memory, "put", twice)
    (chunk,) = packed.add(b"content")
    packed.packer.close()
    packed.packer.stop()
    assert list(packed.announced.values()) == [[chunk]]


class Interrupted(AesSealer):
    """Ctrl-C comes while a frame is sealed."""

    at = 5

    def seal_into(self, plain: Buffer, aad: bytes, out: memoryview) -> None:
        self.at -= 1
        if self.at == 0:
            raise KeyboardInterrupt
        super().seal_into(plain, aad, out)


def test_a_frame_that_was_not_sealed_is_never_written(memory: MemoryBackend) -> None:
    packed = Packing(memory, make_open(memory), Interrupted)
    for content in grains(1, 4):
        packed.add(content)
    with pytest.raises(KeyboardInterrupt):
        packed.add(b"the fifth")
    with pytest.raises(KeyboardInterrupt):
        packed.packer.close()
    packed.packer.stop()
    assert packed.announced == {}
    assert packed.read_all() == {}


class Slow(MemoryBackend):
    """Storage that takes packs only when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.waiting = threading.Semaphore(0)

    def put(self, name: str, pieces: Sequence[Buffer]) -> None:
        if name.startswith("packs/"):
            self.waiting.release()
            assert self.go.wait(20)
        super().put(name, pieces)


def test_slow_storage_slows_the_readers() -> None:
    """No more than ARENAS packs are in memory, however many threads add."""
    slow = Slow()
    packed = packing(slow)
    added = threading.Semaphore(0)

    def work(number: int) -> None:
        for content in grains(number, 50):
            packed.add(content)
            added.release()

    thread = threading.Thread(target=lambda: in_threads(4, work))
    thread.start()
    for _ in range(UPLOADS):  # all storage threads are at work
        assert slow.waiting.acquire(timeout=20)
    fits = SMALL_PACK // 1028
    for _ in range(ARENAS * fits):
        assert added.acquire(timeout=20)
    assert not added.acquire(timeout=0.2)
    slow.go.set()
    thread.join()
    packed.packer.close()
    packed.packer.stop()
    assert len(packed.read_all()) == 200
