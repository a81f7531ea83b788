"""Manifests that no backup of ours would write, or of such large files that a test makes only their lists.

Rule: levels are put together by hand from the parts that a backup uses. What is wrong in a manifest alone is blamed on
the root of the level, and every path that it concerns is named.
"""

import random
import stat
from collections.abc import Callable, Sequence

import msgpack
import pytest

from siltstone.engine import Extent, Level, LevelRef, SetInfo, Stretch, VerifyResult, verify_store
from siltstone.engine.entry import HEAD, extra, make_row, pack_extents
from siltstone.engine.levels import to_root
from siltstone.engine.manifest import ManifestWriter
from siltstone.engine.verify_result import ALL_DATA, NO_DATA
from siltstone.store import ChunkId, Writer, list_packs, pack_object
from tests.backed_up import flip, ignore, new_store, reopened
from tests.store.backends import MemoryBackend

CONTENT = random.Random(1).randbytes(3000)
STRANGE = ChunkId(bytes(range(32)))


def row(path: bytes, extents: Sequence[Extent] = (), more: bytes = b"") -> bytes:
    size = sum(extent.length for extent in extents)
    return make_row(path, HEAD.pack(stat.S_IFREG | 0o644, 0, 0, 1, size, 0, 0, 1, 0), pack_extents(extents), more)


def commit(writer: Writer, index: Sequence[tuple[bytes, int]], entries: int, number: int = 0) -> None:
    files = SetInfo("files", (b"/",), tuple((ChunkId(chunk), size) for chunk, size in index), entries, entries, 0)
    ref = LevelRef("made", 0, number)
    level = Level(ref, "full", None, 0, 0, "", "", "", (files,), {}, (), {}, {})
    writer.commit(level.name, to_root(level))


def put(writer: Writer, *chunks: bytes) -> list[ChunkId]:
    """Store chunks, each in a frame of its own."""
    return [writer.store_run(memoryview(chunk), [len(chunk)])[0] for chunk in chunks]


def made(rows: Callable[[Writer], dict[bytes, bytes]]) -> MemoryBackend:
    """A store with a level of these rows."""
    backend = MemoryBackend()
    with new_store(backend).writer() as writer:
        manifest = ManifestWriter(writer)
        found = rows(writer)
        for path, packed in sorted(found.items()):
            manifest.add(path, packed)
        commit(writer, manifest.finish(), len(found))
    return backend


def check(backend: MemoryBackend, *, data: bool = False) -> VerifyResult:
    return verify_store(reopened(backend), budget=ALL_DATA if data else NO_DATA, report=ignore)


def test_more_of_a_chunk_than_it_holds() -> None:
    def rows(writer: Writer) -> dict[bytes, bytes]:
        (chunk,) = put(writer, CONTENT)
        return {
            b"/fits": row(b"/fits", [Extent(chunk, 1000, 2000)]),
            b"/long": row(b"/long", [Extent(chunk, 0, 10), Extent(None, 0, 5000), Extent(chunk, 1001, 2000)]),
            b"/none": row(b"/none"),
        }

    (damage,) = check(made(rows)).damaged
    assert damage.object == "backups/made/0/0"
    assert damage.levels == {"made:0/0": [b"/long"]}


def test_a_chunk_that_is_nowhere() -> None:
    def rows(writer: Writer) -> dict[bytes, bytes]:
        (chunk,) = put(writer, CONTENT)
        both = [Extent(chunk, 0, 3000), Extent(STRANGE, 0, 1)]
        return {b"/a": row(b"/a", both[:1]), b"/b": row(b"/b", both), b"/c": row(b"/c", both[1:])}

    (damage,) = check(made(rows)).damaged
    assert (damage.object, damage.chunks) == ("packs/", 1)
    assert damage.levels == {"made:0/0": [b"/b", b"/c"]}


