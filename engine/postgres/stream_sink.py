"""The sink that stores a stream: segments as they become full, and the open one every so often.

Rule: `flushed` rises after the store's commit and never before. A thread stores while the receiver goes on; what it
fails with is raised at the receiver's next call, and the stream begins again from what the archive has. An open part is
replaced: by a longer one, by the whole segment, or by the `.partial` in which its timeline was left.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Self

from siltstone.store import ObjectMissing, Store

from .archive import archive_files
from .archive_catalog import Catalog
from .archive_errors import OtherBytes
from .archive_names import object_name, open_name
from .incoming import Incoming, incoming_bytes
from .segment_assembler import Assembled, SegmentAssembler
from .wal_names import LONG_HEADER, WalSegment, history_name

# Three segments may wait for the storage while a fourth fills; then the server is not read from, and waits. Of segments
# larger than LARGE, which can have a gigabyte, one waits.
BUFFERS = 4
LARGE = 64 << 20


class StoreSink:
    """A wal_sink.Sink. A context manager: leaving it without an error makes what has come durable, the open part too.

    `durable` is called, by any thread, with the names that are durable now.
    """

    def __init__(
        self, store: Store, catalog: Catalog, size: int, *, open_every: float, durable: Callable[[list[str]], None]
    ) -> None:
        self._store, self._system, self._size = store, catalog.system_identifier, size
        self._open_every, self._durable = open_every, durable
        self._assembler = SegmentAssembler(size, buffers=BUFFERS if size <= LARGE else 2)
        self._parts = {
            WalSegment(timeline, number): set(names)
            for timeline, files in catalog.timelines.items()
            for number, names in files.part_names.items()
        }
        self._state = threading.Condition()
        self._full: deque[Assembled] = deque()
        self._storing = self._urgent = self._ending = False
        self._flushed = self._part_end = 0
        self._next_part = time.monotonic() + open_every
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="silt-wal-store", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._state:
            self._urgent = self._urgent or kind is None
            if kind is not None:
                self._full.clear()
            self._ending = True
            self._state.notify_all()
        self._thread.join()
        if kind is None:
            self._check()

    @property
    def room(self) -> bool:
        with self._state:
            self._check()
            return self._assembler.room

    @property
    def flushed(self) -> int:
        return self._flushed

    def begin(self, timeline: int, lsn: int) -> None:
        self._settle()
        with self._state:
            self._assembler.begin(timeline, lsn)
            self._flushed = self._part_end = lsn

    def write(self, lsn: int, data: memoryview) -> None:
        with self._state:
            self._check()
            full = self._assembler.write(lsn, data)
            self._full.extend(full)
            if full:
                self._state.notify_all()

    def hurry(self) -> None:
        with self._state:
            self._urgent = True
            self._state.notify_all()

    def leave(self, timeline: int, lsn: int) -> None:
        self._settle()
        used = lsn % self._size
        with self._state:
            part = self._assembler.open_part
            data = bytes(part.data[:used]) if part is not None else b""
        if part is not None and len(data) > LONG_HEADER:
            name = part.segment.partial_name(self._size)
            try:
                self._archive([incoming_bytes(name, data)])
            except OtherBytes:
                pass  # the server archived its own, which ends in what is void; both hold the WAL up to the switch
            self._drop_parts(part.segment, keep="")
        with self._state:
            self._flushed = max(self._flushed, lsn)

    def history(self, timeline: int, content: bytes) -> None:
        self._archive([incoming_bytes(history_name(timeline), content)])

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def _settle(self) -> None:
        """Wait until every full segment is durable."""
        with self._state:
            self._state.wait_for(lambda: self._error is not None or not (self._full or self._storing))
            self._check()

    # ---- the thread that stores

    def _run(self) -> None:
        try:
            while self._step():
                pass
        except BaseException as error:  # noqa: BLE001  # raised in the receiver's thread
            with self._state:
                self._error, self._storing = error, False
                self._state.notify_all()
            self._durable([])

    def _step(self) -> bool:
        with self._state:
            self._state.wait_for(lambda: self._full or self._urgent or self._ending, self._patience())
            batch = list(self._full)
            self._full.clear()
            part = self._open_part() if self._urgent or self._patience() == 0 else None
            ending, self._storing = self._ending, True
            self._urgent = False
        files = [incoming_bytes(each.segment.name(self._size), each.data) for each in batch]
        if part is not None:
            files.append(incoming_bytes(open_name(part.segment, self._size, len(part.data)), part.data))
        if files:
            self._archive(files)
        for each in batch:
            self._drop_parts(each.segment, keep="")
        if part is not None:
            self._drop_parts(part.segment, keep=files[-1].name)
            self._parts.setdefault(part.segment, set()).add(files[-1].name)
        self._settled(batch, part)
        if files:
            self._durable([file.name for file in files])
        return not ending

    def _settled(self, batch: list[Assembled], part: Assembled | None) -> None:
        with self._state:
            ends = [each.segment.end(self._size) for each in batch]
            if part is not None:
                self._part_end = part.segment.start(self._size) + len(part.data)
                ends.append(self._part_end)
            for each in batch:
                self._assembler.release(each)
            self._flushed = max([self._flushed, *ends])
            self._storing = False
            if self._patience() == 0:
                self._next_part = time.monotonic() + self._open_every
            self._state.notify_all()

    def _patience(self) -> float | None:
        """Seconds until the open part is due, None if never."""
        return max(0.0, self._next_part - time.monotonic()) if self._open_every else None

    def _open_part(self) -> Assembled | None:
        """A copy of what came of the open segment, if it is more than what was stored of it. The state is held."""
        part = self._assembler.open_part
        if part is None or len(part.data) <= LONG_HEADER:
            return None
        if part.segment.start(self._size) + len(part.data) <= self._part_end:
            return None
        return Assembled(part.segment, memoryview(bytes(part.data)))

    def _archive(self, files: list[Incoming]) -> None:
        for outcome in archive_files(self._store, self._system, files):
            if outcome.error is not None:
                raise outcome.error

    def _drop_parts(self, segment: WalSegment, *, keep: str) -> None:
        names: Iterable[str] = self._parts.pop(segment, set())
        for name in names:
            if name == keep:
                continue
            try:
                self._store.backend.delete(object_name(self._system, name))
            except ObjectMissing:
                pass
