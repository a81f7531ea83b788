"""Golden segments of every version are read as they always were, also where there is no server (golden/make.py)."""

import json
from pathlib import Path

import pytest
import zstandard

from siltstone.engine.postgres.commit_index import decode_index, encode_index, make_index
from siltstone.engine.postgres.wal_names import parse_segment
from siltstone.engine.postgres.wal_records import check_records, read_records
from siltstone.engine.postgres.wal_segment import check_segment

from .golden.make import describe
from .wal_making import SIZE

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("version", [13, 14, 15, 16, 17, 18])
def test_it_is_read_as_it_always_was(version: int) -> None:
    right = json.loads((GOLDEN / f"wal_{version}.json").read_text())
    name = right.pop("name")
    used = zstandard.decompress((GOLDEN / f"wal_{version}.zst").read_bytes())
    data = used.ljust(SIZE, b"\0")
    facts = check_segment(name, data, parse_segment(name, SIZE), SIZE, version=version)
    records = read_records(name, data, facts)
    assert describe(facts, records) == right
    assert describe(facts, read_records(name, used, facts)) == right, "its zeros may be left out"
    assert check_records(name, data, facts) == records.count
    kinds = [row[3] for row in right["transactions"]]
    assert kinds == ["COMMIT", "COMMIT", "ABORT", "COMMIT_PREPARED", "ABORT_PREPARED", "COMMIT"]
    again = decode_index(name, encode_index(make_index(facts, records)))
    assert again.transactions.times.tolist() == [row[1] for row in right["transactions"]]
