"""Names and texts as they stand in SQL. Rule: pure; for commands that take no parameters (ALTER, COPY, replication)."""


def quoted(name: str) -> str:
    """An identifier."""
    return '"' + name.replace('"', '""') + '"'


def quoted_text(text: str) -> str:
    """A text, for standard_conforming_strings = on, which is every server's default since 9.1."""
    return "'" + text.replace("'", "''") + "'"
