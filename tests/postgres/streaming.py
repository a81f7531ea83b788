"""A sink in memory, and a receiver at work in a thread of its own.

Rule: what the sink says is durable is decided by the test: everything at once, or what it sets `durable` to.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from msgspec import Struct, field

from siltstone.engine.postgres.connection import Connection, connect
from siltstone.engine.postgres.identity import identify
from siltstone.engine.postgres.lsn import parse_lsn
from siltstone.engine.postgres.receive import Receiver
from siltstone.engine.postgres.segment_assembler import SegmentAssembler
from siltstone.engine.postgres.wal_names import WalSegment
from siltstone.engine.postgres.wal_sink import Position

from .servers import Server
from .wal_making import SIZE


def load(server: Server, rows: int = 12000) -> None:
    server.sql(f"INSERT INTO rows SELECT n, md5(n::text) || md5((-n)::text) FROM generate_series(1, {rows}) n")


def end_of_wal(server: Server) -> int:
    ((lsn,),) = server.sql("SELECT pg_current_wal_lsn()")
    return parse_lsn(lsn or "")


def position_of(server: Server) -> Position:
    with connect(server.dsn(), replication=True) as connection:
        return identify(connection).position


def written_by(server: Server, name: str) -> bytes:
    return (server.data / "pg_wal" / name).read_bytes()


class Kept:
    """A sink: segments by name, `partial` parts of segments that a timeline left, histories. `at_once`: all that was
    written is durable.
    """

    def __init__(self, *, at_once: bool = True) -> None:
        self.segments: dict[str, bytes] = {}
        self.partial: dict[str, bytes] = {}
        self.histories: dict[int, bytes] = {}
        self.left: list[tuple[int, int]] = []
        self.at_once = at_once
        self.durable = 0
        self.hurried = 0
        self.full = False
        self.assembler = SegmentAssembler(SIZE)

    @property
    def room(self) -> bool:
        return not self.full

    @property
    def flushed(self) -> int:
        return self.assembler.position[1] if self.at_once else self.durable

    @property
    def position(self) -> Position:
        return Position(*self.assembler.position)

    def begin(self, timeline: int, lsn: int) -> None:
        self.assembler.begin(timeline, lsn)

    def write(self, lsn: int, data: memoryview) -> None:
        assert not self.full
        for done in self.assembler.write(lsn, data):
            assert done.segment.name(SIZE) not in self.segments
            self.segments[done.segment.name(SIZE)] = bytes(done.data)
            self.assembler.release(done)

    def hurry(self) -> None:
        self.hurried += 1
        self.durable = self.assembler.position[1]

    def leave(self, timeline: int, lsn: int) -> None:
        self.left.append((timeline, lsn))
        name, data = self.open
        self.partial[name] = data[: lsn % SIZE]

    def history(self, timeline: int, content: bytes) -> None:
        self.histories[timeline] = content

    @property
    def open(self) -> tuple[str, bytes]:
        part = self.assembler.open_part
        if part is None:
            timeline, lsn = self.assembler.position
            return WalSegment(timeline, lsn // SIZE).name(SIZE), b""
        return part.segment.name(SIZE), bytes(part.data)


class Streaming(Struct):
    """A receiver at work. `ended` and `error` are there when it has ended."""

    receiver: Receiver
    kept: Kept
    thread: threading.Thread
    ended: list[Position] = field(default_factory=list)
    error: list[BaseException] = field(default_factory=list)

    def wait(self, what: Callable[[], object]) -> None:
        wait_until(lambda: what() or self.error or self.ended)
        assert what(), self.error or self.ended

    def finish(self) -> BaseException | None:
        """Wait for its end: the error it ended with."""
        self.thread.join(30)
        assert not self.thread.is_alive()
        return self.error[0] if self.error else None


def wait_until(what: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not what():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.005)


@contextmanager
def streaming(
    server: Server, kept: Kept, start: Position, *, slot: str | None = None, interval: float = 10.0
) -> Iterator[Streaming]:
    """Receive from a server until the end of the block, or until an error."""
    with connect(server.dsn(), replication=True) as connection:
        receiver = Receiver(kept, segment_size=SIZE, slot=slot, status_interval=interval)
        with receiver:
            work = Streaming(receiver, kept, threading.Thread(target=lambda: _run(work, connection, start)))
            work.thread.start()
            try:
                yield work
            finally:
                receiver.stop()
                work.thread.join(30)
        assert not work.thread.is_alive()


def _run(work: Streaming, connection: Connection, start: Position) -> None:
    try:
        work.ended.append(work.receiver.run(connection, start))
    except BaseException as error:  # noqa: BLE001  # it is shown by the test that waits for it
        work.error.append(error)
