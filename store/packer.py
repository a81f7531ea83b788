"""The packer: takes compressed frames from many threads, seals them into a pack, and makes full packs durable.

Rule: frames are sealed straight into one of a few buffers that live as long as the packer (ARENAS x PACK_SIZE bytes);
when all are on their way to the storage, `add` waits. That bounds memory, and slows the readers when storage is slow.
A chunk is announced through `on_durable` only after its pack is durable. Nothing here decides what is stored.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from blake3 import blake3
from msgspec.structs import replace

from .backend import Backend
from .errors import ObjectExists
from .frame import frame_aad
from .ids import ChunkId, PackName, pack_object
from .keys import SessionKey
from .pack import MAGIC, FrameInfo, KeySlot, encode_end
from .padding import empty_frame, pad, padded_size
from .page_memory import page_buffer
from .seal import OVERHEAD, Buffer, Sealer

# Large enough that an fsync, a file and a request are spread over many frames; small enough that five fit in memory.
PACK_SIZE = 32 << 20
ARENAS = 5
# Packs on their way to the storage, while one is filled. One connection seldom fills a line, and two writers, who wait
# for fsync as well, not every disk: a backup that waits for one of 0.5 GB/s is a sixth quicker with four. Several
# sessions have together as many on their way as one, or a few more: what four of them had at once cost an object
# store's server a seventh more of its processors.
UPLOADS = 4
MAX_FRAMES = 65_535  # a frame number has 16 bits in an index entry
MAX_CHUNKS = 32_768  # a chunk costs 36 bytes of footer, and some 250 of memory until its pack is durable

DurablePack = Callable[[PackName, Sequence[FrameInfo]], None]


class _Open:
    """A pack that frames are still added to."""

    def __init__(self, arena: memoryview, slot: KeySlot) -> None:
        self.view = arena
        self.used = len(MAGIC)
        self.frames: list[FrameInfo] = []
        self.keys = [slot]
        self.chunks = 0
        self.sealing = 0
        self.full = False
        self.view[: len(MAGIC)] = MAGIC

    def slot_number(self, slot: KeySlot) -> int:
        """The number of a key slot, which is added where it is new. Slot 0 is the writing session's."""
        if slot not in self.keys:
            self.keys.append(slot)
        return self.keys.index(slot)


