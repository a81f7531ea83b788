"""WAL out of the store: a file as PostgreSQL asks for it, whole, checked and at its full size.

Rule: what leaves here has the BLAKE3 that was recorded when it was archived; a segment of which only a part is there is
filled up with zeros, which is where recovery then finds its end. NotArchived is raised only where the catalog proves
that the file is beyond the end; a cluster of which the store has nothing at all is an error, never an end.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from siltstone.store import ChunkId, Corrupt, ObjectMissing, Store

from ..entry import EXTENT
from .archive_catalog import Catalog, archived_clusters, read_catalog
from .archive_errors import NotArchived, WalGap
from .archive_names import object_name
from .archive_record import ArchivedFile, digest_of, read_record
from .lsn import format_lsn
from .wal_names import LONG_HEADER, WalKind, WalSegment, parse_segment, parse_wal_file

if TYPE_CHECKING:
    from .commit_index import CommitIndex

# Roots that are read for the last commit: segments without any are of a server that only checkpoints.
LOOK_BACK: Final = 16


def fetch_wal(store: Store, system_identifier: int, name: str) -> tuple[ArchivedFile, bytearray]:
    """What recovery asks for under `%f`: its record and all its bytes.

    Raises NotArchived when it is proved to be beyond the end, WalGap when it must have been there, Malformed for what
    is no name of a WAL file, Corrupt, StoreError.
    """
    try:
        record = read_record(store, system_identifier, name)
    except ObjectMissing:
        record = _instead(store, system_identifier, name)
    return record, content(store, record)


def proved_absent(store: Store, system_identifier: int, names: Iterable[str]) -> list[str]:
    """Those of these names for which fetch_wal would raise NotArchived. Raises Malformed, Corrupt, StoreError."""
    catalog = read_catalog(store, system_identifier)
    return [name for name in names if name not in catalog.names and _is_beyond(store, catalog, name)]


def _is_beyond(store: Store, catalog: Catalog, name: str) -> bool:
    try:
        _source(store, catalog, name)
    except NotArchived:
        return True
    except WalGap:
        pass
    return False


def _instead(store: Store, system_identifier: int, name: str) -> ArchivedFile:
    catalog = read_catalog(store, system_identifier)
    record = read_record(store, system_identifier, _source(store, catalog, name))
    _refuse_short(store, catalog, record)
    return record


def _source(store: Store, catalog: Catalog, name: str) -> str:
    """The name of the object from which a file can be given that has none of its own."""
    if not catalog.timelines and not catalog.histories:
        others = ", ".join(map(str, archived_clusters(store))) or "of none at all"
        hint = f"it has WAL of these: {others}; is this the right store, and was anything archived?"
        raise WalGap(f"the store has no WAL of the cluster {catalog.system_identifier}", hint=hint)
    file = parse_wal_file(name, catalog.size)
    source = catalog.source_of(file.segment) if file.segment and file.kind is WalKind.SEGMENT else None
    if source is None:
        raise catalog.refuse_absent(name, file)
    return source


def _refuse_short(store: Store, catalog: Catalog, record: ArchivedFile) -> None:
    """Raises WalGap where only a part of a segment is there and another timeline says that its own went on."""
    index = read_commit_index(store, record)
    end = record.end if index is None else index.end
    for history in catalog.histories.values():
        left = [each.left for each in history.ancestors if each.timeline == record.timeline]
        if left and record.start <= left[0] and end + LONG_HEADER < left[0]:  # a switch may be behind a page's header
            what = f"{record.name} ends at {format_lsn(end)}, and timeline {record.timeline} went on to "
            hint = f"timeline {history.timeline} says so; fetch the segment from where that timeline was left"
            raise WalGap(what + format_lsn(left[0]), hint=hint)


def content(store: Store, record: ArchivedFile) -> bytearray:
    """All `size` bytes of an archived file. Raises Corrupt, ObjectMissing."""
    data = bytearray(record.size)
    at = len(record.content)
    data[:at] = record.content
    for chunk, offset, length in EXTENT.iter_unpack(record.extents):
        data[at : at + length] = memoryview(store.read_chunk(ChunkId(chunk)))[offset : offset + length]
        at += length
    if at != record.used or len(data) != record.size or digest_of(memoryview(data), record.size) != record.digest:
        raise Corrupt(object_name(record.system_identifier, record.name), "its chunks do not make the file it names")
    return data


def read_commit_index(store: Store, record: ArchivedFile) -> "CommitIndex | None":
    """When which transaction ended in a segment. Raises Corrupt, ObjectMissing, Malformed."""
    if record.index is None:
        return None
    from .commit_index import decode_index  # with numpy, which a fetch does without: 0.1 s of CPU time

    return decode_index(record.name, store.read_chunk(ChunkId(record.index[0])))


def last_commit(store: Store, catalog: Catalog, segments: Iterable[WalSegment]) -> int | None:
    """The time (microseconds since 1970 UTC) of the last commit in these segments, given the newest first.

    None where one of them is not there, or the first LOOK_BACK hold no commit. Raises Corrupt, ObjectMissing.
    """
    for segment in islice(segments, LOOK_BACK):
        name = catalog.source_of(segment)
        if name is None:
            return None
        record = read_record(store, catalog.system_identifier, name)
        if record.times is not None:
            return record.times[1]
    return None


def whole_after(store: Store, record: ArchivedFile, count: int) -> Iterator[ArchivedFile]:
    """Up to `count` whole segments that follow one on its timeline, without a gap."""
    segment: WalSegment = parse_segment(record.name[:24], record.size)
    for _ in range(count):
        segment = segment.next()
        try:
            yield read_record(store, record.system_identifier, segment.name(record.size))
        except ObjectMissing:
            return
