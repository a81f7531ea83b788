"""WAL into the store: many files in one session, each checked, stored as chunks and committed by a root of its own.

Rule: nothing is called archived before its pack, its index segment and its root are durable. A file whose name is taken
by the same bytes is archived already (of a `.partial` those up to where its timeline was left: partial.py); other bytes
are kept aside under a name that says so, and refused. What is no WAL of this cluster, or not the segment that its name
says, is refused and not stored.

A segment is cut on a grid of CHUNK bytes, so that what was stored of an open one before is not stored again. One file's
fault does not hold up the others; the storage's fault ends all, and what was committed by then stays.
"""

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from blake3 import blake3
from msgspec import Struct
from msgspec.structs import replace

from siltstone.store import ObjectExists, ObjectMissing, SiltError, Store, StoreError, Writer

from ..entry import EXTENT
from .archive_errors import OtherBytes
from .archive_marks import Marks, NotProved
from .archive_names import object_name, other_name, parse_stored_name
from .archive_record import ArchivedFile, digest_of, read_record, to_root
from .commit_index import encode_index, make_index
from .errors import Malformed
from .history import parse_history
from .incoming import Incoming
from .partial import same_partial
from .wal_names import MAX_SEGMENT, MIN_SEGMENT, WalFile, WalKind, parse_wal_file
from .wal_records import read_records
from .wal_segment import check_segment, identify_segment

# Half a frame: two neighbours compress together, and of an open segment at most so much is stored again each time.
CHUNK: Final = 1 << 20
# As many segments are in memory at once, 16 MiB each by default; large segments are taken one by one.
THREADS: Final = 3
_LARGE: Final = 64 << 20


class Outcome(Struct, frozen=True):
    """What became of a file: `known` if the archive had it, `error` if it was refused and is not archived."""

    name: str
    object: str
    known: bool = False
    error: SiltError | None = None


def archive_files(store: Store, system_identifier: int, files: Sequence[Incoming]) -> list[Outcome]:
    """Archive files of a cluster in one session: what became of each, in their order.

    Raises StoreError when the storage failed: some may be archived then, and all can be given again.
    """
    (outcomes,) = archive_batches(store, system_identifier, [files])
    return outcomes


def archive_batches(
    store: Store, system_identifier: int, batches: Iterable[Sequence[Incoming]]
) -> Iterator[list[Outcome]]:
    """The same for batch after batch in one session: what is yielded is durable. The next batch is asked for then.

    Raises StoreError as archive_files does.
    """
    with store.writer() as writer, ThreadPoolExecutor(THREADS, "silt-wal") as pool:
        session = _Session(store, writer, system_identifier)
        for files in batches:
            if any(file.size > _LARGE for file in files):
                prepared = [session.prepare(file) for file in files]
            else:
                prepared = list(pool.map(session.prepare, files))
            writer.flush()
            outcomes = list(pool.map(session.commit, prepared))
            session.mark(prepared, outcomes)
            yield outcomes


class _Prepared(Struct, frozen=True):
    """A file whose chunks are stored: its record is to be committed under `name`, unless it is settled already."""

    outcome: Outcome
    record: ArchivedFile | None = None


