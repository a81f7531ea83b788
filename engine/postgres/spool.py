"""The spool: segments that recovery will ask for next, laid ready while it replays the one before.

Rule: only whole segments, whose name means the same bytes for ever, and only those that follow on the timeline without
a gap; AHEAD bytes at most. A file appears under its name when it is complete. It is on its way to the disk then, for
PostgreSQL will wait until it is there, and nobody waits here: a spool is not believed after the machine went down.
"""

import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

from siltstone.store import Store

from .archive_read import content, whole_after
from .archive_record import read_record

AHEAD: Final = 128 << 20
MOST_FILES: Final = 64
PATIENCE: Final = 3.0  # seconds without a file being taken after which nobody seems to want more
IDLE: Final = ".idle"  # there while the spool is full: what is not in it then will not come
_POLL: Final = 0.01


def fill_spool(store: Store, system_identifier: int, name: str, spool: Path) -> None:
    """Lay what follows a segment ready, and more as it is taken, up to the archive's end or until nobody takes any.

    Whoever calls holds the spool's lock. Other files in it are removed. Raises Corrupt, ObjectMissing, StoreError,
    OSError.
    """
    last = read_record(store, system_identifier, name)
    limit = min(MOST_FILES, max(2, AHEAD // last.size))
    _tidy(spool, name)
    # While one segment is decompressed, the one before is written, which takes as long, and those before are synced.
    with ThreadPoolExecutor(1, "silt-sync") as syncing, ThreadPoolExecutor(1, "silt-spool") as laying:
        while True:
            room = limit - len(_laid(spool))
            new = 0
            laid: Future[None] | None = None
            for following in whole_after(store, last, room):
                if not (spool / following.name).exists():
                    data = content(store, following)
                    if laid is not None:
                        laid.result()
                    laid = laying.submit(_lay, data, spool, following.name, syncing)
                last = following
                new += 1
            if laid is not None:
                laid.result()
            if new < room or not _wait_for_room(spool, limit):
                return


def _laid(spool: Path) -> list[str]:
    return [name for name in os.listdir(spool) if not name.startswith(".")]


def _tidy(spool: Path, name: str) -> None:
    for each in _laid(spool):
        if each[:8] != name[:8] or each <= name:
            (spool / each).unlink(missing_ok=True)


def _wait_for_room(spool: Path, limit: int) -> bool:
    """Wait until half of the spool was taken; False when nothing is taken for too long."""
    idle = spool / IDLE
    idle.touch(0o600)
    left, end = limit, time.monotonic() + PATIENCE
    try:
        while time.monotonic() < end:
            now = len(_laid(spool))
            if now <= limit // 2:
                return True
            if now < left:
                left, end = now, time.monotonic() + PATIENCE
            time.sleep(_POLL)
        return False
    finally:
        idle.unlink(missing_ok=True)


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
