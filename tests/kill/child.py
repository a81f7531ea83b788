"""A backup that gets a signal at one of the calls by which a store is written: a program, run by the tests beside it.

    child.py STORE TREE NUMBER SIGNAL [VERB]

VERB is another thing to do than a backup: `forget` group 0, or `undelete` it.

Rule: the calls are counted where the system is entered, so that none is missed. At the call of that number (from 0) the
process signals itself; of what was to be written then, half is. Before it ends by itself it prints how many calls
there were. Nothing of the program is replaced but the size of packs, for more of them.
"""

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from siltstone.engine import WINDOW_NS, Event, back_up, carry_out, judge_by_name, quick_deployment, undelete
from siltstone.store import KeyFile, Store, open_backend, packer

CALLS = ("mkdir", "writev", "fsync", "link", "rename", "unlink")
KEY = KeyFile(b"grains laid down in layers......")


class Counter:
    """Counts calls, and signals at one of them."""

    def __init__(self, at: int, signal: int) -> None:
        self.count = 0
        self._at, self._signal = at, signal
        self._lock = threading.Lock()

    def watch(self, name: str) -> None:
        """Count what this function of `os` is called for."""
        real = getattr(os, name)

        def call(*arguments: Any, **options: Any) -> Any:
            with self._lock:
                now, self.count = self.count == self._at, self.count + 1
            if now:
                self._stop(name, real, arguments)
            return real(*arguments, **options)

        setattr(os, name, call)

    def _stop(self, name: str, real: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        if name == "writev" and self._signal == 9:
            file, pieces = arguments
            real(file, [memoryview(pieces[0])[: len(pieces[0]) // 2]])
        os.kill(os.getpid(), self._signal)


def ignore(_: Event) -> None:
    """A report that nobody reads."""


VERBS: dict[str, Callable[[Store, str], object]] = {
    "back_up": lambda store, tree: back_up(store, quick_deployment([tree], "place"), report=ignore),
    "forget": lambda store, _: carry_out(store, judge_by_name(store, ["0"]), WINDOW_NS, ignore),
    "undelete": lambda store, _: undelete(store, ["0"]),
}


def main(store: str, tree: str, at: int, signal: int, verb: str = "back_up") -> None:
    """Do it."""
    packer.PACK_SIZE = 7 << 19
    opened = Store.open(open_backend(store), KEY)
    counter = Counter(at, signal)
    for name in CALLS:
        counter.watch(name)
    VERBS[verb](opened, tree)
    sys.stdout.write(f"{counter.count}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:])
