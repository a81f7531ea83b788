"""Names and texts as they stand in SQL, for commands that take no parameters: ALTER, COPY, those of replication.

Rule: pure. It promises nothing about values in other places: `query` sends what it is given.
"""


def quoted(name: str) -> str:
    """An identifier."""
    return '"' + name.replace('"', '""') + '"'


def quoted_text(text: str) -> str:
    """A text, for standard_conforming_strings = on, which is every server's default since 9.1."""
    return "'" + text.replace("'", "''") + "'"
