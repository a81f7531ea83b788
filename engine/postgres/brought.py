"""A segment that a restored level brought along in its pg_wal, for recovery that finds the archive without it.

A level has the WAL that makes it consistent; the archive may begin later, or have lost that segment since. PostgreSQL
asks the archive first and would stop at the gap although the segment lies beside it.

Rule: only a segment that is proved to be whole, of this cluster and of this name counts: every page, every record, and
nothing but zeros behind a switch. One that was still open when the backup ended is none: recovery would take its end
for the end of all WAL.
"""

from pathlib import Path

from .errors import Malformed
from .wal_names import WalKind, parse_wal_file
from .wal_records import read_records
from .wal_segment import check_segment, identify_segment

_NAME_LENGTH = 24


def wal_brought(data: Path, system_identifier: int, name: str) -> bytes | None:
    """All bytes of a segment out of the pg_wal of a data directory; None where it is not there, whole and right."""
    if len(name) != _NAME_LENGTH:
        return None
    try:
        content = (data / "pg_wal" / name).read_bytes()
        head, _ = identify_segment(name, content)
        file = parse_wal_file(name, head.segment_size)
        if file.segment is None or file.kind is not WalKind.SEGMENT:
            return None
        facts = check_segment(name, content, file.segment, head.segment_size, system_identifier=system_identifier)
        read_records(name, content, facts)
    except (OSError, Malformed):
        return None
    return content