class _Session:
    """Its methods are called by several threads."""

    def __init__(self, store: Store, writer: Writer, system_identifier: int) -> None:
        self._store, self._writer, self._system = store, writer, system_identifier
        self._marks = Marks(store, writer)
        self._reading = threading.Lock()  # a store's chunks are read by one thread at a time

    def prepare(self, file: Incoming) -> _Prepared:
        """Check a file and store its bytes. A fault of the file is the outcome's; one of the storage is raised."""
        name = object_name(self._system, file.name)
        try:
            with file.opened() as data:
                record = self._record(file, data)
                if self._marks.needed and self._is_marked(name, record):
                    return _Prepared(Outcome(file.name, name, known=True))
                known = self._known(record)
                if known is not None and self._is_same(known, record, data):
                    return _Prepared(Outcome(file.name, name, known=True))
                return _Prepared(Outcome(file.name, name), self._stored(record, data, aside=known is not None))
        except StoreError:
            raise
        except SiltError as error:
            return _Prepared(Outcome(file.name, name, error=error))
        except OSError as error:
            what = SiltError(f"{file.name}: {error.strerror}", hint="PostgreSQL wants it archived: is it still there?")
            return _Prepared(Outcome(file.name, name, error=what))

    def commit(self, prepared: _Prepared) -> Outcome:
        """Create the root of a file that was prepared and is durable."""
        outcome, record = prepared.outcome, prepared.record
        if record is None:
            return outcome
        aside = object_name(self._system, record.name)
        try:
            self._writer.commit(aside, to_root(record))
        except ObjectExists:
            if aside != outcome.object:
                return self._refused(outcome, aside)  # these very bytes are kept aside already
            if self._marks.needed:
                return replace(outcome, error=NotProved(outcome.name))  # another session was quicker
            known = read_record(self._store, self._system, record.name)
            if known.digest == record.digest:
                return Outcome(outcome.name, outcome.object, known=True)  # another session was quicker
            return self._refused(outcome, object_name(self._system, self._keep_aside(record)))
        return outcome if aside == outcome.object else self._refused(outcome, aside)

    def _keep_aside(self, record: ArchivedFile) -> str:
        renamed = _renamed(record)
        try:
            self._writer.commit(object_name(self._system, renamed.name), to_root(renamed))
        except ObjectExists:
            pass
        return renamed.name

    def _refused(self, outcome: Outcome, kept: str) -> Outcome:
        return Outcome(outcome.name, outcome.object, error=OtherBytes(outcome.name, kept))

    def mark(self, prepared: Sequence[_Prepared], outcomes: Sequence[Outcome]) -> None:
        """Remember what was committed here, where the host cannot read it back."""
        new = [
            (outcome.object, each.record.digest)
            for each, outcome in zip(prepared, outcomes, strict=True)
            if each.record is not None and outcome.error is None and not outcome.known
        ]
        self._marks.keep(new)

    def _is_marked(self, name: str, record: ArchivedFile) -> bool:
        """Whether the file is archived, for a host that cannot read the root. Raises NotProved."""
        try:
            self._store.backend.size(name)
        except ObjectMissing:
            return False
        if self._marks.has(name, record.digest):
            return True
        raise NotProved(record.name)

    def _is_same(self, known: ArchivedFile, record: ArchivedFile, data: memoryview) -> bool:
        if known.digest == record.digest:
            return True
        if not record.name.endswith(".partial"):
            return False
        with self._reading:
            return same_partial(self._store, known, data[: record.used])

    def _known(self, record: ArchivedFile) -> ArchivedFile | None:
        if self._marks.needed:
            return None  # the name is free, or what has it is marked
        try:
            return read_record(self._store, self._system, record.name)
        except ObjectMissing:
            return None

    def _record(self, file: Incoming, data: memoryview) -> ArchivedFile:
        """What will be stored, its chunks aside. Raises Malformed."""
        if file.name.endswith((".history", ".backup")):
            return self._text(file.name, data)
        head, version = identify_segment(file.name, data)
        parsed = parse_stored_name(file.name, head.segment_size)
        segment = parsed.file.segment
        assert segment is not None
        complete = parsed.open_used is None and parsed.file.kind is WalKind.SEGMENT
        facts = check_segment(
            file.name, data, segment, head.segment_size, system_identifier=self._system, complete=complete
        )
        used = facts.used if parsed.open_used is None else len(data)  # a stream may end in zeros that are WAL
        index = make_index(facts, read_records(file.name, data, facts, complete=complete))
        (chunk,) = self._writer.store_run(memoryview(encoded := encode_index(index)), [len(encoded)])
        return ArchivedFile(
            name=file.name,
            system_identifier=self._system,
            timeline=segment.timeline,
            start=facts.start,
            size=facts.size,
            used=used,
            digest=digest_of(data[:used], facts.size),
            version=version,
            index=(chunk, len(encoded)),
            times=index.times,
            stored_ns=time.time_ns(),
        )

    def _text(self, name: str, data: memoryview) -> ArchivedFile:
        """A history, or the notes of a backup: small, and kept in the root itself."""
        parsed = _parse_text_name(name)
        if parsed.kind is WalKind.HISTORY:
            parse_history(name, parsed.timeline, bytes(data))
        return ArchivedFile(
            name=name,
            system_identifier=self._system,
            timeline=parsed.timeline,
            size=len(data),
            used=len(data),
            digest=blake3(data).digest(),
            stored_ns=time.time_ns(),
            content=bytes(data),
        )

    def _stored(self, record: ArchivedFile, data: memoryview, *, aside: bool) -> ArchivedFile:
        if not record.content:
            record = replace(record, extents=self._store_chunks(data[: record.used]))
        return _renamed(record) if aside else record

    def _store_chunks(self, data: memoryview) -> bytes:
        ends = [*range(CHUNK, len(data), CHUNK), len(data)]
        starts = [0, *ends]
        ids = self._writer.store_run(data, ends)
        return b"".join(EXTENT.pack(i, 0, end - start) for i, start, end in zip(ids, starts, ends, strict=False))


def _parse_text_name(name: str) -> WalFile:
    """A history's name tells no size of segments; that of a backup's notes is right for some sizes."""
    size = MIN_SEGMENT
    while True:
        try:
            return parse_wal_file(name, size)
        except Malformed:
            if size == MAX_SEGMENT:
                raise
        size *= 2


def _renamed(record: ArchivedFile) -> ArchivedFile:
    return replace(record, name=other_name(record.name, record.digest))
