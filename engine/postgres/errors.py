"""The errors of PostgreSQL: what a server, or libpq on the way to it, refused; and bytes that are not as they should.

Rule: the message is the server's own, with its SQLSTATE where one is known, and the hint says what to do in the usual
cases. While connecting libpq hands out no SQLSTATE, so the cases are told apart by the server's English words there; in
another language (`lc_messages`) the message is the same and only the hint is missing. No message holds a password.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

from ..errors import EngineError

NO_RIGHT = "42501"


class PostgresError(EngineError):
    """The server refused. `sqlstate` is its five characters, or empty where unknown."""

    def __init__(self, message: str, *, sqlstate: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.sqlstate = sqlstate


class ServerAway(PostgresError):
    """The server cannot be reached, or the connection to it broke: the same may succeed later."""


class Silent(ServerAway):
    """Nothing came within the time given. The connection is as it was: who streams may go on waiting."""


class Malformed(EngineError):
    """Bytes of a server or of a data directory are not what they should be. `name` is the thing they belong to."""

    def __init__(self, name: str, what: str, *, hint: str = "") -> None:
        super().__init__(f"{name}: {what}", hint=hint)
        self.name = name


class Place(NamedTuple):
    """Whom a connection was for, for hints: role and database as libpq knows them."""

    user: str
    database: str


_PASSWORD = "put the right one into ~/.pgpass (mode 0600) or name a service file; see libpq's passfile and service"
_AGAIN = "is PostgreSQL running there? check host and port of the dsn, listen_addresses, and what lies between"
_TLS = "see sslmode, sslrootcert, sslcert and sslkey of the dsn"


def _hba(place: Place) -> str:
    line = f"host {place.database} {place.user} <address of this host>/32 scram-sha-256"
    return f"add '{line}' to the server's pg_hba.conf and run SELECT pg_reload_conf()"


def _tls_or_hba(place: Place) -> str:
    return f"if the server wants TLS, add sslmode=require to the dsn; else {_hba(place)}"


def _role(place: Place) -> str:
    return f'run ALTER ROLE "{place.user}" REPLICATION LOGIN on the server'


class _Case(NamedTuple):
    """What a refusal says, and what to make of it. `passing`: the same may succeed later."""

    words: str
    sqlstate: str
    hint: str | Callable[[Place], str]
    passing: bool = False


# The words of src/backend (postinit.c, walsender.c, auth.c, proc.c) and libpq (fe-connect.c, fe-secure*.c), 13 to 18.
# The first that is found counts: what the last host of a list said matters less than a wrong password at the first.
_CONNECTING = (
    _Case("password authentication failed|no password supplied", "28P01", _PASSWORD),
    _Case(r"no pg_hba\.conf entry.*(no encryption|SSL off)", "28000", _tls_or_hba),
    _Case(r"no pg_hba\.conf entry|pg_hba\.conf rejects", "28000", _hba),
    _Case("must be superuser or replication role|denied to start WAL sender", NO_RIGHT, _role),
    _Case('role ".*" does not exist', "28000", "name another user in the dsn, or create the role"),
    _Case("authentication failed", "28000", "see the server's pg_hba.conf and pg_ident.conf"),
    _Case('database ".*" does not exist', "3D000", "name one that exists: dbname=postgres in the dsn"),
    _Case("max_wal_senders", "53300", "raise max_wal_senders on the server, which needs a restart", passing=True),
    _Case("too many clients|connection slots", "53300", "raise max_connections, or try later", passing=True),
    _Case("the database system is|not yet accepting", "57P03", "try again when it is up", passing=True),
    _Case("could not translate host name", "", "is that the host's name, and is it known here?", passing=True),
    _Case("server does not support SSL", "08001", "switch ssl on there, or lower sslmode in the dsn"),
    _Case("certificate|SSL error|TLS|sslmode|sslrootcert", "08001", _TLS),
)


def connecting_error(said: str, place: Place) -> PostgresError:
    """The error for a connection that was not made. `said` is libpq's message."""
    message = "; ".join(line.strip() for line in said.splitlines() if line.strip()) or "cannot connect"
    for case in _CONNECTING:
        if re.search(case.words, message):
            hint = case.hint if isinstance(case.hint, str) else case.hint(place)
            return (ServerAway if case.passing else PostgresError)(message, sqlstate=case.sqlstate, hint=hint)
    return ServerAway(message, hint=_AGAIN)


def server_error(message: str, sqlstate: str, detail: str, hint: str, place: Place) -> PostgresError:
    """The error for what a server answered to a command. A server that goes down says so on its way."""
    text = f"{message} ({detail.rstrip('.')})" if detail else message
    if sqlstate.startswith("08") or sqlstate in ("57P01", "57P02", "57P03", ""):
        return ServerAway(text or "the connection to the server broke", sqlstate=sqlstate, hint=hint)
    if sqlstate == NO_RIGHT and not hint:
        hint = f'the role "{place.user}" of the dsn needs more rights'
    return PostgresError(text, sqlstate=sqlstate, hint=hint)
