"""libpq as psycopg wraps it: `psycopg.pq`, and the errors that it raises, without the rest of psycopg.

Importing psycopg brings along its cursors and types, which takes 0.12 s of CPU time; a backup that has little to do
takes half a second in all. A package is imported before its modules, so bare packages of the same names
and places stand for psycopg and its binary while `psycopg.pq` is imported, and are gone afterwards: whoever imports
psycopg then gets all of it, with these same modules in it.

Rule: where that does not work, with another version say, psycopg is imported as ever.
"""

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec


def _load() -> None:
    bare = []
    for name in ("psycopg", "psycopg_binary"):
        spec = find_spec(name) if name not in sys.modules else None
        if spec is not None:
            sys.modules[name] = module_from_spec(spec)  # made, and not run
            bare.append(name)
    try:
        import_module("psycopg.pq")
    except (ImportError, AttributeError):
        if not bare:
            raise
        for name in [each for each in sys.modules if each.partition(".")[0] in ("psycopg", "psycopg_binary")]:
            del sys.modules[name]
        bare.clear()
        import_module("psycopg.pq")
    finally:
        for name in bare:
            sys.modules.pop(name, None)


_load()

from psycopg.errors import Error, OperationalError  # noqa: E402  # what was loaded above
from psycopg.pq import (  # noqa: E402  # the same
    Conninfo,
    ConnStatus,
    DiagnosticField,
    ExecStatus,
    PGconn,
    PollingStatus,
    TransactionStatus,
    abc,
)

__all__ = [
    "ConnStatus",
    "Conninfo",
    "DiagnosticField",
    "Error",
    "ExecStatus",
    "OperationalError",
    "PGconn",
    "PollingStatus",
    "TransactionStatus",
    "abc",
]
