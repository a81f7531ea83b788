"""Manifests: rows in path order as chunks, found again by path, and the same chunks where nothing changed."""

import stat
from collections.abc import Callable, Iterator, Sequence

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from siltstone.engine import Entry, Level, LevelRef, SetInfo, entries, extents_of
from siltstone.engine import manifest as module
from siltstone.engine.entry import HEAD, Extent, extra, make_row, order_key, pack_extents
from siltstone.engine.manifest import ManifestReader, ManifestWriter, manifest_chunks
from siltstone.store import ChunkId, Corrupt, Store
from tests.backing_up import KEY
from tests.store.backends import MemoryBackend

NAMES = (b"a", b"b", b"a-b", b"a.b", b"a!", b"\x01", b"\xff", b"aa", b"a b", b"caf\xc3\xa9", b"Z", b"\xe9")
TREES = st.frozensets(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map(tuple), max_size=60)
EMPTY = Level(LevelRef("x", 0, 0), "full", None, 0, 0, "", "", "", (), {}, (), {}, {})


@pytest.fixture(scope="module")
def store() -> Store:
    return Store.init(MemoryBackend(), [(KEY, "test")])


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows a chunk, so that small trees have many."""
    monkeypatch.setattr(module, "MIN_CHUNK", 300)
    monkeypatch.setattr(module, "MAX_CHUNK", 900)
    monkeypatch.setattr(module, "_CUT_MASK", 0x3)
    monkeypatch.setattr(module, "RUN", 2000)


def row(path: bytes, size: int = 0) -> bytes:
    return make_row(path, HEAD.pack(stat.S_IFREG | 0o644, 0, 0, 1, size, 1, 2, 3, 0))


def store_level(store: Store, *sets: Sequence[bytes]) -> Level:
    """A level of these paths, each file set in path order."""
    infos = []
    with store.writer() as writer:
        for number, paths in enumerate(sets):
            manifest = ManifestWriter(writer)
            for path in sorted(paths, key=order_key):
                manifest.add(path, row(path))
            index = tuple(manifest.finish())
            infos.append(SetInfo(f"set{number}", (b"/",), index, len(paths), len(paths), 0))
        writer.flush()
    return replace(EMPTY, sets=tuple(infos))


def paths_of(found: Iterator[Entry]) -> list[bytes]:
    return [entry.path for entry in found]


def whole_tree(leaves: frozenset[tuple[bytes, ...]]) -> list[bytes]:
    """All paths of a tree that has these, in path order."""
    paths = {b"/"} | {b"/" + b"/".join(leaf[:depth]) for leaf in leaves for depth in range(1, len(leaf) + 1)}
    return sorted(paths, key=order_key)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TREES, st.lists(st.sampled_from(NAMES), max_size=4))
def test_a_subtree_is_found(
    store: Store, small_chunks: None, leaves: frozenset[tuple[bytes, ...]], other: list[bytes]
) -> None:
    paths = whole_tree(leaves)
    level = store_level(store, paths)
    assert paths_of(entries(store, level)) == paths
    for under in [*paths, b"/" + b"/".join(other)]:
        below = under.rstrip(b"/") + b"/"
        expected = [path for path in paths if path == under or path.startswith(below)]
        assert paths_of(entries(store, level, under=under)) == expected


def test_a_subtree_is_found_without_reading_all(store: Store, small_chunks: None) -> None:
    paths = whole_tree(frozenset((b"%02d" % a, b"%02d" % b) for a in range(40) for b in range(20)))
    level = store_level(store, paths)
    chunks = [chunk for chunk, _ in ManifestReader(store, level, level.sets[0]).chunks()]
    read: list[ChunkId] = []

    class Watched(Store):
        def read_chunk(self, chunk: ChunkId) -> bytes:
            read.append(chunk)
            return super().read_chunk(chunk)

    found = paths_of(entries(Watched(store.opened), level, under=b"/20"))
    assert len(found) == 21
    assert len(chunks) > 50
    assert len(set(read) & set(chunks)) < 10


def test_file_sets_are_kept_apart(store: Store) -> None:
    level = store_level(store, [b"/a", b"/b"], [], [b"/a", b"/c"])
    assert paths_of(entries(store, level)) == [b"/a", b"/b", b"/a", b"/c"]
    assert paths_of(entries(store, level, set_name="set1")) == []
    assert paths_of(entries(store, level, set_name="set2")) == [b"/a", b"/c"]
    assert paths_of(entries(store, level, set_name="none")) == []
    assert paths_of(entries(store, level, under=b"/a")) == [b"/a", b"/a"]


def chunks_of(store: Store, level: Level) -> list[ChunkId]:
    return [chunk for chunk, _ in ManifestReader(store, level, level.sets[0]).chunks()]


@pytest.mark.parametrize(
    "change",
    [
        lambda paths: [*paths, b"/20/05x"],
        lambda paths: [path for path in paths if path != b"/20/05"],
        lambda paths: [path for path in paths if not path.startswith(b"/20")],
        lambda paths: [*paths, *(b"/20x/%d" % number for number in range(100))],
    ],
    ids=["added", "removed", "folder removed", "folder added"],
)
def test_an_unchanged_stretch_gives_the_same_chunks(
    store: Store, small_chunks: None, change: Callable[[list[bytes]], list[bytes]]
) -> None:
    paths = whole_tree(frozenset((b"%02d" % a, b"%02d" % b) for a in range(40) for b in range(50)))
    before = chunks_of(store, store_level(store, paths))
    after = chunks_of(store, store_level(store, change(paths)))
    changed = set(before) ^ set(after)
    assert len(before) > 300
    assert 0 < len(changed) < 60
    lost = [at for at, chunk in enumerate(before) if chunk not in set(after)]
    assert lost == list(range(lost[0], lost[-1] + 1)), "one place changed, and chunks elsewhere did, too"


def test_the_index_of_an_unchanged_tree_is_the_same(store: Store, small_chunks: None) -> None:
    paths = whole_tree(frozenset((b"%03d" % a, b"%02d" % b) for a in range(120) for b in range(40)))
    one, two = store_level(store, paths), store_level(store, paths)
    assert one.sets == two.sets
    changed = store_level(store, [*paths, b"/000/x"])
    assert len(one.sets[0].index) > 1, "the index has several chunks"
    assert one.sets[0].index[-1] == changed.sets[0].index[-1]


def test_a_row_of_any_size(store: Store, small_chunks: None) -> None:
    """Many extents and large attributes make rows larger than a chunk is meant to be."""
    some = [Extent(ChunkId(bytes([number % 255 + 1]) * 32), number, 1) for number in range(1024)]
    big = make_row(b"/b", HEAD.pack(0o100644, 0, 0, 1, 1024, 1, 2, 3, 0), pack_extents(some), extra(flags=7))
    with store.writer() as writer:
        manifest = ManifestWriter(writer)
        for path, packed in ((b"/a", row(b"/a")), (b"/b", big), (b"/c", row(b"/c"))):
            manifest.add(path, packed)
        index = tuple(manifest.finish())
    level = replace(EMPTY, sets=(SetInfo("files", (b"/",), index, 3, 3, 0),))
    found = list(entries(store, level))
    assert [entry.path for entry in found] == [b"/a", b"/b", b"/c"]
    assert (found[1].extents, found[1].flags) == (some, 7)


def test_every_chunk_that_a_level_needs_is_named(store: Store) -> None:
    with store.writer() as writer:
        content = writer.store_run(memoryview(b"onetwo"), [3, 6])
        listed = writer.store_run(memoryview(pack_extents([Extent(content[1], 0, 3)])), [40])
        manifest = ManifestWriter(writer)
        head = HEAD.pack(0o100644, 0, 0, 1, 3, 1, 2, 3, 0)
        holes = [Extent(None, 0, 9), Extent(content[0], 0, 3)]
        manifest.add(b"/direct", make_row(b"/direct", head, pack_extents(holes)))
        manifest.add(b"/list", make_row(b"/list", head, pack_extents([Extent(listed[0], 0, 40)]), extra(indirect=True)))
        index = tuple(manifest.finish())
    level = replace(EMPTY, sets=(SetInfo("files", (b"/",), index, 2, 2, 6),))
    named = set(manifest_chunks(store, level))
    rows = {chunk for chunk, _ in ManifestReader(store, level, level.sets[0]).chunks()}
    assert named == {*content, *listed, *rows, *(chunk for chunk, _ in index)}
    direct, indirect = entries(store, level)
    assert list(extents_of(store, direct)) == holes
    assert list(extents_of(store, indirect)) == [Extent(content[1], 0, 3)]


@pytest.mark.parametrize("which", ["index", "rows"])
def test_a_manifest_that_does_not_parse_names_the_level(store: Store, which: str) -> None:
    with store.writer() as writer:
        (junk,) = writer.store_run(memoryview(b"\xc1 no manifest"), [13])
        manifest = ManifestWriter(writer)
        manifest.add(b"/a", row(b"/a"))
        index = tuple(manifest.finish())
        if which == "rows":
            item = msgpack.packb([[junk, 13, 1, b"/a"]])
            (good,) = writer.store_run(memoryview(item), [len(item)])
            index = ((good, len(item)),)
        else:
            index = ((junk, 13),)
    level = replace(EMPTY, sets=(SetInfo("files", (b"/",), index, 1, 1, 0),))
    with pytest.raises(Corrupt) as caught:
        list(entries(store, level))
    assert level.name in str(caught.value)
    assert "files" in str(caught.value)
