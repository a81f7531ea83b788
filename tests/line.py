"""A line to a server that can be cut, or long: what a network does to requests, between a real client and a server.

Rule: bytes pass unchanged, and nothing of them is understood but how a request begins.
"""

import queue
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from msgspec import Struct, field

PIECE = 1 << 16


class Line:
    """`port` is this end. `lose_replies` to so many requests: they reach the server, and the connection ends before the
    answer. `down`: nobody is there. `hold`: connections stay, and nothing passes. `requests` holds the first line of
    each, `times` when each came and when its answer began to leave (seconds of the monotonic clock; 0: not yet).
    """

    def __init__(self, server: int, delay: float = 0.0) -> None:
        """`delay`: seconds that a byte is on its way, in each direction."""
        self._server, self._delay = server, delay
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.requests: list[str] = []
        self.times: list[list[float]] = []
        self.lost = 0
        self._losing = ("", 0)
        self._down = False
        self._passes = threading.Event()
        self._passes.set()
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_replies(self, verb: str, count: int = 1) -> None:
        """To the next so many requests of that verb."""
        self._losing = (verb, count)

    def cut(self) -> None:
        """From now on nobody is there."""
        self._down = True
        for each in list(self._open):
            _close(each)

    def hold(self) -> None:
        """From now on nothing is answered, as by a server that is stopped."""
        self._passes.clear()

    def mend(self) -> None:
        """The server can be reached again."""
        self._passes.set()
        self._down = False

    def close(self) -> None:
        """The end of the line."""
        self.cut()
        self._passes.set()
        _close(self._listener)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._down:
                    _close(client)
                    continue
                server = socket.create_connection(("127.0.0.1", self._server))
                self._open |= {client, server}
                asked = _Asked()
                threading.Thread(target=self._up, args=(client, server, asked), daemon=True).start()
                threading.Thread(target=self._back, args=(server, client, asked), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket, asked: "_Asked") -> None:
        with suppress(OSError), self._way(server) as send:
            while data := client.recv(PIECE):
                begin = data[:8].partition(b" ")[0]
                if begin in (b"GET", b"HEAD", b"PUT", b"POST", b"DELETE"):
                    asked.verb, asked.times = begin.decode(), [time.monotonic(), 0.0]
                    self.requests.append(data.partition(b"\r\n")[0].decode("ascii", "replace"))
                    self.times.append(asked.times)
                self._passes.wait()
                send(data)
        self._end(client, server)

    def _back(self, server: socket.socket, client: socket.socket, asked: "_Asked") -> None:
        with suppress(OSError), self._way(client) as send:
            while data := server.recv(PIECE):
                losing, left = self._losing
                if left and losing == asked.verb and b" 100 " not in data[:16]:
                    self._losing = (losing, left - 1)
                    self.lost += 1
                    break
                self._passes.wait()
                if not asked.times[1]:
                    asked.times[1] = time.monotonic() + self._delay
                send(data)
        self._end(client, server)

    @contextmanager
    def _way(self, to: socket.socket) -> Iterator[Callable[[bytes], None]]:
        """What sends bytes, which arrive in their order and the delay later."""
        if not self._delay:
            yield to.sendall
            return
        under_way: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()

        def arrive() -> None:
            with suppress(OSError):
                while (each := under_way.get())[1]:
                    time.sleep(max(0.0, each[0] - time.monotonic()))
                    to.sendall(each[1])

        arriving = threading.Thread(target=arrive, daemon=True)
        arriving.start()
        try:
            yield lambda data: under_way.put((time.monotonic() + self._delay, data))
        finally:
            under_way.put((0.0, b""))
            arriving.join()

    def _end(self, *both: socket.socket) -> None:
        for each in both:
            self._open.discard(each)
            _close(each)


class _Asked(Struct):
    """The last request of a connection."""

    verb: str = ""
    times: list[float] = field(default_factory=lambda: [0.0, 0.0])


def longest_chain(times: Iterable[Sequence[float]]) -> int:
    """The most requests of which each came after the one before had been answered."""
    chain, free = 0, 0.0
    for came, answered in sorted(times, key=lambda each: each[1]):
        if came >= free:
            chain, free = chain + 1, answered
    return chain


@contextmanager
def line_to(server: int, delay: float = 0.0) -> Iterator[Line]:
    """A line to a server on this host."""
    line = Line(server, delay)
    try:
        yield line
    finally:
        line.close()


def _close(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
