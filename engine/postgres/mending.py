"""Running what mends a cluster: the commands for SQL that findings name.

Rule: only what a warning or a fault names, and only what is SQL; a setting that counts from the next start is set, and
the start is left to people. It stops at the first command that the server refuses.
"""

from collections.abc import Iterator, Sequence

from .connection import connect
from .finding import Finding

_SQL = ("ALTER ", "GRANT ", "SELECT ")


def mend_cluster(dsn: str, findings: Sequence[Finding]) -> Iterator[str]:
    """Each command after it was run. Raises PostgresError."""
    with connect(dsn, replication=False) as connection:
        for finding in findings:
            if finding.state in ("warning", "fault") and finding.mend.startswith(_SQL):
                # One by one: ALTER SYSTEM refuses to be part of a transaction, which several in a line are.
                for command in filter(None, map(str.strip, finding.mend.split(";"))):
                    connection.query(command)
                    yield f"{command};"
