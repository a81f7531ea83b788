"""Contents of files: every size around a limit, holes wherever they are, cut the same however they are read."""

import os
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from siltstone.engine import Entry, Level, entries, extent_list, extents_of
from siltstone.engine.content import BATCH_FILES
from siltstone.engine.cut import MAX_CHUNK, MIN_CHUNK, WHOLE, Cutter
from siltstone.engine.restore import restore_level
from siltstone.engine.stream import Stream, _data_ranges
from siltstone.engine.workers import BUFFER, Workers
from siltstone.store import ChunkId, NewFrame, Store
from siltstone.store.keyring import GEAR_SIZE
from tests.backing_up import Place, picture, recorded
from tests.trees import difference

GEAR = random.Random(7).randbytes(GEAR_SIZE)

LIMITS = (0, 4096, MIN_CHUNK, WHOLE, MAX_CHUNK, 1 << 20, BUFFER // 2, BUFFER, 2 * BUFFER)
SIZES = sorted({max(0, limit + delta) for limit in LIMITS for delta in (-1, 0, 1)})


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.make_store()
    return place


def entry(store: Store, level: Level, path: Path) -> Entry:
    (found,) = entries(store, level, under=os.fsencode(path))
    return found


def check_restored(place: Place, level: Level) -> None:
    """The level as it comes back, holes and all."""
    out = place.folder / "out"
    restore_level(place.open(), level, target=os.fsencode(out), report=lambda event: None)
    assert difference(place.tree, out / place.tree.relative_to("/")) == []


def test_every_size_around_a_limit(place: Place) -> None:
    content = random.Random(1).randbytes(SIZES[-1])
    for size in SIZES:
        (place.tree / f"{size:08}").write_bytes(content[:size])
        (place.tree / f"{size:08} zeros").write_bytes(bytes(size))
    level = place.level()
    assert not place.warned
    store = place.open()
    assert recorded(store, level) == picture(place.tree)
    for size in SIZES:
        chunks = [extent.length for extent in extents_of(store, entry(store, level, place.tree / f"{size:08}"))]
        assert all(length <= MAX_CHUNK for length in chunks)
        if 0 < size <= WHOLE:
            assert len(chunks) == 1
    check_restored(place, level)


class Noting:
    """A sink that keeps lengths and contents of chunks, and stores nothing."""

    def __init__(self) -> None:
        self.chunks: dict[ChunkId, bytes] = {}

    def store_run(self, buffer: memoryview, ends: Sequence[int], *, pages: bool = False) -> list[ChunkId]:
        ids, start = [], 0
        for end in ends:
            content = bytes(buffer[start:end])
            ids.append(ChunkId(hash(content).to_bytes(32, "little", signed=True)))
            self.chunks[ids[-1]] = content
            start = end
        return ids

    def choose(self, buffer: memoryview, ends: Sequence[int]) -> tuple[list[ChunkId], list[NewFrame]]:
        raise NotImplementedError

    def write(self, frame: NewFrame) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("size", [WHOLE + 1, BUFFER - 1, BUFFER, BUFFER + 1, 2 * BUFFER + MAX_CHUNK + 12_345])
@pytest.mark.parametrize("kind", ["random", "zeros", "lines"])
def test_a_stream_is_cut_as_one(tmp_path: Path, size: int, kind: str) -> None:
    """Where the buffers end shows nowhere: the chunks are those of the whole content in one piece."""
    line = b"grains laid down in layers %d\n" % size
    content = {"random": random.Random(size).randbytes(size), "zeros": bytes(size), "lines": line * (size // 20)}[kind]
    content = content[:size]
    path = tmp_path / "file"
    path.write_bytes(content)
    sink = Noting()
    with Workers(sink) as workers, path.open("rb") as file:
        read: list[int] = []
        stream = Stream(workers, Cutter(GEAR), read.append)
        stream.read(file.fileno(), len(content))
        packed, indirect = stream.finish()
        assert not indirect
        assert (sum(read), stream.read_end) == (len(content), len(content))
    ids = [ChunkId(packed[at : at + 32]) for at in range(0, len(packed), 40)]
    ends = Cutter(GEAR).ends(memoryview(content), last=True)
    assert [sink.chunks[chunk] for chunk in ids] == [
        content[start:end] for start, end in zip([0, *ends], ends, strict=False)
    ]


def write_sparse(path: Path, size: int, *data: tuple[int, int]) -> None:
    """A file of this size with random bytes at (offset, length), and holes elsewhere."""
    with path.open("wb") as file:
        for offset, length in data:
            file.seek(offset)
            file.write(random.Random(offset).randbytes(length))
        file.truncate(size)


SPARSE: dict[str, tuple[int, tuple[tuple[int, int], ...]]] = {
    "only a hole": (3 << 20, ()),
    "a large hole": (20 << 20, ()),
    "first": (8 << 20, ((6 << 20, 2 << 20),)),
    "last": (8 << 20, ((0, 100_000),)),
    "middle": (8 << 20, ((0, 70_000), (7 << 20, 1 << 20))),
    "around": (8 << 20, ((3_333_333, 5_000),)),
    "many": (16 << 20, tuple((at << 20, 4096) for at in range(1, 16))),
    "odd end": ((5 << 20) + 1, ((1 << 20, 1),)),
    "small": (200_000, ((150_000, 10),)),
}


def test_holes_stay_holes(place: Place) -> None:
    for name, (size, data) in SPARSE.items():
        write_sparse(place.tree / name, size, *data)
    made = place.back_up()
    assert made.level is not None
    store = place.open()
    assert recorded(store, made.level) == picture(place.tree)
    for name in SPARSE:
        path = place.tree / name
        found = list(extents_of(store, entry(store, made.level, path)))
        stored = sum(extent.length for extent in found if extent.id is not None)
        assert stored <= path.stat().st_blocks * 512
    assert made.stats["read_bytes"] <= sum((place.tree / name).stat().st_blocks for name in SPARSE) * 512
    check_restored(place, made.level)


def test_a_hole_of_many_gigabytes(place: Place) -> None:
    """Longer than one extent can say, and read as quickly as a small one."""
    size = (9 << 30) + 5
    write_sparse(place.tree / "large", size, (5 << 30, 1000), (size - 3, 3))
    made = place.back_up()
    assert made.level is not None
    store = place.open()
    found = entry(store, made.level, place.tree / "large")
    at = 0
    for extent in extents_of(store, found):
        if extent.id is not None:
            with (place.tree / "large").open("rb") as file:
                file.seek(at)
                assert file.read(extent.length) == store.read_chunk(extent.id)
        at += extent.length
    assert at == found.size == size
    assert made.stats["read_bytes"] < 1 << 20


def test_a_file_system_that_does_not_say_where_holes_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_sparse(path, 1 << 20, (500_000, 1))
    with path.open("rb") as file:
        assert sum(end - start for start, end in _data_ranges(file.fileno(), 1 << 20)) < 1 << 20

        def refuse(fd: int, position: int, how: int) -> int:
            raise OSError(22, "Invalid argument")

        monkeypatch.setattr(os, "lseek", refuse)
        assert list(_data_ranges(file.fileno(), 1 << 20)) == [(0, 1 << 20)]


@pytest.fixture
def short_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few extents make a list of their own."""
    monkeypatch.setattr(extent_list, "DIRECT", 3)
    monkeypatch.setattr(extent_list, "_PART_MIN", 2)
    monkeypatch.setattr(extent_list, "_PART_MAX", 8)


def test_the_extents_of_long_contents_are_kept_as_chunks(place: Place, short_lists: None) -> None:
    content = random.Random(3).randbytes(9 << 20)
    (place.tree / "long").write_bytes(content)
    write_sparse(place.tree / "sparse", 32 << 20, *((at << 20, 4096) for at in range(0, 32, 2)))
    (place.tree / "short").write_bytes(content[: 400 << 10])
    level = place.level()
    store = place.open()
    assert entry(store, level, place.tree / "long").indirect
    assert entry(store, level, place.tree / "sparse").indirect
    assert recorded(store, level) == picture(place.tree)
    check_restored(place, level)
    (place.tree / "long").write_bytes(content[: 4 << 20] + b"inserted" + content[4 << 20 :])
    changed = place.back_up()
    assert changed.level is not None
    store = place.open()
    assert recorded(store, changed.level) == picture(place.tree)
    old = {part.id for part in entry(store, level, place.tree / "long").extents}
    new = {part.id for part in entry(store, changed.level, place.tree / "long").extents}
    assert len(old & new) > 4, "of the list, only the stretch around the change is new"
    assert place.level(kind="full").stats["new_bytes"] < 3_000


def test_an_insertion_moves_few_chunks(place: Place) -> None:
    content = random.Random(4).randbytes(6 << 20)
    (place.tree / "file").write_bytes(content)
    place.level()
    (place.tree / "file").write_bytes(content[: 3 << 20] + b"a few bytes" + content[3 << 20 :])
    assert place.level().stats["new_bytes"] < 3 * MAX_CHUNK


def test_equal_contents_are_stored_once_whatever_they_are_called(place: Place) -> None:
    content = random.Random(5).randbytes(300_000)
    for name in ("a", "b", "folder"):
        (place.tree / name).mkdir()
        (place.tree / name / "file").write_bytes(content)
        (place.tree / name / "small").write_bytes(content[:100])
    stats = place.level().stats
    assert len(content) < stats["new_bytes"] < len(content) + 10_000
    assert stats["read_bytes"] == 3 * (len(content) + 100)


def test_more_small_files_than_a_batch_takes(place: Place) -> None:
    for number in range(BATCH_FILES + 3):
        (place.tree / f"{number:05}").write_bytes(b"%d" % (number % 50))
    (place.tree / "00500").write_bytes(random.Random(6).randbytes(BUFFER // 2))
    (place.tree / "00501").write_bytes(random.Random(7).randbytes(BUFFER // 2))
    (place.tree / "00502").write_bytes(random.Random(8).randbytes(BUFFER // 2 + 1))
    level = place.level()
    assert recorded(place.open(), level) == picture(place.tree)


def test_a_dry_writer_finds_the_same_chunks(tmp_path: Path) -> None:
    """Once chosen, a chunk is known: a DryWriter counts as a Writer does."""
    place = Place(tmp_path)
    store = place.make_store()
    dry = store.dry_writer()
    buffer = memoryview(b"one" + b"two" + b"one")
    with store.writer() as writer:
        assert writer.store_run(buffer, [3, 6, 9]) == dry.store_run(buffer, [3, 6, 9])
        assert (writer.new_chunks, writer.known_chunks, writer.new_bytes) == (2, 1, 6)
        assert (dry.new_chunks, dry.known_chunks, dry.new_bytes) == (2, 1, 6)
