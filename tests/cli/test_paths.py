"""Paths on terminals and in JSON: readable, harmless, exact."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siltstone.cli.paths import path_record, shown

names = st.binary(min_size=1, max_size=40)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (b"/srv/app", "/srv/app"),
        ("/srv/Grüße".encode(), "/srv/Grüße"),
        (b"/srv/caf\xe9", "/srv/caf\\xe9"),
        (b"/two\nlines", "/two\\nlines"),
        (b"/\x1b[31mred", "/\\x1b[31mred"),
        ("/right\u202eleft".encode(), "/right\\u202eleft"),
    ],
)
def test_shown(path: bytes, words: str) -> None:
    assert shown(path) == words
    assert shown(os.fsdecode(path)) == words


@given(names)
def test_what_is_shown_prints_anywhere(path: bytes) -> None:
    assert shown(path).isprintable()


@given(names)
def test_json_is_exact(path: bytes) -> None:
    record = json.loads(json.dumps(path_record(path)))
    exact = bytes.fromhex(record["path_hex"]) if "path_hex" in record else record["path"].encode()
    assert exact == path


def test_json_is_simple_where_it_can_be() -> None:
    assert path_record(b"/srv", "target") == {"target": "/srv"}
    assert path_record(b"/\xff") == {"path": "/\ufffd", "path_hex": "2fff"}
