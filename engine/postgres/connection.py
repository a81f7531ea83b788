"""One connection to a PostgreSQL server, through `psycopg.pq` alone.

Rule: libpq never blocks here: every wait is ours, so that Ctrl-C and time limits work, and what it raises becomes a
PostgresError or ServerAway. Commands go over the simple protocol, the only one that a replication connection speaks; a
value that stands in a command is quoted by who writes the command.

A connection belongs to one thread. It does not reconnect, and it knows nothing of backups. After an error in the middle
of a stream, or when a stream is left early, it is good for nothing but close().
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

from msgspec import Struct

from . import connecting
from .dsn import complete
from .errors import Place, PostgresError, ServerAway, server_error
from .libpq import ConnStatus, DiagnosticField, Error, ExecStatus, PollingStatus, TransactionStatus, abc
from .waiting import READ, WRITE, Deadline, wait_for_server

Row = tuple[str | None, ...]

QUERY_TIMEOUT = 60.0  # seconds: the questions asked here take milliseconds, and nothing is worth hanging for
CANCEL_TIMEOUT = 2.0  # seconds to ask for a cancellation; afterwards the socket is closed, which ends it later
NOTICES = 100  # a server with damaged pages warns five times a file: the first are kept, all are counted


class Notice(Struct, frozen=True):
    """What a server says beside its answer. `severity` is WARNING, NOTICE, ..., in the server's language."""

    severity: str
    sqlstate: str
    message: str


