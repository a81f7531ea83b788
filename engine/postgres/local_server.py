"""Whether the server that answers is the one whose data directory lies on this host.

Rule: a path and a system identifier prove nothing, for a restored copy has both. The lock file of the directory must
name a process that lives, and the moment at which the answering server says that it started.
"""

import os

from .connection import Connection
from .control import parse_control
from .errors import Malformed
from .facts import ServerFacts
from .layout import CONTROL

_PID_LINE, _START_LINE = 0, 2  # of postmaster.pid
_SKEW = 2  # seconds: the two moments are taken one after the other


def why_not_local(connection: Connection, facts: ServerFacts) -> str:
    """Why the data directory cannot be read here, as a clause; empty where it can. Raises PostgresError."""
    if facts.data_directory is None:
        return "the role may not see where it is (GRANT pg_read_all_settings)"
    data = os.fsencode(facts.data_directory)
    try:
        with open(data + b"/" + CONTROL, "rb") as file:
            control = parse_control(file.read())
        with open(data + b"/postmaster.pid", encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return "it is not on this host"
    except OSError as error:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    except Malformed as error:
        return str(error)
    ((started,),) = connection.query("SELECT extract(epoch FROM pg_catalog.pg_postmaster_start_time())::bigint")
    try:
        pid, locked = int(lines[_PID_LINE]), int(lines[_START_LINE])
    except (IndexError, ValueError):
        return "its lock file is none"
    if control.system_identifier != facts.system_identifier or abs(locked - int(started or 0)) > _SKEW:
        return "another server's directory is there"
    if not os.path.exists(f"/proc/{pid}"):
        return "its lock file is of a process that is gone"
    return "" if _may_back_up(connection) else "the role may not call pg_backup_start and pg_backup_stop"


def _may_back_up(connection: Connection) -> bool:
    name = "pg_backup_start(text, boolean)"
    if connection.version_num < 150000:
        name = "pg_start_backup(text, boolean, boolean)"
    ((may,),) = connection.query(f"SELECT pg_catalog.has_function_privilege('pg_catalog.{name}', 'EXECUTE')")
    return may == "t"
