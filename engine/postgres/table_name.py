"""Names of tables, as a deployment file writes them: `schema.table`, or `database.schema.table`.

Rule: pure text, in the letters of the catalog: nothing is folded to lower case. A name with a dot or a quote in it
cannot be written. Whether there is such a table is the server's word.
"""

import re

from msgspec import Struct

from .quoting import quoted, quoted_text

_PART = r'[^."/\0]{1,63}'
_NAME = re.compile(rf"(?:(?P<database>{_PART})\.)?(?P<schema>{_PART})\.(?P<table>{_PART})")


class TableName(Struct, frozen=True):
    """A table; `database` is empty for that of the dsn."""

    database: str
    schema: str
    table: str

    @property
    def sql(self) -> str:
        """As it stands in a command."""
        return f"{quoted(self.schema)}.{quoted(self.table)}"

    @property
    def literal(self) -> str:
        """The same as a text of SQL."""
        return quoted_text(self.sql)


def parse_table_name(text: str) -> TableName:
    """Raises ValueError, with what is wrong."""
    found = _NAME.fullmatch(text)
    if found is None:
        raise ValueError(f"'{text}' is no name as in public.settings or appdb.public.settings")
    return TableName(found["database"] or "", found["schema"], found["table"])
