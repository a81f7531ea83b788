"""The workers of a backup: threads that read, hash, compress and seal, and the few buffers that they work on.

Rule: buffers live as long as this object, and whoever wants one waits. That bounds memory, keeps the scan from running
ahead of the storage, and spares the page faults of fresh memory (they cost more than the encryption does). A failure
in a worker is raised in the thread that owns this object, at its next call.
"""

import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, Protocol, Self, TypeVar

from siltstone.store import ChunkId, NewFrame, page_buffer

# A batch of small files, or a stretch of a large one: some frames' worth, so that few frames are left half full.
BUFFER = 4 << 20

_P = ParamSpec("_P")
_T = TypeVar("_T")


class ChunkSink(Protocol):
    """What contents are stored into: a store's Writer, or its DryWriter. See there."""

    def store_run(self, buffer: memoryview, ends: Sequence[int], *, pages: bool = False) -> list[ChunkId]: ...

    def choose(self, buffer: memoryview, ends: Sequence[int]) -> tuple[list[ChunkId], list[NewFrame]]: ...

    def write(self, frame: NewFrame) -> None: ...


class Workers:
    """A context manager. Its methods belong to one thread."""

    def __init__(self, sink: ChunkSink) -> None:
        self.sink = sink
        self.count = max(2, os.cpu_count() or 2)
        self._pool = ThreadPoolExecutor(self.count, "silt-chunks")
        self._writes: deque[Future[None]] = deque()
        # The last one that was given back comes first: those below it may never be touched, and then are not there.
        self._buffers: queue.LifoQueue[memoryview] = queue.LifoQueue()
        for _ in range(2 * self.count + 2):
            self._buffers.put(page_buffer(BUFFER))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def submit(self, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> "Future[_T]":
        """Have a call made by a worker."""
        return self._pool.submit(work, *args, **kwargs)

    def take_buffer(self) -> memoryview:
        """A free buffer of BUFFER bytes. Waits for one; raises what a failed write raised, since that is why none
        comes.
        """
        while True:
            try:
                return self._buffers.get(timeout=0.1)
            except queue.Empty:
                self._check_writes()

    def give_back(self, buffer: memoryview) -> None:
        """The buffer is free again."""
        self._buffers.put(buffer)

    def write(self, frames: Sequence[NewFrame], buffer: memoryview) -> None:
        """Compress and seal frames in the background; the buffer that they borrow is free again after the last."""
        self._check_writes()
        if not frames:
            self.give_back(buffer)
            return
        left = _Countdown(len(frames), lambda: self.give_back(buffer))
        for frame in frames:
            self._writes.append(self._pool.submit(self._write, frame, left))

    def finish(self) -> None:
        """Wait until everything is written. Raises what writing raised."""
        while self._writes:
            self._writes.popleft().result()

    def _write(self, frame: NewFrame, left: "_Countdown") -> None:
        try:
            self.sink.write(frame)
        finally:
            left.down()

    def _check_writes(self) -> None:
        while self._writes and self._writes[0].done():
            self._writes.popleft().result()


class _Countdown:
    """Calls `last` when it was counted down to zero. Any thread."""

    def __init__(self, count: int, last: Callable[[], None]) -> None:
        self._count, self._last = count, last
        self._lock = threading.Lock()

    def down(self) -> None:
        with self._lock:
            self._count -= 1
            done = not self._count
        if done:
            self._last()
