"""What a backup of a database, or a fetch of WAL, does not load; psycopg is whole for whoever wants it afterwards."""

import subprocess
import sys

import pytest

_LOADED = """
import sys
import siltstone.engine.postgres.database
from siltstone.engine.postgres import libpq, pages
print(pages.COMPILED, *({"psycopg", "psycopg.types", "psycopg_binary", "numpy"} & sys.modules.keys()))
import psycopg
assert psycopg.pq.PGconn is libpq.PGconn and psycopg.OperationalError is libpq.OperationalError
assert psycopg.connect and psycopg.types.TypeInfo and sys.modules["psycopg"] is psycopg
"""
_BROKEN = """
import importlib.util, sys
made = importlib.util.module_from_spec
def broken(spec):
    module = made(spec)
    del module.__path__  # as a psycopg that wants more than bare packages
    return module
importlib.util.module_from_spec = broken
from siltstone.engine.postgres import libpq
import psycopg
assert psycopg.pq.PGconn is libpq.PGconn and psycopg.types
"""


def said(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.strip()


def test_neither_all_of_psycopg_nor_numpy_is_loaded() -> None:
    compiled, *loaded = said(_LOADED).split()
    if compiled == "False":
        pytest.skip("the C module was not built: its twin needs numpy")
    assert loaded == []


def test_a_fetch_of_wal_does_without_numpy() -> None:
    names = "siltstone.cli.commands.wal_fetch; from siltstone.engine import cluster_of, fetch_wal, fill_spool"
    assert said(f"import sys, {names}; print('numpy' in sys.modules)") == "False"


def test_a_psycopg_that_cannot_be_had_in_part_is_loaded_as_ever() -> None:
    said(_BROKEN)