class Connection:
    """An open connection; a context manager that closes it. Made by connect().

    `notices` holds the first NOTICES that came, `noticed` counts all.
    """

    def __init__(self, pg: abc.PGconn) -> None:
        self._pg = pg
        self.notices: list[Notice] = []
        self.noticed = 0
        self.place = Place(_text(pg.user), _text(pg.db))
        pg.nonblocking = 1
        pg.notice_handler = self._notice

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def version_num(self) -> int:
        """The server's version: 150020 is 15.20."""
        return self._pg.server_version

    @property
    def socket(self) -> int:
        """The descriptor, for a caller that waits for more than this. -1 when closed."""
        return self._pg.socket if self._pg.status == ConnStatus.OK else -1

    def word(self, keyword: str) -> str:
        """What libpq took for a word of the dsn, wherever it came from (sslmode, say); empty where nothing."""
        values = (each.val for each in self._pg.info if each.keyword == keyword.encode())
        return _text(next(values, None) or b"")

    def query(self, command: str, *, timeout: float | None = QUERY_TIMEOUT) -> list[Row]:
        """The rows that one command answers, every value as text or None; of several row sets the last.

        Raises PostgresError, ServerAway, and Silent when it takes longer than `timeout` seconds (None: for ever).
        """
        self.send(command)
        rows: list[Row] = []
        try:
            while (result := self.result(timeout)) is not None:
                if result.status == ExecStatus.TUPLES_OK:
                    rows = rows_of(result)
        except ServerAway:
            raise
        except PostgresError:
            self.drain()
            raise
        return rows

    def send(self, command: str) -> None:
        """Send a command; its results come from result(). Raises ServerAway."""
        with self._libpq():
            self._pg.send_query(command.encode("utf-8", "surrogateescape"))
            self._flush(Deadline(QUERY_TIMEOUT))

    def result(self, timeout: float | None = None) -> abc.PGresult | None:
        """The next result of what was sent, or None after the last. Raises PostgresError where it is an error."""
        deadline = Deadline(timeout)
        with self._libpq():
            while self._pg.is_busy():
                wait_for_server(self._pg.socket, READ, deadline)
                self._pg.consume_input()
            result = self._pg.get_result()
        if result is not None and result.status == ExecStatus.FATAL_ERROR:
            raise self._error(result)
        return result

    def drain(self) -> None:
        """Take what results are left, so that the next command can be sent. Raises PostgresError, ServerAway."""
        while self.result(QUERY_TIMEOUT) is not None:
            pass

    def copy_data(self, timeout: float | None = None) -> memoryview | None:
        """The next message of a COPY, or None at its end or where it broke off: result() then says which.

        `timeout` bounds the silence before it, in seconds. Raises ServerAway, and of its kind Silent when that is over.
        """
        try:
            size, data = self._pg.get_copy_data(1)
            if size == 0:
                size, data = self._wait_for_copy_data(Deadline(timeout))
        except Error as error:
            raise self._broken(error) from None
        return data if size > 0 else None

    def copy_data_now(self) -> memoryview | None:
        """What copy_data() answers, if it has come; an empty view if not. Never waits. Raises ServerAway."""
        with self._libpq():
            size, data = self._pg.get_copy_data(1)
            if size == 0:
                self._pg.consume_input()
                size, data = self._pg.get_copy_data(1)
        return data if size > 0 else memoryview(b"") if size == 0 else None

    def put_copy(self, data: bytes | memoryview) -> None:
        """Send one message of a COPY, and wait until it has left. Raises ServerAway."""
        with self._libpq():
            self._pg.put_copy_data(data)
            self._flush(Deadline(QUERY_TIMEOUT))

    def end_copy(self) -> None:
        """End a COPY from our side; result() has the server's answer."""
        with self._libpq():
            self._pg.put_copy_end()
            self._flush(Deadline(QUERY_TIMEOUT))

    def close(self) -> None:
        """Close. A command that still runs is cancelled first, as well as that can be done in CANCEL_TIMEOUT."""
        if self._pg.status == ConnStatus.OK and self._pg.transaction_status == TransactionStatus.ACTIVE:
            with suppress(Error, PostgresError):
                self._cancel(Deadline(CANCEL_TIMEOUT))
        self._pg.finish()

    def _cancel(self, deadline: Deadline) -> None:
        request = self._pg.cancel_conn()
        try:
            request.start()
            while (status := request.poll()) not in (PollingStatus.OK, PollingStatus.FAILED):
                wait_for_server(request.socket, READ if status == PollingStatus.READING else WRITE, deadline)
        finally:
            request.finish()

    def _wait_for_copy_data(self, deadline: Deadline) -> tuple[int, memoryview]:
        while True:
            wait_for_server(self._pg.socket, READ, deadline)
            self._pg.consume_input()
            size, data = self._pg.get_copy_data(1)
            if size != 0:
                return size, data

    def _flush(self, deadline: Deadline) -> None:
        while self._pg.flush():
            if wait_for_server(self._pg.socket, READ | WRITE, deadline) & READ:
                self._pg.consume_input()  # a server whose answer nobody takes would stop taking what we send

    @contextmanager
    def _libpq(self) -> Iterator[None]:
        """What psycopg raises is a broken connection, as long as libpq is called in the right order."""
        try:
            yield
        except Error as error:
            raise self._broken(error) from None

    def _broken(self, error: Error) -> ServerAway:
        said = _text(self._pg.error_message) if self._pg.status != ConnStatus.OK else str(error)
        return ServerAway(" ".join(said.split()) or "the connection to the server broke")

    def _error(self, result: abc.PGresult) -> PostgresError:
        message = _field(result, DiagnosticField.MESSAGE_PRIMARY) or " ".join(_text(result.error_message).split())
        detail, hint = _field(result, DiagnosticField.MESSAGE_DETAIL), _field(result, DiagnosticField.MESSAGE_HINT)
        return server_error(message, _field(result, DiagnosticField.SQLSTATE), detail, hint, self.place)

    def _notice(self, result: abc.PGresult) -> None:
        self.noticed += 1
        if len(self.notices) < NOTICES:
            fields = (DiagnosticField.SEVERITY, DiagnosticField.SQLSTATE, DiagnosticField.MESSAGE_PRIMARY)
            self.notices.append(Notice(*(_field(result, field) for field in fields)))


def connect(dsn: str, *, replication: bool) -> Connection:
    """Connect as libpq's words say (also service files, .pgpass, environment), with our defaults where they are silent.

    Over `replication` the connection takes replication commands beside SQL; the role needs REPLICATION then.
    Raises ConfigError for a dsn that is none, PostgresError, ServerAway.
    """
    return Connection(connecting.reach(complete(dsn, replication=replication)))


def rows_of(result: abc.PGresult) -> list[Row]:
    """The rows of a result, every value as text or None."""
    columns = range(result.nfields)
    return [tuple(_value(result, row, column) for column in columns) for row in range(result.ntuples)]


def _value(result: abc.PGresult, row: int, column: int) -> str | None:
    value = result.get_value(row, column)
    return None if value is None else _text(value)


def _field(result: abc.PGresult, field: DiagnosticField) -> str:
    return _text(result.error_field(field) or b"")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
