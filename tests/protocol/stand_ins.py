"""What the real code runs over in a simulation, where it would otherwise do several things at once, or by chance.

Rule: stood in for are the threads of a session (frames are written, and leases renewed, in the actor's own turn), the
walk over manifests (a root here lists its chunks), the clock, and the source of random names. Packs, frames and
segments are small, so that a few kilobytes make many. Nothing of the protocol is replaced.
"""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, nullcontext
from functools import cache
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy
import pytest

from siltstone.engine import garbage
from siltstone.engine.forgotten import copies, until_ns
from siltstone.engine.levels import LevelRef, level_refs
from siltstone.store import (
    ChunkId,
    ObjectMissing,
    Store,
    collection,
    following,
    index,
    keyring,
    lease,
    packer,
    verdict,
    writer,
)
from tests.protocol.schedule import Schedule
from tests.store.stores import small_packs


class Roots:
    """Stands for engine.live.Live: roots that list their chunks."""

    def __init__(self, store: Store, log: object) -> None:
        self.complete = True
        self.names: list[str] = []
        self._chunks: list[bytes] = []
        for ref in level_refs(store):
            self._take(store, ref.name, ref)
        for copy in copies(store):
            if until_ns(store, copy) >= time.time_ns():
                self._take(store, copy.name, copy.ref)

    def _take(self, store: Store, name: str, ref: LevelRef) -> None:
        try:
            self._chunks += store.read_root(name, written_as=ref.name)["chunks"]
            self.names.append(name)
        except ObjectMissing:
            pass

    def references(self, tell: object) -> Iterator[tuple[Any, None]]:
        keys = b"".join(chunk[:8] for chunk in self._chunks)
        yield numpy.frombuffer(keys, dtype=">u8").astype(numpy.uint64), None


def _manifest_chunks(store: Store, level: SimpleNamespace) -> list[ChunkId]:
    return [ChunkId(chunk) for chunk in level.chunks]


class _AtOnce:
    """An executor that does what is submitted before `submit` returns."""

    def __init__(self, *_: object) -> None:
        pass

    def submit(self, function: Callable[..., object], *arguments: object) -> "Future[object]":
        done: Future[object] = Future()
        try:
            done.set_result(function(*arguments))
        except Exception as error:  # noqa: BLE001  # as an executor does
            done.set_exception(error)
        return done

    def shutdown(self, **_: object) -> None:
        pass


class _NoThread:
    """A thread that is never started."""

    def __init__(self, **_: object) -> None:
        pass

    def start(self) -> None:
        pass

    def join(self) -> None:
        pass


@contextmanager
def stood_in(schedule: Schedule) -> Iterator[None]:
    names = Random(schedule.chance.random())

    def clock() -> int:
        skew = schedule.current.skew if schedule.current else 0
        return 1_700_000_000 * 10**9 + schedule.requests * 10**6 + skew

    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        stack.enter_context(small_packs(pack=4000, frame=1000))
        patch.setattr(packer, "ThreadPoolExecutor", _AtOnce)
        event = SimpleNamespace(set=bool, is_set=bool)
        patch.setattr(lease, "threading", SimpleNamespace(Thread=_NoThread, Event=lambda: event, Lock=nullcontext))
        patch.setattr(collection, "in_parallel", lambda function, items, threads: map(function, items))
        patch.setattr(garbage, "Live", Roots)
        patch.setattr("siltstone.engine.forgotten.manifest_chunks", _manifest_chunks)
        patch.setattr("siltstone.engine.forgotten.read_level", lambda store, ref, name: SimpleNamespace(
            chunks=store.read_root(name, written_as=ref.name)["chunks"]
        ))  # fmt: skip
        patch.setattr(keyring, "urandom", names.randbytes)
        patch.setattr(os, "urandom", names.randbytes)
        patch.setattr(lease, "time", SimpleNamespace(time_ns=clock))
        for of_this_process in ("_line", "_pid_namespace", "_start_time"):
            patch.setattr(lease, of_this_process, cache(getattr(lease, of_this_process)))
        patch.setattr(index, "MERGE_WHEN", 3)
        patch.setattr(writer, "SEGMENT_ENTRIES", 10)
        patch.setattr(following, "PUBLISH_PACKS", 1)
        patch.setattr(following, "LOOK_AFTER", 500)
        patch.setattr(following, "PATIENCE", 0.2)  # two looks
        patch.setattr(following, "pause", lambda seconds: True)
        patch.setattr(verdict, "SMALL", 1500)
        patch.setattr(verdict, "PACK_SIZE", 4000)
        yield
