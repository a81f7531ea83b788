"""The spool: segments that recovery will ask for next, laid ready while it replays the one before.

Rule: only whole segments, whose name means the same bytes for ever, and only those that follow on the timeline without
a gap; AHEAD bytes at most. A file appears under its name when it is complete. It is on its way to the disk then, for
PostgreSQL will wait until it is there, and nobody waits here: a spool is not believed after the machine went down.

At the archive's end recovery asks for what is beyond it, and once more for its last segment. Who fills the spool stays
for that: it lays the segment ready again, and notes in BEYOND which names are proved to be absent. A note counts while
the archive is as it was before the proof, and for VALID seconds at most, by a clock that goes on while the
machine sleeps and that nobody sets; meanwhile it is proved anew.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Self

from siltstone.store import Store

from .archive_read import content, proved_absent, whole_after
from .archive_record import ArchivedFile, read_record
from .wal_names import history_name, parse_segment

AHEAD: Final = 128 << 20
MOST_FILES: Final = 64
PATIENCE: Final = 3.0  # seconds without a file being taken after which nobody seems to want more
IDLE: Final = ".idle"  # there while the spool is full, or holds all there is: what is not in it then will not come
BEYOND: Final = ".beyond"  # lines: until when it counts (CLOCK_BOOTTIME, ns), the folders' state, what is proved absent
VALID: Final = 2.0  # seconds; wal_quick.py and silt_wal.c believe no note that says more
_LOOK: Final = 1.0  # seconds between two proofs, or ten times what one took
_POLL: Final = 0.01


def fill_spool(
    store: Store, system_identifier: int, name: str, spool: Path, state: Callable[[], list[str] | None]
) -> None:
    """Lay what follows a segment ready, and more as it is taken or archived, until nobody takes any.

    `state`: lines that change whenever anything comes into the archive; None where a change might not show. Whoever
    calls holds the spool's lock. Other files in it are removed. Raises Corrupt, ObjectMissing, StoreError, OSError.
    """
    last = read_record(store, system_identifier, name)
    limit = min(MOST_FILES, max(2, AHEAD // last.size))
    _tidy(spool, name)
    with _Filling(store, spool, state) as filling:
        while True:
            room = max(0, limit - len(_laid(spool)))
            following = filling.lay(whole_after(store, last, room))
            last = following[-1] if following else last
            if not (_wait_for_room(spool, limit) if len(following) == room else filling.wait_at_end(last)):
                return


class _Filling:
    """Lays segments ready: while one is decompressed, the one before is written, which takes as long, and those before
    are synced.
    """

    def __init__(self, store: Store, spool: Path, state: Callable[[], list[str] | None]) -> None:
        self._store, self._spool, self._state = store, spool, state
        self._syncing, self._laying = ThreadPoolExecutor(1, "silt-sync"), ThreadPoolExecutor(1, "silt-spool")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._laying.shutdown()
        self._syncing.shutdown()

    def lay(self, following: Iterable[ArchivedFile]) -> list[ArchivedFile]:
        """Lay those ready that are not; all of them."""
        done = []
        laid: Future[None] | None = None
        for record in following:
            if not (self._spool / record.name).exists():
                data = content(self._store, record)
                if laid is not None:
                    laid.result()
                laid = self._laying.submit(_lay, data, self._spool, record.name, self._syncing)
            done.append(record)
        if laid is not None:
            laid.result()
        return done

    def wait_at_end(self, last: ArchivedFile) -> bool:
        """Tell that the archive ends behind its last segment until more is archived; False when nothing is taken for
        too long, or recovery may go on along another timeline.
        """
        if not self._note_what_is_beyond(last):
            return False
        looking, end = time.monotonic() + _LOOK, time.monotonic() + PATIENCE
        left, again = _laid(self._spool), False
        with _idle(self._spool):
            while (now := time.monotonic()) < end:
                if now >= looking:
                    if any(whole_after(self._store, last, 1)):
                        return True
                    if not self._note_what_is_beyond(last):
                        return False
                    looking = time.monotonic() + max(_LOOK, 10 * (time.monotonic() - now))
                there = _laid(self._spool)
                if last.name not in there:
                    self.lay([last])
                    again = True
                if there != left:
                    left, end = _laid(self._spool), time.monotonic() + PATIENCE
                time.sleep(_POLL)
        if again:
            (self._spool / last.name).unlink(missing_ok=True)
        return False

    def _note_what_is_beyond(self, last: ArchivedFile) -> bool:
        """Write BEYOND, if the archive stands still; False where it has a timeline to which recovery may go on."""
        begun, state = time.clock_gettime_ns(time.CLOCK_BOOTTIME), self._state()
        segment = parse_segment(last.name, last.size)
        further, after = history_name(segment.timeline + 1), segment.next()
        asked = [after.name(last.size), after.next().name(last.size), further, history_name(segment.timeline)]
        beyond = proved_absent(self._store, last.system_identifier, asked)
        if further not in beyond:
            return False
        if state is not None:
            temporary = self._spool / f"{BEYOND}.new"
            lines = [str(begun + int(VALID * 1e9)), *state, *beyond]
            temporary.write_text("".join(f"{line}\n" for line in lines), encoding="ascii")
            temporary.rename(self._spool / BEYOND)
        return True


def _laid(spool: Path) -> list[str]:
    return sorted(name for name in os.listdir(spool) if not name.startswith("."))


def _tidy(spool: Path, name: str) -> None:
    for each in _laid(spool):
        if each[:8] != name[:8] or each <= name:
            (spool / each).unlink(missing_ok=True)


@contextmanager
def _idle(spool: Path) -> Iterator[None]:
    """Nobody waits for a file meanwhile."""
    idle = spool / IDLE
    idle.touch(0o600)
    try:
        yield
    finally:
        idle.unlink(missing_ok=True)
        (spool / BEYOND).unlink(missing_ok=True)


def _wait_for_room(spool: Path, limit: int) -> bool:
    """Wait until half of the spool was taken; False when nothing is taken for too long."""
    left, end = limit, time.monotonic() + PATIENCE
    with _idle(spool):
        while time.monotonic() < end:
            now = len(_laid(spool))
            if now <= limit // 2:
                return True
            if now < left:
                left, end = now, time.monotonic() + PATIENCE
            time.sleep(_POLL)
        return False


def _lay(data: bytearray, spool: Path, name: str, syncing: ThreadPoolExecutor) -> None:
    temporary = spool / f".{name}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(fd, "wb", buffering=0, closefd=False) as file:
        file.write(data)
    temporary.rename(spool / name)
    syncing.submit(_sync, fd)


def _sync(fd: int) -> None:
    with suppress(OSError):  # who takes the file syncs it, and is told
        os.fsync(fd)
    os.close(fd)
