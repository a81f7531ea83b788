"""What a sync to a store with other keys makes of extent lists, of cells of a database, and of WAL files.

Rule: levels are written by the parts of the program that backups write them with; what must be in the target is
computed from plain bytes under the target's own keys.
"""

import random
import stat
from collections.abc import Iterable

from blake3 import blake3

from siltstone.engine import Extent, Level, entries, extents_of, list_levels, sync_stores
from siltstone.engine.entry import EXTENT, HEAD, extra, make_row, unpack_extents
from siltstone.engine.extent_list import DIRECT, ExtentList
from siltstone.engine.levels import LevelRef, SetInfo, to_root
from siltstone.engine.manifest import ManifestWriter
from siltstone.engine.postgres.archive_read import content
from siltstone.engine.postgres.archive_record import ArchivedFile, read_record
from siltstone.engine.postgres.archive_record import to_root as wal_root
from siltstone.engine.postgres.cell_store import CellStore, Piece
from siltstone.engine.postgres.cells import make_record
from siltstone.engine.postgres.grid import CELL
from siltstone.engine.postgres.pages import Digester
from siltstone.store import ChunkId, KeyFile, Store, Writer, chunk_id
from tests.backed_up import ignore, new_store, reopened
from tests.store.backends import MemoryBackend

OTHER = KeyFile(bytes(range(2, 34)))
RNG = random.Random(12)
LONG = [RNG.randbytes(40) for _ in range(DIRECT + 500)]
RELATION = RNG.randbytes(5 * CELL + 3 * 8192)
SEGMENT = RNG.randbytes(3 << 20)
NAME = "000000010000000000000007"


def row(path: bytes, size: int, extents: bytes, more: bytes) -> bytes:
    return make_row(path, HEAD.pack(stat.S_IFREG | 0o600, 0, 0, 1, size, 1, 1, 7, 0), extents, more)


def write_level(store: Store, writer: Writer) -> None:
    """A file whose extents are a list, and one of a database, patched."""
    ends = [40 * (number + 1) for number in range(len(LONG))]
    ids = writer.store_run(memoryview(b"".join(LONG)), ends)
    listed = ExtentList(writer)
    listed.add(b"".join(EXTENT.pack(chunk, 0, 40) for chunk in ids))
    lists, indirect = listed.finish()
    assert indirect
    cells = CellStore(writer, store.ring.id_key, checksummed=False)
    (piece,) = cells.store(memoryview(RELATION), [Piece(0, len(RELATION), 0, [])])
    (records,) = writer.store_run(memoryview(piece.records), [len(piece.records)])
    manifest = ManifestWriter(writer)
    manifest.add(b"/a", row(b"/a", 40 * len(LONG), lists, extra(indirect=True)))
    more = extra(cells=EXTENT.pack(records, 0, len(piece.records)), xattrs={b"user.x": b"1"})
    manifest.add(b"/b", row(b"/b", len(RELATION), piece.extents, more))
    index = tuple(manifest.finish())
    files = SetInfo("files", (b"/",), index, 2, 2, 0)
    level = Level(LevelRef("t", 0, 0), "full", None, 1, 2, "h", "", "", (files,), {}, (), {}, {})
    writer.commit(level.name, to_root(level))


def write_wal(writer: Writer) -> None:
    ends = [*range(1 << 20, len(SEGMENT) + 1, 1 << 20)]
    ids = writer.store_run(memoryview(SEGMENT), ends)
    (index,) = writer.store_run(memoryview(b"the index"), [9])
    size = 4 << 20
    file = ArchivedFile(
        name=NAME,
        system_identifier=42,
        timeline=1,
        size=size,
        used=len(SEGMENT),
        digest=blake3(SEGMENT + bytes(size - len(SEGMENT))).digest(),
        extents=b"".join(EXTENT.pack(chunk, 0, 1 << 20) for chunk in ids),
        index=(index, 9),
    )
    writer.commit(f"wal/42/00000001/{NAME}", wal_root(file))
    history = ArchivedFile(
        name="00000002.history", system_identifier=42, timeline=2, size=3, used=3, digest=blake3(b"1\t0").digest(),
        content=b"1\t0",
    )  # fmt: skip
    writer.commit("wal/42/00000002/00000002.history", wal_root(history))


def read_extents(store: Store, extents: Iterable[Extent]) -> bytes:
    parts = [(extent.id, extent.offset, extent.length) for extent in extents]
    return b"".join(store.read_chunk(chunk)[at : at + length] for chunk, at, length in parts if chunk is not None)


def test_all_that_holds_ids_is_made_anew() -> None:
    backend, target = MemoryBackend(), MemoryBackend()
    store = new_store(backend)
    with store.writer() as writer:
        write_level(store, writer)
        write_wal(writer)
    result = sync_stores(reopened(backend), Store.init(target, [(OTHER, "")]), report=ignore)
    assert (len(result.levels), result.wal) == (1, 2)
    other = Store.open(target, OTHER)
    (level,) = list_levels(other)
    long, relation = entries(other, level)
    assert long.indirect
    assert read_extents(other, extents_of(other, long)) == b"".join(LONG)
    assert read_extents(other, relation.extents) == RELATION
    assert relation.xattrs == {b"user.x": b"1"}
    digester = Digester(other.ring.id_key)
    parts = [RELATION[at : at + CELL] for at in range(0, len(RELATION), CELL)]
    wanted = b"".join(make_record(chunk_id(part, other.ring.id_key), digester.digests(part)) for part in parts)
    assert read_extents(other, unpack_extents(relation.cells)) == wanted
    record = read_record(other, 42, NAME)
    assert content(other, record)[: len(SEGMENT)] == SEGMENT
    assert record.index is not None
    assert other.read_chunk(ChunkId(record.index[0])) == b"the index"
    assert read_record(other, 42, "00000002.history").content == b"1\t0"
    again = sync_stores(reopened(backend), Store.open(target, OTHER), report=ignore)
    assert (again.there, again.levels, again.wal) == (3, [], 0)


def test_wal_can_be_left_out_and_goes_with_its_levels() -> None:
    backend = MemoryBackend()
    store = new_store(backend)
    with store.writer() as writer:
        write_level(store, writer)
        write_wal(writer)
    for words, wal, expected in (((), False, 0), (("0/0",), True, 0), ((), True, 2)):
        target = Store.init(MemoryBackend(), [(OTHER, "")])
        assert sync_stores(reopened(backend), target, words, wal=wal, report=ignore).wal == expected
