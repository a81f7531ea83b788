"""A line to a server that can be cut: what a network does to requests, between a real client and a real server.

Rule: bytes pass unchanged, and nothing of them is understood but how a request begins.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PIECE = 1 << 16


class Line:
    """`port` is this end. `lose_replies` to so many requests: they reach the server, and the connection ends before the
    answer. `down`: nobody is there. `hold`: connections stay, and nothing passes. `requests` holds the first line of
    each.
    """

    def __init__(self, server: int) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.requests: list[str] = []
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
                verb = [""]
                threading.Thread(target=self._up, args=(client, server, verb), daemon=True).start()
                threading.Thread(target=self._back, args=(server, client, verb), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket, verb: list[str]) -> None:
        with suppress(OSError):
            while data := client.recv(PIECE):
                begin = data[:8].partition(b" ")[0]
                if begin in (b"GET", b"HEAD", b"PUT", b"POST", b"DELETE"):
                    verb[0] = begin.decode()
                    self.requests.append(data.partition(b"\r\n")[0].decode("ascii", "replace"))
                self._passes.wait()
                server.sendall(data)
        self._end(client, server)

    def _back(self, server: socket.socket, client: socket.socket, verb: list[str]) -> None:
        with suppress(OSError):
            while data := server.recv(PIECE):
                losing, left = self._losing
                if left and losing == verb[0] and b" 100 " not in data[:16]:
                    self._losing = (losing, left - 1)
                    self.lost += 1
                    break
                self._passes.wait()
                client.sendall(data)
        self._end(client, server)

    def _end(self, *both: socket.socket) -> None:
        for each in both:
            self._open.discard(each)
            _close(each)


@contextmanager
def line_to(server: int) -> Iterator[Line]:
    """A line to a server on this host."""
    line = Line(server)
    try:
        yield line
    finally:
        line.close()


def _close(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