@pytest.mark.parametrize("damaged", ["a content", "the list"])
def test_extent_lists(damaged: str) -> None:
    """Of a huge file the manifest has only the extents of its list of extents."""
    chunks: list[ChunkId] = []

    def rows(writer: Writer) -> dict[bytes, bytes]:
        chunks.extend(put(writer, CONTENT[:1000], CONTENT[1000:2000], CONTENT[2000:]))
        listed = pack_extents([Extent(chunk, 0, 1000) for chunk in chunks[1:]])
        chunks.extend(put(writer, listed))
        huge = row(b"/huge", [Extent(chunks[3], 0, len(listed))], extra(indirect=True, flags=1))
        return {b"/huge": huge, b"/small": row(b"/small", [Extent(chunks[0], 0, 1000)])}

    backend = made(rows)
    assert check(backend, data=True).damaged == []
    place = reopened(backend).find(chunks[2 if damaged == "a content" else 3])
    assert place is not None
    frame = reopened(backend).footer(place.pack).frames[place.frame]
    flip(backend, pack_object(place.pack), frame.offset + 15)
    (damage,) = check(backend, data=True).damaged
    assert (damage.object, damage.chunks) == (pack_object(place.pack), 1)
    assert damage.levels == {"made:0/0": [b"/huge"]}


def test_an_extent_list_that_names_a_chunk_that_is_nowhere() -> None:
    def rows(writer: Writer) -> dict[bytes, bytes]:
        listed = pack_extents([Extent(STRANGE, 0, 1000)])
        (part,) = put(writer, listed)
        return {b"/huge": row(b"/huge", [Extent(part, 0, len(listed))], extra(indirect=True))}

    (damage,) = check(made(rows)).damaged
    assert (damage.object, damage.levels) == ("packs/", {"made:0/0": [b"/huge"]})


SENSELESS: dict[str, bytes] = {
    "rows that are cut off": row(b"/a")[:-1],
    "no rows": b"\xff" * 100,
    "another number of rows": row(b"/a") * 2,
    "extents beyond the row": row(b"/a")[:62] + b"\x09\0\0\0" + row(b"/a")[66:],
}


@pytest.mark.parametrize("what", SENSELESS)
def test_a_manifest_chunk_that_does_not_parse(what: str) -> None:
    backend = MemoryBackend()
    with new_store(backend).writer() as writer:
        (chunk,) = put(writer, SENSELESS[what])
        (index,) = put(writer, msgpack.packb([(chunk, len(SENSELESS[what]), 1, b"/a")]))
        commit(writer, [(index, 1)], 1)
    (damage,) = check(backend).damaged
    assert damage.object == "backups/made/0/0"
    assert damage.unlisted == {"made:0/0": [Stretch("files", b"/a", None, 1)]}


def test_an_index_of_manifest_chunks_that_does_not_parse() -> None:
    backend = MemoryBackend()
    with new_store(backend).writer() as writer:
        (index,) = put(writer, b"\xc1 is no msgpack")
        commit(writer, [(index, 10)], 77)
    (damage,) = check(backend).damaged
    assert damage.object == "backups/made/0/0"
    assert damage.unlisted == {"made:0/0": [Stretch("files", None, None, 77)]}


def hundred_levels() -> MemoryBackend:
    """A hundred levels of one manifest: a thousand files, each a byte of one chunk."""
    backend = MemoryBackend()
    with new_store(backend).writer() as writer:
        (chunk,) = put(writer, CONTENT)
        manifest = ManifestWriter(writer)
        for number in range(1000):
            path = b"/%04d" % number
            manifest.add(path, row(path, [Extent(chunk, number, 1)]))
        index = manifest.finish()
        for number in range(100):
            commit(writer, index, 1000, number)
    return backend


def test_what_levels_share_is_looked_at_once_and_blamed_in_each() -> None:
    backend = hundred_levels()
    assert check(backend).entries == 1000
    (pack,) = list_packs(reopened(backend).opened)
    flip(backend, pack_object(pack), reopened(backend).footer(pack).frames[0].offset)
    (damage,) = check(backend, data=True).damaged
    assert len(damage.levels) == 100
    assert all(paths == [b"/%04d" % number for number in range(1000)] for paths in damage.levels.values())
