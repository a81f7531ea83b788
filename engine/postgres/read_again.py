"""Pages that came damaged over the wire, read once more through the server itself.

A server sends its files while it writes them, so a page may come half old, half new. BASE_BACKUP sends nothing twice,
but the same connection takes SQL once it has ended. A page that is sound by then was being written: that was since the
backup's start, for its checkpoint had written all that was older, so the WAL of the backup has it whole.

Rule: nothing that is stored changes; this only tells torn from damaged. Where the role may not read files, who asks
hears so, and says both.
"""

from ..events import show_path
from .connection import Connection
from .errors import PostgresError, ServerAway
from .grid import PAGE
from .pages import SEGMENT_BLOCKS, judge
from .quoting import quoted_text

_READ = "pg_catalog.pg_read_binary_file"


class ReadAgain:
    """Looks at pages of a server's files; its base backup is over. `start_lsn`: where that began."""

    def __init__(self, connection: Connection, start_lsn: int, *, checksummed: bool) -> None:
        self._connection, self._start_lsn, self._checksummed = connection, start_lsn, checksummed
        self._may: bool | None = None

    def still_bad(self, name: bytes, blocks: list[int]) -> list[int] | None:
        """Which blocks of a relation's file, by its path in the data directory, are wrong now; None where that cannot
        be known. Raises ServerAway.
        """
        try:
            return [block for block in blocks if self._is_bad(name, block)] if self._may_read() else None
        except ServerAway:
            raise
        except PostgresError:
            return None

    def _may_read(self) -> bool:
        if self._may is None:
            function = quoted_text(f"{_READ}(text, bigint, bigint, boolean)")
            ((may,),) = self._connection.query(f"SELECT pg_catalog.has_function_privilege({function}, 'EXECUTE')")
            self._may = may == "t"
        return self._may

    def _is_bad(self, name: bytes, block: int) -> bool:
        read = f"{_READ}({quoted_text(show_path(name))}, {block % SEGMENT_BLOCKS * PAGE}, {PAGE}, true)"
        ((found,),) = self._connection.query(f"SELECT pg_catalog.encode({read}, 'hex')")
        page = bytes.fromhex(found or "")
        if len(page) != PAGE:  # cut off or dropped meanwhile: the WAL says so, too
            return False
        return len(judge(page, block, self._start_lsn, checksummed=self._checksummed).bad) > 0
