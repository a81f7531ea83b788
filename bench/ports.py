"""Ports for the servers of tests and benchmarks."""

import random
import socket
from contextlib import ExitStack
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_any = random.SystemRandom()  # two processes of one seed are not to choose alike


def free_ports(count: int) -> list[int]:
    """Different ports of the loopback that nobody listens on, and that the system gives no connection until the server
    is there: a suite makes thousands meanwhile.
    """
    first, last = map(int, _RANGE.read_text().split())
    outside = [*range(1024, first), *range(last + 1, 1 << 16)] or range(first, last + 1)
    found: list[int] = []
    with ExitStack() as held:
        while len(found) < count:
            port = _any.choice(outside)
            try:
                held.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            found.append(port)
    return found
