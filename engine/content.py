"""Contents: from files that the walk found to the rows that say where their chunks are.

Small files go in batches: one call reads a batch into a buffer with the interpreter lock released, its chunks are
hashed and claimed here, and the workers compress and seal the new ones. A large or sparse file is streamed
(stream.py). Rule: files are never held open longer than they are read; one that changes, vanishes or cannot be read is
a warning.
"""

import errno
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import NamedTuple, Self

from msgspec import Struct, field

from .cut import WHOLE, Cutter, suits_coarse
from .entry import EXTENT, HEAD, extra, make_row, size_of, with_size
from .events import Report, Warned, show_path
from .extent_list import OnList
from .files import open_to_read, read_files, short_path, stat_of
from .metadata import MetadataError, capture
from .owners import SeenOwners
from .scan import BLOCKS_AT, DEV_AT, REGULAR, TYPE_AT
from .stream import Stream, pack_chunks
from .teller import Teller
from .workers import BUFFER, ChunkSink, Workers

BATCH_FILES = 2048

ReadResult = tuple[int, int, int, bytes, int, int]  # of files.read_files: error, start, length, stat, xattrs, flags


class Pending(Struct):
    """A file on its way. Once `known`, `row` is its row, or None when it was left out; `twin` is another name before
    it. `alone`: the numbers of its inode were another file's earlier in the scan, and must not link the two.
    """

    path: bytes
    stat: bytes
    link: tuple[int, int] | None
    alone: bool = False
    twin: "Pending | None" = None
    known: bool = False
    row: bytes | None = None


class Batch(Struct):
    """Small files that are read together."""

    files: list[Pending] = field(default_factory=list)
    bytes: int = 0

    def takes(self, size: int) -> bool:
        """Whether a file of this size still fits."""
        return self.bytes + size <= BUFFER and len(self.files) < BATCH_FILES


class _Reading(NamedTuple):
    """A batch that is being read."""

    batch: Batch
    buffer: memoryview
    results: "Future[list[ReadResult]]"

    def done(self) -> bool:
        return self.results.done()


class _Streaming(NamedTuple):
    """A large file that was read; what is still open are its extents."""

    file: Pending
    stream: Stream
    row: Callable[[bytes, bool], bytes]  # of the extents, and whether they are indirect

    def done(self) -> bool:
        return self.stream.done()


