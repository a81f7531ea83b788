"""A bell: wakes a thread that waits in poll(), from other threads and from signal handlers.

Rule: ringing never blocks and never fails, and a bell that was rung stays rung until it is silenced. It carries no
message: who is woken looks for itself.
"""

import os
from contextlib import suppress
from typing import Self


class Bell:
    """A pipe to oneself. A context manager that closes it; ringing it later does nothing."""

    def __init__(self) -> None:
        self.fd, self._ringing = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._ringing, False)
        self._open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def ring(self) -> None:
        """Make `fd` readable. Safe in a signal handler."""
        if self._open:
            with suppress(BlockingIOError):  # it rings already
                os.write(self._ringing, b"!")

    def silence(self) -> None:
        """Make `fd` unreadable until the next ring."""
        with suppress(BlockingIOError):
            while len(os.read(self.fd, 4096)) == 4096:
                pass

    def close(self) -> None:
        """Give the descriptors back."""
        if self._open:
            self._open = False
            os.close(self.fd)
            os.close(self._ringing)
