"""Carrying out a window of the plan: frames become files, and what is not made of frames is made.

Rule: a worker reads a stretch of one pack, frame by frame, each once, and hands every frame's plaintext to all that
need it before it goes on: small files in one call for many, pieces to the files that are assembled. A frame that is
damaged or missing fails the files that need it, and nothing else.
It decides nothing: what goes where is in the plan.
"""

import errno
import os
import resource
import stat
import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from siltstone.store import REMOTE_RUN, BackendError, Corrupt, ObjectMissing, PackName, Store

from .create import create_hardlink, create_special
from .entry import parse_row, row_path
from .errors import TargetError
from .metadata import apply_metadata, apply_open
from .restore_assembly import Site
from .restore_inplace import metadata_stands, special_stands
from .restore_plan import check_store
from .restore_rows import row_has_extra, row_mode, row_size
from .restore_small import SmallWriter
from .restore_window import Batch, Copy, FrameWork, Placed, in_batches

# What one worker takes at a time: at most a pack's worth of stored bytes, for buffers live as long as one stretch. Of a
# remote store one request's worth: with several requests a stretch, most workers had ended when the last still read.
STRETCH, REMOTE_STRETCH = 32 << 20, REMOTE_RUN
LEAST_STRETCH = 1 << 20

COPY_PIECE = 1 << 20

# Two fifths for directories: 13,000 of them cover most trees, whose others would be opened again and again.
MOST_DESCRIPTORS = 32768


class Stretch(NamedTuple):
    """Frames of one pack, ascending, for one worker."""

    pack: PackName
    numbers: list[int]


