"""Whether a file is as the base level has it, by its stat alone.

Rule: an equal head (type, size, times, inode, ...) proves an equal content, but for a file that changed while it was
read, and one whose last change fell into the base level's backup: a second one within the same tick of the file
system's clock leaves the times as they are.
"""

from .entry import EXTENT, HEAD, HEAD_AT, HEAD_END, PATH_AT, row_changed
from .levels import Level

# File systems take the time from the last tick of the kernel (100 to 1000 a second; a finer time since Linux 6.13), or
# keep whole seconds (FAT: two), which every time then is.
TICK = 10_000_000
WHOLE_SECONDS = 2_000_000_000


class Proof:
    """Judges rows of one base level; without one nothing is proved."""

    def __init__(self, base: Level | None) -> None:
        self._doubtful = (base.started_ns - TICK, base.finished_ns) if base else (0, 0)

    def holds(self, row: bytes, stat: bytes) -> bool:
        """Whether the row's content is that of the file with this packed stat, or head."""
        if row[HEAD_AT:HEAD_END] != stat[: HEAD.size] or not _settled(row):
            return False
        ctime_ns = int.from_bytes(stat[32:40], "little", signed=True)
        first, last = self._doubtful
        return ctime_ns > last or ctime_ns + (0 if ctime_ns % 10**9 else WHOLE_SECONDS) < first


def _settled(row: bytes) -> bool:
    """Whether an equal head proves that the content is the same: not when it changed while it was read."""
    plain = PATH_AT + int.from_bytes(row[HEAD_END : HEAD_END + 2], "little")
    plain += int.from_bytes(row[HEAD_END + 2 : PATH_AT], "little") * EXTENT.size
    return len(row) == plain or not row_changed(row)
