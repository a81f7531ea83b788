"""When a server of 18 or later may say itself what changed since the base level, and when everything is read.

Its WAL summaries say which blocks the WAL touched; it then sends those alone (INCREMENTAL, after UPLOAD_MANIFEST), and
overlay.py puts them into the base level's cells. That saves reading and sending, and never changes what a level holds.

Rule: pure. Summaries of 18 are believed for `full-read-days` at most: servers had faults there, 17 has, so then all is
read, and cross_check.py says what was missed. A server that refuses (summaries off, or not reaching back; another
timeline; a standby on which nothing happened since) is asked for everything instead, and the reason is told.
"""

from ..database_info import DatabaseInfo
from ..deployment import Database
from ..levels import Level
from .facts import ServerFacts

_DAY_NS = 24 * 3600 * 10**9
# 17 can be asked, and does not tell of every page of a visibility map that changed: with 17.10 a level had another map
# than the disk, where 18.6 told all. A map that is wrong makes index-only scans wrong, and no cross-check sees it.
BELIEVED_SINCE = 180000


def why_everything(
    database: Database, facts: ServerFacts, base: Level | None, *, has_manifest: bool, now_ns: int
) -> str | None:
    """Why the server has to send everything: empty where there is nothing to tell; None if it may send what changed."""
    info = base.database if base is not None else None
    if facts.version_num < BELIEVED_SINCE or not database.full_read_days or info is None:
        return ""
    if not facts.summarize_wal:
        return "summarize_wal is off"
    if info.system_identifier != facts.system_identifier:
        return "the level before is of another cluster"
    if not has_manifest:
        return "the level before was read on the server's host, and has no manifest of the server's"
    days = (now_ns - info.read_ns) / _DAY_NS
    if not 0 <= days < database.full_read_days:
        return f"all was read {days:.0f} days ago, and full-read-days is {database.full_read_days}"
    return None


def checked_since(facts: ServerFacts, base: Level | None) -> int:
    """The LSN for a cross-check, where all is read after the server had said what changed; 0 where there is none."""
    info = base.database if base is not None else None
    if base is None or info is None or not facts.data_checksums:
        return 0
    same = (info.system_identifier, info.timeline) == (facts.system_identifier, facts.timeline)
    return info.start_lsn if same and is_overlaid(base, info) else 0


def is_overlaid(level: Level, info: DatabaseInfo) -> bool:
    """Whether the server had said what changed for that level."""
    return info.read_ns < level.started_ns
