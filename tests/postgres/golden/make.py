"""Makes the golden WAL: a segment of each version of PostgreSQL, and what is in it, for tests without a server.

    python -m tests.postgres.golden.make [VERSION...]

Rule: made once a version, when its numbers have been compared with pg_waldump's, and not again: what is there is not
touched. `wal_<version>.zst` is the used part of a segment of 1 MiB.
"""

import json
import sys
from contextlib import ExitStack
from pathlib import Path

import zstandard

from siltstone.engine.postgres.wal_names import parse_segment
from siltstone.engine.postgres.wal_records import Records, check_records, read_records
from siltstone.engine.postgres.wal_segment import SegmentFacts, check_segment

from ..installations import VERSIONS
from ..servers import Server, Templates
from ..wal_making import SIZE

HERE = Path(__file__).parent
SETTINGS = "max_prepared_transactions = 5\nwal_keep_size = 50MB\nfull_page_writes = off"


def write_wal(server: Server) -> tuple[str, bytes]:
    """Let a server fill a part of a segment: its name and bytes."""
    server.sql("CREATE TABLE rows (n int)", "CREATE TABLE other (n int)", "SELECT pg_switch_wal()")
    ((name,),) = server.sql("SELECT pg_walfile_name(pg_current_wal_insert_lsn())")
    assert name is not None
    server.sql(
        "INSERT INTO rows VALUES (1)",
        "BEGIN; INSERT INTO rows VALUES (2); SAVEPOINT a; INSERT INTO rows VALUES (3); COMMIT",
        "BEGIN; INSERT INTO rows VALUES (4); ROLLBACK",
        "SELECT pg_create_restore_point('before the prepared ones')",
    )
    for each, end in (("one", "COMMIT"), ("two", "ROLLBACK")):
        dropping = "DROP TABLE IF EXISTS other; SAVEPOINT s; INSERT INTO rows VALUES (5)"
        server.sql(f"BEGIN; {dropping}; PREPARE TRANSACTION '{each}'", f"{end} PREPARED '{each}'")
    server.sql("CHECKPOINT", "INSERT INTO rows SELECT generate_series(1, 200)", "SELECT pg_switch_wal()")
    return name, (server.data / "pg_wal" / name).read_bytes()


def describe(facts: SegmentFacts, records: Records) -> dict[str, object]:
    """What the check and the walk found, in plain values."""
    transactions = [records.transactions[at] for at in range(len(records.transactions))]
    return {
        "used": facts.used,
        "system_identifier": facts.system_identifier,
        "count": records.count,
        "end": records.end,
        "transactions": [[each.lsn, each.time, each.xid, each.outcome.name] for each in transactions],
        "marks": [
            [type(mark).__name__, *(getattr(mark, name) for name in mark.__struct_fields__)] for mark in records.marks
        ],
    }


def main() -> None:
    with ExitStack() as stack:
        templates = Templates(stack)
        for version in map(int, sys.argv[1:]) if sys.argv[1:] else VERSIONS:
            with templates.server(version) as server:
                server.configure(SETTINGS)
                server.start()
                name, data = write_wal(server)
            facts = check_segment(name, data, parse_segment(name, SIZE), SIZE)
            records = read_records(name, data, facts)
            assert check_records(name, data, facts) == records.count
            with (HERE / f"wal_{version}.json").open("x") as file:
                file.write(json.dumps({"name": name} | describe(facts, records), indent=1) + "\n")
            (HERE / f"wal_{version}.zst").write_bytes(zstandard.ZstdCompressor(19).compress(data[: facts.used]))


if __name__ == "__main__":
    main()