class Contents:
    """Reads and stores files' contents. A context manager; its methods belong to one thread."""

    def __init__(
        self, sink: ChunkSink, gear: bytes, teller: Teller, report: Report, on_list: OnList | None = None
    ) -> None:
        self._workers, self._on_list = Workers(sink), on_list
        self._teller, self._report = teller, report
        self._cutter, self._coarse = Cutter(gear), Cutter(gear, coarse=True)
        self._under_way: deque[_Reading | _Streaming] = deque()
        self._batches = 0
        self.owners = SeenOwners()

    def __enter__(self) -> Self:
        self._workers.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._workers.__exit__(*exception)

    # ---- small files

    def submit(self, batch: Batch) -> None:
        """Have a batch read in the background. Waits for a free buffer, and settles what was read meanwhile."""
        while self._batches >= self._workers.count:  # each holds a buffer until it is settled
            self.settle()
        buffer = self._workers.take_buffer()
        self._under_way.append(_Reading(batch, buffer, self._workers.submit(_read, batch, buffer)))
        self._batches += 1

    def settle(self) -> bool:
        """Wait for the oldest batch or large file, and know its rows. False when nothing is under way.

        Small files are hashed here, in the calling thread, on purpose: hashing releases the interpreter lock for each
        file, and if workers did it, each release would be a struggle with the scan (measured: 45 s instead of 10 for
        200,000 files).
        """
        if not self._under_way:
            return False
        oldest = self._under_way.popleft()
        if isinstance(oldest, _Streaming):
            oldest.file.row = oldest.row(*oldest.stream.finish())
            oldest.file.known = True
        else:
            self._batches -= 1
            self._settle_batch(*oldest)
        return True

    def _settle_batch(self, batch: Batch, buffer: memoryview, reading: "Future[list[ReadResult]]") -> None:
        # A read that still stands behind other work is done here: the workers would be idle before its frames come.
        results = _read(batch, buffer) if reading.cancel() else reading.result()
        ends, firsts = self._cut(results, buffer)
        ids, frames = self._workers.sink.choose(buffer, ends)
        self._workers.write(frames, buffer)
        for file, result, first, behind in zip(batch.files, results, firsts, (*firsts[1:], len(ends)), strict=True):
            if behind - first == 1:
                extents = EXTENT.pack(ids[first], 0, result[2])
            else:
                extents = pack_chunks(ids[first:behind], ends[first:behind], result[1])
            self._finish(file, result, extents)
        self._teller.read(batch.files[-1].path, ends[-1] if ends else 0)

    def ready(self) -> bool:
        """Whether `settle` would not wait."""
        return bool(self._under_way) and self._under_way[0].done()

    def finish(self) -> None:
        """Wait until everything is written. Raises what writing raised."""
        while self.settle():
            pass
        self._workers.finish()

    def _cut(self, results: Sequence[ReadResult], buffer: memoryview) -> tuple[list[int], list[int]]:
        """Where the chunks of a batch end, and for each file how many there are before its own."""
        ends: list[int] = []
        firsts: list[int] = []
        for _, start, length, _, _, _ in results:
            firsts.append(len(ends))
            if length > WHOLE:
                ends += [start + end for end in self._cutter.ends(buffer[start : start + length], last=True)]
            elif length:
                ends.append(start + length)
        return ends, firsts

    def _finish(self, file: Pending, result: ReadResult, extents: bytes) -> None:
        error, _, length, stat, xattr_bytes, flags = result
        file.known = True
        head = file.stat[: HEAD.size]
        if error:
            self._left_out(file, error)
        elif stat[: HEAD.size] != head or length != size_of(head):
            self.store_large(file)  # it changed since the scan: read it again, watching it
        elif xattr_bytes or flags or file.link:
            xattrs, flags = self._capture(file, file.path, stat) if xattr_bytes else ({}, flags)
            file.row = make_row(file.path, head, extents, extra(xattrs=xattrs, flags=flags, link=file.link))
        else:
            file.row = make_row(file.path, head, extents)

    # ---- large files

    def store_large(self, file: Pending) -> None:
        """Read one file, large or sparse or unsteady, and have it stored; its row is known once it is settled."""
        file.known = False
        try:
            fd = open_to_read(file.path)
        except OSError as error:
            self._left_out(file, error.errno or errno.EIO)
            return
        try:
            before = stat_of(fd)
            if before[TYPE_AT] & 0xF0 != REGULAR:
                self._left_out(file, errno.ENOTSUP)
                return
            cutter = self._coarse if suits_coarse(fd, size_of(before)) else self._cutter
            stream = Stream(self._workers, cutter, partial(self._teller.read, file.path), on_list=self._on_list)
            stream.read(fd, size_of(before))
            after = stat_of(fd)
            xattrs, flags = self._capture(file, fd, after)
            more_follows = bool(os.pread(fd, 1, stream.read_end))  # it grows; or its size is no size, as in /proc
            changed = after[: HEAD.size] != before[: HEAD.size] or stream.read_end != size_of(before) or more_follows
            if changed:
                self._report(Warned("changed", show_path(file.path), "it changed while it was read"))
            link = None if file.alone else link_of(after)
            head = with_size(after[: HEAD.size], stream.read_end)

            def row(extents: bytes, indirect: bool) -> bytes:
                more = extra(xattrs=xattrs, flags=flags, link=link, changed=changed, indirect=indirect)
                return make_row(file.path, head, extents, more)

            self._under_way.append(_Streaming(file, stream, row))
        except OSError as error:
            self._left_out(file, error.errno or errno.EIO)
        finally:
            os.close(fd)

    # ---- rows

    def _left_out(self, file: Pending, error: int) -> None:
        file.known = True
        if error in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENOTSUP):
            said = Warned("vanished", show_path(file.path), "it vanished, or became something else, before it was read")
        else:
            said = Warned("unreadable", show_path(file.path), os.strerror(error))
        self._report(said)

    def _capture(self, file: Pending, where: bytes | int, stat: bytes) -> tuple[dict[bytes, bytes], int]:
        try:
            xattrs, flags = capture_anywhere(where, stat)
            self.owners.add_acls(xattrs)
            return xattrs, flags
        except MetadataError as error:
            self._report(Warned("metadata", show_path(file.path), str(error)))
            return error.xattrs, error.flags
        except FileNotFoundError:
            return {}, 0  # removed after it was read: its content is whole


def _read(batch: Batch, buffer: memoryview) -> list[ReadResult]:
    return read_files([file.path for file in batch.files], [size_of(file.stat) for file in batch.files], buffer)


ONE_NAME = b"\1\0\0\0"
"""The bytes 12 to 15 of the stat of a file of one name."""


def link_of(stat: bytes) -> tuple[int, int] | None:
    """(device, inode) of a file of several names, by its packed stat."""
    if int.from_bytes(stat[12:16], "little") < 2:
        return None
    return int.from_bytes(stat[DEV_AT:BLOCKS_AT], "little"), int.from_bytes(stat[40:48], "little")


def capture_anywhere(where: bytes | int, stat: bytes) -> tuple[dict[bytes, bytes], int]:
    """See metadata.capture, also of a path that is longer than the kernel takes."""
    mode = int.from_bytes(stat[:4], "little")
    if isinstance(where, int):
        return capture(where, mode)
    with short_path(where) as (directory, name):
        return capture(name, mode, dir_fd=directory)
