"""Reaching a server: from the words of a dsn to an open connection of libpq.

Rule: hosts of a list are tried in turn, `connect_timeout` seconds each. libpq goes on to the next one by itself after a
refusal; a host that keeps silent is noticed here, taken out of the list, and the rest is tried again.
The name of a host is looked up by libpq in one piece, which no time limit and no Ctrl-C interrupts.
"""

from collections.abc import Mapping

from .dsn import conninfo, without_host
from .errors import Place, PostgresError, connecting_error
from .libpq import ConnStatus, PGconn, PollingStatus, abc
from .waiting import READ, WRITE, Deadline, wait


def reach(words: Mapping[str, str]) -> abc.PGconn:
    """An open connection. Raises PostgresError, ServerAway."""
    silent = ""
    while True:
        pg = PGconn.connect_start(conninfo(words))
        try:
            settled = _settle(pg)
            if settled and pg.status == ConnStatus.OK:
                return pg
            silent += "" if settled else f'connection to server at "{_text(pg.host)}" failed: timeout expired\n'
            others = None if settled else without_host(words, _text(pg.host), _text(pg.port))
            if others is None:
                raise _error(pg, silent + (_text(pg.error_message) if settled else ""))
        except BaseException:
            pg.finish()
            raise
        pg.finish()
        words = others


def _settle(pg: abc.PGconn) -> bool:
    """Bring a connection on its way to its end, good or bad; False when a host keeps silent too long."""
    seconds = _connect_timeout(pg)
    place, deadline = (b"", b"", b""), Deadline(seconds)
    while pg.status != ConnStatus.BAD:
        status = pg.connect_poll()
        if status in (PollingStatus.OK, PollingStatus.FAILED):
            break
        if (pg.host, pg.hostaddr, pg.port) != place:
            place, deadline = (pg.host, pg.hostaddr, pg.port), Deadline(seconds)
        if not wait(pg.socket, READ if status == PollingStatus.READING else WRITE, deadline):
            return False
    return True


def _connect_timeout(pg: abc.PGconn) -> float | None:
    """What libpq itself would do with it in its blocking calls: seconds, and none or 0 is for ever."""
    for option in pg.info:
        if option.keyword == b"connect_timeout" and (option.val or b"").isdigit() and int(option.val or b"0") > 0:
            return float(option.val or b"0")
    return None


def _error(pg: abc.PGconn, message: str) -> PostgresError:
    return connecting_error(message, Place(_text(pg.user), _text(pg.db)))


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
