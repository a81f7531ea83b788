"""From options, environment and settings to an open store.

Rule: what is nearest wins: the command line, then the environment, then the settings file. A secret that is given is
always used, so that a store whose encryption somebody took away is refused; the terminal is asked only when the store
says that it needs a key, and a place that is no store is said before anybody types a passphrase.
"""

import os
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from . import early
from .mistake import Mistake
from .options import Options
from .paths import shown
from .remote import bandwidth, cache_place
from .secret import TRIES, ask_passphrase, given_opener, has_terminal
from .settings import Settings, load_settings

if TYPE_CHECKING:
    from siltstone.store import Backend, CachePlace, Opener, OpenStore, Secret, Store

Opened = TypeVar("Opened")


def store_place(options: Options, settings: Settings) -> str:
    """Where the store is, as the user named it. Mistake if nobody named one."""
    place = options.store or os.environ.get("SILT_STORE") or settings.get("store")
    if not place:
        raise Mistake("no store was named", hint="give --store, set SILT_STORE, or write it into the settings file")
    return place


class Opening:
    """A store that is being opened in the background, from the moment this is made.

    Deriving the key from the passphrase takes 0.1 s of one core on purpose: meanwhile the other modules are loaded, and
    what the command line means is worked out.
    """

    def __init__(self, options: Options, *, cached: bool = True) -> None:
        """`cached`: a remote store may be read through what this host kept of it; not where it is to be checked."""
        from siltstone.store import unlock  # noqa: F401  # loaded now, when nothing else wants the interpreter yet

        early.keep_freed_memory()
        self._options, self._cached = options, cached
        self._answer: Store | BaseException | None = None
        self._thread = Thread(target=self._open, daemon=True)
        self._thread.start()

    def _open(self) -> None:
        try:
            self._answer = _open(self._options, cached=self._cached)
        except BaseException as error:  # noqa: BLE001  # raised where it is asked for
            self._answer = error

    def store(self) -> "Store":
        """The open store. NotAStore, NewerFormat, NoKey, WrongKey; a wrong passphrase may be typed again."""
        self._thread.join()
        if isinstance(self._answer, BaseException):
            raise self._answer
        return self._answer or ask_and_open(store_backend(self._options), partial(opened_store, cached=self._cached))


def open_store(options: Options, *, needing: str = "", cached: bool = True) -> "Store":
    """See Opening. `needing`: the module of the engine that is loaded meanwhile."""
    opening = Opening(options, cached=cached)
    if needing:
        import_module(f"siltstone.engine.{needing}")
    return opening.store()


def _open(options: Options, *, cached: bool) -> "Store | None":
    """The open store, or None where somebody has to be asked for the passphrase first."""
    from siltstone.store import NoKey, unlock

    settings = load_settings(os.environ)
    opener, backend = given_opener(options.key_file, os.environ, settings), store_backend(options)
    try:
        opened = early.unlocked(store_place(options, settings), opener) or unlock(backend, opener)
    except NoKey:
        if opener is not None:
            raise
        return None
    from siltstone.store import Store

    return Store(opened, _cache(cached=cached) if opened.backend.remote else None)


def store_backend(options: Options) -> "Backend":
    from siltstone.store import open_backend

    settings = load_settings(os.environ)
    return open_backend(store_place(options, settings), bandwidth=bandwidth(options, settings))


def _cache(*, cached: bool) -> "CachePlace | None":
    return cache_place(os.environ, load_settings(os.environ)) if cached else None


def open_with(options: Options, opening: "Callable[[Backend, Opener | None], Opened]") -> "Opened":
    """What `opening` makes of the store's backend and the key that is given; of a passphrase that is asked for, where
    it wants a key and none is given.
    """
    from siltstone.store import NoKey

    backend = store_backend(options)
    opener = given_opener(options.key_file, os.environ, load_settings(os.environ))
    try:
        return opening(backend, opener)
    except NoKey:
        if opener is not None or not has_terminal():
            raise
    return ask_and_open(backend, opening)


def unlocked(options: Options) -> "tuple[OpenStore, Opener | None]":
    """The store with its keys and nothing read of it yet, and what opened it."""
    from siltstone.store import unlock

    def opened(backend: "Backend", opener: "Opener | None") -> "tuple[OpenStore, Opener | None]":
        return unlock(backend, opener), opener

    return open_with(options, opened)


def ask_and_open(backend: "Backend", opening: "Callable[[Backend, Opener | None], Opened]") -> "Opened":
    """The same with a passphrase from the terminal, which may be typed again where it is wrong."""
    from siltstone.store import WrongKey

    for left in reversed(range(TRIES)):
        secret: Secret = ask_passphrase(f"Passphrase of {shown(backend.location)}: ")
        try:
            return opening(backend, secret)
        except WrongKey as error:
            if not left:
                raise
            print(f"silt: {shown(str(error))}", file=sys.stderr)
    raise AssertionError("the last try returns or raises")


def opened_store(backend: "Backend", opener: "Opener | None", *, cached: bool = True) -> "Store":
    from siltstone.store import Store

    return Store.open(backend, opener, _cache(cached=cached) if backend.remote else None)
