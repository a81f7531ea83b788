"""The dsn: libpq's connection string, filled up with what a backup wants where the user said nothing.

Rule: the user's words come first, then what libpq finds (environment, service file), and ours last. What a service file
holds cannot be seen here; so where one is named, time-outs and keepalives are its business.
A dsn may hold a password: nothing here, and no error, repeats any part of one.
"""

import os
from collections.abc import Mapping

from ..errors import ConfigError
from .libpq import Conninfo, OperationalError

# A peer that went without a word is noticed after 30 + 3 x 10 s. libpq's own default is the system's: two hours.
KEEPALIVES = {"keepalives": "1", "keepalives_idle": "30", "keepalives_interval": "10", "keepalives_count": "3"}
CONNECT_TIMEOUT = 15  # seconds a host; libpq's own default is to wait for ever

_HINT = "write host=... port=... user=... with a space between, 'quotes' around spaces, or a postgresql:// address"


def words_of(dsn: str) -> dict[str, str]:
    """The words that a dsn gives. Raises ConfigError, which names none of them."""
    if "\0" in dsn:  # libpq would read what stands before it
        raise ConfigError("it holds a zero byte", key="dsn", hint=_HINT)
    try:
        options = Conninfo.parse(dsn.encode("utf-8", "surrogateescape"))
    except OperationalError:  # its message may quote what is half of a password
        raise ConfigError("libpq does not understand it", key="dsn", hint=_HINT) from None
    return {each.keyword.decode(): _text(each.val) for each in options if each.val is not None}


def complete(dsn: str, *, replication: bool) -> dict[str, str]:
    """All words for a connection: over `replication` it takes replication commands and SQL alike.

    The database is `postgres` unless one is named: libpq's own default is one that is called like the role.
    """
    given = words_of(dsn)
    given.pop("replication", None)
    ours = {"fallback_application_name": "siltstone", "client_encoding": "UTF8"}
    if replication:
        ours["replication"] = "database"
    if "service" not in given and not _environment("PGSERVICE"):
        ours |= KEEPALIVES | {"connect_timeout": str(CONNECT_TIMEOUT), "dbname": "postgres"}
        for word, variable in (("connect_timeout", "PGCONNECT_TIMEOUT"), ("dbname", "PGDATABASE")):
            if _environment(variable):
                del ours[word]
    return ours | given


def conninfo(words: Mapping[str, str]) -> bytes:
    """The words as one string for libpq."""
    quoted = (f"{word}='{_escape(value)}'" for word, value in words.items())
    return " ".join(quoted).encode("utf-8", "surrogateescape")


def without_host(words: Mapping[str, str], host: str, port: str) -> dict[str, str] | None:
    """The same words without that one of lists like `host=a,b port=1,2`; None if no other is left."""
    lists = {word: words[word].split(",") for word in ("host", "hostaddr", "port") if word in words}
    named = next((lists[word] for word in ("host", "hostaddr") if word in lists), [])
    if len(named) < 2:
        return None
    ports = lists.get("port", [port])
    places = list(zip(named, ports * len(named) if len(ports) == 1 else ports, strict=False))
    number = places.index((host, port)) if (host, port) in places else named.index(host) if host in named else 0
    shorter = {word: ",".join(each[:number] + each[number + 1 :]) for word, each in lists.items() if len(each) > 1}
    return {**words, **shorter}


def _environment(name: str) -> str:
    return os.environ.get(name, "")


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
