"""A store that is being unlocked from the moment the program starts, while the commands are still loaded.

Deriving the key from a passphrase takes as long as loading all else, and can be done beside it. Where the command line
plainly says which store is meant, a directory, and SILT_PASSPHRASE opens it, that begins here.

Rule: this only guesses. What comes of it counts where the command finds out the same store and the same secret by
itself (`opening.py`), and else is thrown away. It writes nothing and says nothing. What has to be done before there is
a second thread is done here, too.
"""

import os
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from siltstone.store import Opener, OpenStore, Passphrase

# Those that open the store first of all.
COMMANDS = (
    *("backup", "list", "show", "ls", "find", "diff", "restore", "cat", "tar", "export", "verify", "forget", "gc"),
    *("pin", "unpin", "undelete", "status"),
)
_ELSEWHERE = ("-h", "--help", "--version", "--key-file")
_VALUED = ("--store", "--limit-upload", "--limit-download")

# malloc.h. What is kept at most at the end of each heap, and up to which size memory comes from a heap at all.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
KEEP_FREED = 64 << 20
FROM_HEAP = 32 << 20


class _Early:
    """The unlocking of one store with one passphrase."""

    def __init__(self, place: str, passphrase: "Passphrase") -> None:
        from threading import Thread

        self.place, self.passphrase = place, passphrase
        self._answer: OpenStore | BaseException | None = None
        self._thread = Thread(target=self._unlock, daemon=True)
        self._thread.start()

    def _unlock(self) -> None:
        from siltstone.store import open_backend, unlock

        try:
            self._answer = unlock(open_backend(self.place), self.passphrase)
        except BaseException as error:  # noqa: BLE001  # raised where it is asked for
            self._answer = error

    def answer(self) -> "OpenStore":
        self._thread.join()
        assert self._answer is not None, "the thread ended"
        if isinstance(self._answer, BaseException):
            raise self._answer
        return self._answer


_early: _Early | None = None


def begin(arguments: Sequence[str]) -> None:
    """Begin, if this command line will need it."""
    global _early
    text = os.environ.get("SILT_PASSPHRASE")
    place = _place(arguments) if text else ""
    if not text or not os.path.isfile(os.path.join(place, "config")):
        return
    # Loaded here, for both threads will want it: two that load the same wait for each other.
    import nacl.bindings  # noqa: F401  # see above

    from siltstone.store import Passphrase, open_backend, unlock  # noqa: F401  # see above

    keep_freed_memory()
    _early = _Early(place, Passphrase(text))


def unlocked(place: str, secret: "Opener | None") -> "OpenStore | None":
    """The store that was unlocked meanwhile, if it is this one with this secret. Raises what `unlock` raised."""
    early = _early
    if early is None or (early.place, early.passphrase) != (place, secret):
        return None
    return early.answer()


def _place(arguments: Sequence[str]) -> str:
    """The store of a command line that begins with opening it, or ''."""
    store, words, at = os.environ.get("SILT_STORE", ""), 0, 0
    while at < len(arguments):
        word, at = arguments[at], at + 1
        if word in _ELSEWHERE or word.startswith("--key-file="):
            return ""
        if word == "--store" and at < len(arguments):
            store = arguments[at]
        elif word.startswith("--store="):
            store = word.partition("=")[2]
        if word in _VALUED:
            at += 1
        elif not word.startswith("-"):
            words += 1
            if words == 1 and word not in COMMANDS:
                return ""
    return store if words else ""


@cache
def keep_freed_memory() -> None:
    """Have glibc keep what was freed for the next frame, instead of giving it back and faulting it in again.

    Frames of 2 MiB come and go by the thousand: a restore of 2 GiB had 76,000 page faults and has 32,000 with this, and
    spends a sixth less CPU. Elsewhere than on glibc nothing happens. Called before there is a second thread: mallopt
    is not for several.
    """
    import ctypes

    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_M_TRIM_THRESHOLD, KEEP_FREED)
    mallopt(_M_MMAP_THRESHOLD, FROM_HEAP)
