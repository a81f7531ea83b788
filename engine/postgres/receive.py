"""Receiving WAL: START_REPLICATION over a connection, timeline after timeline, into a sink.

    server  'w' | u64 LSN of the data | u64 end of the server's WAL | i64 time | WAL, up to 128 KiB
            'k' | u64 end of the server's WAL | i64 time | u8 1: answer at once
    we      'r' | u64 written | u64 flushed | u64 applied | i64 time | u8 1: answer at once

Rule: `flushed` is what the sink calls durable and never more, since the server throws away what is below it; `applied`
is always 0, so that no synchronous_commit = remote_apply waits for us. At the end of a timeline everything of it is
durable before the next one begins, at the start of the segment that holds the switch. A sink without room is not
written to: the server waits, and is told meanwhile that we live.

One run is one connection. Connecting again, and when, is the caller's; so is what becomes of an error.
"""

import struct
import threading
import time
from typing import Final, Self

from .bell import Bell
from .connection import Connection, rows_of
from .errors import Malformed, PostgresError, ServerAway
from .identity import fetch_history, identify
from .libpq import ExecStatus, abc
from .lsn import format_lsn, parse_lsn
from .receive_errors import refused
from .slots import check_slot_name
from .waiting import READ, wait_any
from .wal_sink import Position, Sink

STATUS_INTERVAL: Final = 10.0  # seconds; a server gives up after wal_sender_timeout, 60 by default
SILENCE: Final = 60.0  # seconds without an answer, although each status without news asks for one
ENDING: Final = 30.0  # seconds a server may take to end a stream

_DATA = struct.Struct("!cQQq")
_ALIVE = struct.Struct("!cQqB")
_STATUS = struct.Struct("!cQQQqB")
_EPOCH = 946_684_800  # 2000-01-01


class Receiver:
    """Streams into a sink until stop(). A context manager. stop() and wake() may come from anywhere."""

    def __init__(
        self, sink: Sink, *, segment_size: int, slot: str | None = None, status_interval: float = STATUS_INTERVAL
    ) -> None:
        self._sink, self._size = sink, segment_size
        self._slot = None if slot is None else check_slot_name(slot)
        self._interval = status_interval
        self._bell = Bell()
        self._stopping = threading.Event()
        self._written = 0
        self._reported = -1
        self._next_status = self._heard = 0.0
        self.server_end = 0  # the end of the server's WAL, as it said last

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._bell.close()

    def stop(self) -> None:
        """End the stream soon, in good order. From any thread or signal handler."""
        self._stopping.set()
        self._bell.ring()

    def wake(self) -> None:
        """The sink has room again, or more is durable. From any thread."""
        self._bell.ring()

    def run(self, connection: Connection, start: Position, system_identifier: int | None = None) -> Position:
        """Stream from the segment that holds `start` until stop(): where the next bytes would have been.

        Raises ServerAway when the stream broke off and may be tried again, OtherCluster, WalRemoved when the server
        has the WAL no more, Diverged when it never had it, other PostgresErrors, and what the sink raises.
        """
        identify(connection, system_identifier)
        position: Position | None = start
        if start.timeline > 1:
            self._sink.history(start.timeline, fetch_history(connection, start.timeline))
        while position is not None and not self._stopping.is_set():
            at = Position(position.timeline, position.lsn // self._size * self._size)
            left = self._start(connection, at)
            if left is None and self._stopping.is_set():
                break
            if left is None:
                raise ServerAway("the server ended the stream", hint="it goes down, or was told to end its connections")
            self._sink.leave(at.timeline, left.lsn)
            self._sink.history(left.timeline, fetch_history(connection, left.timeline))
            start = position = left
        return Position(start.timeline, self._written or start.lsn)

    def _start(self, connection: Connection, at: Position) -> Position | None:
        """Stream one timeline: where the next one goes on, or None when the stream ended without one."""
        self._sink.begin(at.timeline, at.lsn)
        self._written, self._reported = at.lsn, -1
        self._next_status, self._heard = 0.0, time.monotonic()
        slot = f"SLOT {self._slot} " if self._slot else ""
        try:
            connection.send(f"START_REPLICATION {slot}PHYSICAL {format_lsn(at.lsn)} TIMELINE {at.timeline}")
            result = connection.result(ENDING)
            if result is None or result.status != ExecStatus.COPY_BOTH:
                return self._end(connection, result)  # it starts where this timeline was left: nothing to stream
            if not self._stream(connection):
                return self._end(connection)
            self._stop_stream(connection)
            return None
        except PostgresError as error:
            raise refused(error, self._slot) from None

    # ---- one stream

    def _stream(self, connection: Connection) -> bool:
        """Take what comes: True when we are to stop, False when the server ended it."""
        while not self._stopping.is_set():
            if time.monotonic() >= self._next_status:
                self._report(connection)
            if not self._sink.room:
                self._wait(connection, -1)
                continue
            data = connection.copy_data_now()
            if data is None:
                return False
            if len(data):
                self._take(connection, data)
            else:
                self._wait(connection, connection.socket)
        return True

    def _take(self, connection: Connection, message: memoryview) -> None:
        self._heard = time.monotonic()
        kind = bytes(message[:1])
        if kind == b"w":
            _, lsn, self.server_end, _ = _DATA.unpack_from(message)
            if lsn != self._written:
                what = f"goes on at {format_lsn(lsn)}, and {format_lsn(self._written)} was to follow"
                raise Malformed("the WAL stream", what, hint="this is a fault of the server or of what lies between")
            self._sink.write(lsn, message[_DATA.size :])
            self._written = lsn + len(message) - _DATA.size
        elif kind == b"k":
            _, self.server_end, _, asked = _ALIVE.unpack_from(message)
            if asked:
                if self._sink.flushed < self._written:
                    self._sink.hurry()
                self._report(connection)

    def _wait(self, connection: Connection, socket: int) -> None:
        """Until data, the bell, or the next status; nothing is taken from the socket while the sink has no room."""
        now = time.monotonic()
        if socket >= 0 and now - self._heard > SILENCE:
            raise ServerAway(f"the server gave no sign of life in {SILENCE:g} seconds")
        fds = [self._bell.fd] if socket < 0 else [self._bell.fd, socket]
        if self._bell.fd in wait_any(fds, READ, max(0.0, self._next_status - now)):
            self._bell.silence()
            if self._sink.flushed != self._reported:
                self._report(connection)

    def _report(self, connection: Connection) -> None:
        """Say how far we are; ask for an answer where nothing was heard since the last time."""
        now = time.monotonic()
        ask = now - self._heard >= self._interval
        self._reported = min(self._sink.flushed, self._written)
        since_2000 = int((time.time() - _EPOCH) * 1_000_000)
        connection.put_copy(_STATUS.pack(b"r", self._written, self._reported, 0, since_2000, ask))
        self._next_status = now + self._interval

    # ---- its end

    def _end(self, connection: Connection, result: abc.PGresult | None = None) -> Position | None:
        """After the server's end of the stream: where the next timeline goes on, if one follows."""
        following = None
        result = result or connection.result(ENDING)
        while result is not None:
            if result.status == ExecStatus.COPY_IN:
                connection.end_copy()
            elif result.status == ExecStatus.TUPLES_OK:
                ((timeline, lsn, *_),) = rows_of(result)
                following = Position(int(timeline or 0), parse_lsn(lsn or ""))
            result = connection.result(ENDING)
        return following

    def _stop_stream(self, connection: Connection) -> None:
        self._report(connection)
        connection.end_copy()
        while connection.copy_data(ENDING) is not None:
            pass
        self._end(connection)