class Packer:
    """One session's packs under construction. `add` from any thread; `close` from one."""

    def __init__(
        self,
        backend: Backend,
        key: SessionKey,
        sealer: Sealer,
        on_durable: DurablePack,
        at_work: Callable[[], int] = lambda: 1,
        first: int | None = None,
        *,
        padded: bool = False,
    ) -> None:
        """`at_work`: how many sessions are, or 0 where nothing new is known; asked with each pack. Until it says more,
        two buffers are used, and packs have `first` bytes at most. Beside others they have half of PACK_SIZE: less is
        on its way that may be stored twice, and several on one host touch half the memory. `padded`: see padding.py.
        """
        self._padded = padded
        self._backend, self._sealer, self._on_durable, self._at_work = backend, sealer, on_durable, at_work
        self._slot = KeySlot(key.session_id, key.sealed)
        self._uploads = UPLOADS
        self._free = [page_buffer(PACK_SIZE) for _ in range(ARENAS)]
        self._idle = ARENAS - 2  # buffers that stay free
        self._size = min(first or PACK_SIZE, PACK_SIZE)
        self._open: _Open | None = None
        self._state = threading.Condition()
        self._writing = self._sending = 0
        self._error: BaseException | None = None
        self._storage = ThreadPoolExecutor(self._uploads, "silt-storage")
        self.stored_bytes = 0
        self.packs = 0

    def add(self, codec: int, body: Buffer, plain_size: int, ids: Sequence[ChunkId], lengths: Sequence[int]) -> None:
        """Seal one frame into the current pack. Raises what the storage raised if a pack could not be made durable."""
        frame = FrameInfo(0, len(body) + OVERHEAD, plain_size, 0, codec, ids, lengths)
        self._place(frame, self._slot, lambda room: self._sealer.seal_into(body, frame_aad(codec, ids), room))

    def add_sealed(self, sealed: Buffer, frame: FrameInfo, slot: KeySlot) -> None:
        """Copy a sealed frame of another pack, whose key slot is `slot`. Raises as `add` does."""

        def copy(room: memoryview) -> None:
            room[:] = sealed

        self._place(frame, slot, copy)

    def _place(self, frame: FrameInfo, slot: KeySlot, fill: Callable[[memoryview], None]) -> None:
        """Give a frame its place in the open pack, and have its bytes written there."""
        size = frame.stored
        if size > PACK_SIZE - len(MAGIC):
            raise ValueError(f"a frame of {size} bytes fits into no pack")
        pack: _Open | None = None
        try:
            with self._state:
                pack = self._room_for(size, len(frame.ids))
                start = pack.used
                pack.used += size
                pack.chunks += len(frame.ids)
                pack.sealing += 1
                pack.frames.append(replace(frame, offset=start, key_slot=pack.slot_number(slot)))
            fill(pack.view[start : start + size])
            with self._state:
                pack.sealing -= 1
                self._submit_if_ready(pack)
        except BaseException as error:
            if pack is not None:
                self._fail(error)  # Ctrl-C, say: the pack has a frame that was never sealed, and must not be written
            raise

    def close(self) -> None:
        """Make everything durable. Raises what the storage raised."""
        with self._state:
            if self._open is not None and self._open.frames:
                self._finish(self._open)
            self._state.wait_for(lambda: not self._writing or self._error)
            self._raise_error()

    def stop(self) -> None:
        """End the storage threads and give the buffers back; what was not closed is dropped."""
        self._storage.shutdown(wait=True, cancel_futures=True)
        self._free.clear()  # 160 MiB, that would wait for the garbage collector
        self._open = None

    def _room_for(self, size: int, chunks: int) -> _Open:
        """The open pack, with room for a frame of `size` bytes and so many chunks. Called with the lock held; waits for
        a free buffer.
        """
        while True:
            self._raise_error()
            pack = self._open
            if pack is not None:
                fits = pack.used + size <= self._size and len(pack.frames) < MAX_FRAMES
                if not pack.frames or (fits and pack.chunks + chunks <= MAX_CHUNKS):
                    return pack
                self._finish(pack)
            elif len(self._free) > self._idle:
                self._open = _Open(self._free.pop(), self._slot)
            else:
                self._state.wait()

    def _finish(self, pack: _Open) -> None:
        pack.full = True
        self._open = None
        self._writing += 1
        self._submit_if_ready(pack)

    def _submit_if_ready(self, pack: _Open) -> None:
        if pack.full and not pack.sealing and self._error is None:
            pack.full = False  # submitted once
            self._storage.submit(self._write, pack)

    def _write(self, pack: _Open) -> None:
        try:
            self._adapt()
            with self._state:
                self._state.wait_for(lambda: self._sending < self._uploads)
                self._sending += 1
            try:
                self._write_pack(pack)
            finally:
                with self._state:
                    self._sending -= 1
                    self._state.notify_all()
            self._adapt()
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            with self._state:
                self._free.append(pack.view)
                self._writing -= 1
                self._state.notify_all()

    def _adapt(self) -> None:
        """Use as many buffers as the sessions at work leave to this one, and have as many packs on their way."""
        sessions = self._at_work()
        if not sessions:
            return
        with self._state:
            self._size = PACK_SIZE if sessions == 1 else PACK_SIZE // 2
            self._uploads = -(-UPLOADS // sessions)
            self._idle = ARENAS - self._uploads - 1
            self._state.notify_all()

    def _write_pack(self, pack: _Open) -> None:
        end = self._padded_end(pack) if self._padded else encode_end(pack.frames, pack.keys, self._sealer)
        with pack.view[: pack.used] as body:
            hasher = blake3(body)
            hasher.update(end)
            name = PackName(hasher.hexdigest())
            try:
                self._backend.put(pack_object(name), [body, end])
            except ObjectExists:
                pass  # the same bytes under their own name
        with self._state:
            self.stored_bytes += pack.used + len(end)
            self.packs += 1
        self._on_durable(name, pack.frames)

    def _padded_end(self, pack: _Open) -> bytes:
        """Padding, and what follows it."""
        empty = empty_frame(pack.used)

        def end(last: FrameInfo) -> bytes:
            return encode_end([*pack.frames, last], pack.keys, self._sealer, padded_size)

        row, padding = pad(empty, pack.used + empty.stored + len(end(empty)), self._sealer)
        return padding + end(row)

    def _fail(self, error: BaseException) -> None:
        """Write no further pack, and let everybody who waits hear of it."""
        with self._state:
            self._error = self._error or error
            self._state.notify_all()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error