def stretches(packs: dict[PackName, dict[int, FrameWork]], workers: int, largest: int) -> Iterator[Stretch]:
    """Frames divided among workers: several stretches for each, so that all end at about one time; none of more than
    `largest` bytes as they are stored, unless it is one frame.
    """
    stored = sum(work.stored for frames in packs.values() for work in frames.values())
    most = max(LEAST_STRETCH, min(largest, stored // (4 * workers)))
    for pack, frames in packs.items():
        numbers: list[int] = []
        size = 0
        for number in sorted(frames):
            if 1 not in frames[number].needed:  # what begins in it was not planned: it is there
                continue
            if numbers and size + frames[number].stored > most:
                yield Stretch(pack, numbers)
                numbers, size = [], 0
            numbers.append(number)
            size += frames[number].stored
        if numbers:
            yield Stretch(pack, numbers)


def descriptors() -> tuple[int, int]:
    """How many directories may be kept open, and how many files be assembled at once (each holds three descriptors).

    The limit on descriptors is raised as far as that needs no right; some are left to the store.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(MOST_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (OSError, ValueError):  # a sandbox may refuse even that
            pass
    share = max(64, min(soft, MOST_DESCRIPTORS) - 256) // 5
    return 2 * share, share


class FrameWriter:
    """Writes what a window holds. Any thread; each call works on things of its own. All may raise TargetFull."""

    def __init__(self, store: Store, site: Site) -> None:
        self._store, self._site = store, site
        self._small = SmallWriter(site)
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Ask all calls to end after what they have at hand."""
        self._stopped.set()

    def write_stretch(self, stretch: Stretch, frames: dict[int, FrameWork]) -> None:
        """Read the frames and write all that needs them. Raises BackendError when nothing can be read any more."""
        left = list(stretch.numbers)
        needed = {number: some for number in left if (some := frames[number].some()) is not None}
        while left and not self._stopped.is_set():
            try:
                for number, plain in self._store.read_frames(stretch.pack, left, needed):
                    self._write_frame(frames.pop(number), plain)
                    if self._stopped.is_set():
                        break
                return
            except Corrupt as error:
                left = [number for number in left if number in frames]
                bad = [error.frame] if error.frame in left else left
                self._fail_frames([frames.pop(number) for number in bad], str(error))
                left = [number for number in left if number in frames]
            except (ObjectMissing, BackendError) as error:
                check_store(self._store, error)
                self._fail_frames([frames.pop(number) for number in left if number in frames], str(error))
                return

    def _write_frame(self, work: FrameWork, plain: memoryview) -> None:
        for batch in in_batches(work.small, work.others):
            self._small.write(batch, plain)
        for piece in work.pieces:
            piece.file.write(piece.at, plain[piece.start : piece.start + piece.length])
            piece.file.settle()

    def _fail_frames(self, works: Sequence[FrameWork], reason: str) -> None:
        for work in works:
            for *_, row in (*work.small, *work.others):
                self._site.tally.fail(row_path(row), reason, damaged=True)
            for piece in work.pieces:
                piece.file.fail(reason, damaged=True)

    def write_empty(self, batch: Batch) -> None:
        """Write files without content."""
        self._small.write(batch, b"")

    def copy(self, copies: Sequence[Copy]) -> None:
        """Copy what stays the same from the files that stand there."""
        buffer = memoryview(bytearray(COPY_PIECE))
        for copy in copies:
            if self._stopped.is_set():
                return
            try:
                self._copy_range(copy, buffer)
            except (OSError, TargetError) as error:
                copy.file.fail(f"what stands there cannot be read any more: {error}")

    def _copy_range(self, copy: Copy, buffer: memoryview) -> None:
        directory, name = self._site.target.place(copy.file.path)
        with directory:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory.fd)
        try:
            at, end = copy.at, copy.at + copy.length
            while at < end:
                got = os.preadv(fd, [buffer[: min(len(buffer), end - at)]], at)
                if not got:
                    raise OSError(errno.EIO, "it became shorter meanwhile")
                copy.file.write(at, buffer[:got])
                at += got
        finally:
            os.close(fd)
        copy.file.settle()

    def write_specials(self, placed: Sequence[Placed]) -> None:
        """Make symlinks, FIFOs, devices, sockets; one that stands there already only gets its metadata."""
        site, problems = self._site, self._site.tally.problems
        for path, row in placed:
            entry = parse_row(row)
            try:
                directory, name = site.target.place(path)
                with directory:
                    if special_stands(directory.fd, name, entry):
                        if not metadata_stands(directory.fd, name, entry, site):
                            apply_metadata(directory.fd, name, entry, site.owners, problems)
                        continue
                create_special(site.target, path, entry, site.owners, problems)
            except (OSError, TargetError) as error:
                site.refused(entry.path, error)

    def write_links(self, links: Sequence[tuple[bytes, Placed]]) -> list[Placed]:
        """Make further names of files that are restored. Those that must be restored on their own are returned."""
        return [one for first, one in links if not self._is_linked(first, one)]

    def _is_linked(self, first: bytes, one: Placed) -> bool:
        site = self._site
        if site.tally.has_failed(site.above(first)):
            return False  # something older may stand there
        try:
            if not create_hardlink(site.target, first, one.path, site.tally.problems):
                return False
        except FileNotFoundError:
            return False
        except (OSError, TargetError) as error:
            site.refused(row_path(one.row), error)
            return True
        if stat.S_ISREG(row_mode(one.row)):
            site.tally.restored(1, row_size(one.row), 0, one.path)
        return True

    def finish_directories(self, placed: Sequence[Placed]) -> None:
        """Give directories their metadata, in the order given: those that lie deeper come first."""
        site = self._site
        held, _ = site.target.directories(one.path for one in placed if not row_has_extra(one.row))
        try:
            for one, head in zip(placed, site.heads([one.row for one in placed]), strict=True):
                directory = held.get(one.path)
                if directory is None or not directory.fresh or not directory.finish(head):
                    self._finish_directory(one)
        finally:
            site.target.release(held.values())

    def _finish_directory(self, one: Placed) -> None:
        site, entry = self._site, parse_row(one.row)
        try:
            with site.target.directory(one.path) as directory:
                apply_open(directory.fd, entry, site.owners, site.tally.problems)
        except (OSError, TargetError) as error:
            site.refused(entry.path, error)
