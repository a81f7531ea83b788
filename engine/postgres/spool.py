"""The spool: segments that recovery will ask for next, laid ready while it replays the one before.

Rule: only whole segments, whose name means the same bytes for ever, and only those that follow on the timeline without
a gap; AHEAD bytes at most. A file appears under its name when it is complete. Nothing waits for the disk here: whoever
hands a file on does, and a spool is not believed after the machine went down.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from siltstone.store import Store

from .archive_read import content, whole_after
from .archive_record import ArchivedFile, read_record

AHEAD: Final = 128 << 20
MOST_FILES: Final = 64


def fill_spool(store: Store, system_identifier: int, name: str, spool: Path) -> int:
    """Lay what follows a segment ready: how many files are new. Raises Corrupt, ObjectMissing, StoreError, OSError.

    Files of other timelines, and of segments up to this one, are removed.
    """
    record = read_record(store, system_identifier, name)
    there = set()
    for each in os.listdir(spool):
        if each[:8] == name[:8] and len(each) == len(name) and each > name:
            there.add(each)
        elif not each.startswith("."):
            with suppress(FileNotFoundError):
                (spool / each).unlink()
    new = 0
    for following in whole_after(store, record, min(MOST_FILES, max(2, AHEAD // record.size))):
        if following.name not in there:
            _lay(store, following, spool)
            new += 1
    return new


def _lay(store: Store, record: ArchivedFile, spool: Path) -> None:
    temporary = spool / f".{record.name}"
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb", buffering=0) as file:
        file.write(content(store, record))
    temporary.rename(spool / record.name)
