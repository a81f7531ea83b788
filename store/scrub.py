"""Reading packs whole: every byte against the pack's name, every frame opened, every chunk id compared.

Rule: a pack is read from front to back in runs of whole frames; each run is hashed and opened while it is in the cache.
What is wrong becomes a `PackReport`, never an exception: only the storage as a whole going away raises.
Measured on two cores: runs of 8 MiB are as quick as the whole pack at once, and of 1 MiB slower by half; so memory is
8 MiB a thread, whatever the size of packs.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap

from blake3 import blake3

from .check import fault_of, raise_if_away
from .errors import BackendError, Corrupt, ObjectMissing
from .frame import FrameOpener
from .ids import PackName, pack_object
from .opening import OpenStore
from .pack import Footer
from .reader import PackReader
from .seal import Tampered

RUN = 8 << 20


@dataclass(frozen=True, slots=True)
class PackReport:
    """What reading a pack showed. `error` is empty when every byte is as it was stored, else one clause."""

    pack: PackName
    bytes_read: int
    error: str = ""
    frames: tuple[int, ...] = ()  # those that do not open
    unreadable: bool = False  # all of it: it is gone, or its footer does not open


class PackScrubber:
    """Checks packs. Any thread may call it; each has buffers of its own, which live as long as the thread."""

    def __init__(self, store: OpenStore, reader: PackReader) -> None:
        self._store, self._reader = store, reader
        self._local = threading.local()

    def check(self, pack: PackName) -> PackReport:
        """Read the pack whole. Raises BackendError when the storage is away, NoKey when this host may not read."""
        name = pack_object(pack)
        try:
            footer = self._reader.footer(pack)
            return self._check(footer)
        except (Corrupt, ObjectMissing, BackendError) as error:
            return PackReport(pack, 0, fault_of(name, error, self._store.backend).error, unreadable=True)

    def _check(self, footer: Footer) -> PackReport:
        hasher, at = blake3(), 0
        bad: list[int] = []
        unread = ""
        for run, stop in _runs(footer):
            data = self._buffer(stop - at)
            try:
                got = self._store.backend.get_into(pack_object(footer.pack), at, data)
                hasher.update(data[:got])
                bad += [number for number in run if not self._opens(footer, number, data[:got], at)]
            except BackendError as error:
                raise_if_away(self._store.backend)
                unread = unread or str(error)
                bad += [number for number in run if not self._reads(footer, number)]
            at = stop
        whole = not unread and hasher.hexdigest() == footer.pack
        return PackReport(footer.pack, footer.size, _verdict(footer, bad, unread, whole=whole), tuple(bad))

    def _opens(self, footer: Footer, number: int, data: memoryview, start: int) -> bool:
        frame = footer.frames[number]
        sealed = data[frame.offset - start : frame.offset - start + frame.stored]
        sealer = self._reader.sealer(pack_object(footer.pack), footer.keys[frame.key_slot])
        try:
            self._opener().open(sealer, frame.codec, sealed, frame.plain, frame.ids, frame.lengths)
        except Tampered:
            return False
        return True

    def _reads(self, footer: Footer, number: int) -> bool:
        """Whether a frame can be read by itself, where the run around it cannot."""
        frame = footer.frames[number]
        data = self._buffer(frame.stored)
        try:
            got = self._store.backend.get_into(pack_object(footer.pack), frame.offset, data)
        except (BackendError, ObjectMissing):
            return False
        return self._opens(footer, number, data[:got], frame.offset)

    def _buffer(self, size: int) -> memoryview:
        buffer: memoryview | None = getattr(self._local, "buffer", None)
        if buffer is None or len(buffer) < size:
            buffer = self._local.buffer = memoryview(mmap(-1, max(size, RUN)))
        return buffer[:size]

    def _opener(self) -> FrameOpener:
        opener: FrameOpener | None = getattr(self._local, "opener", None)
        if opener is None:
            opener = self._local.opener = FrameOpener(self._store.ring.id_key)
        return opener


def _runs(footer: Footer) -> Iterator[tuple[list[int], int]]:
    """The frames of each run with the offset at which it ends; the runs cover every byte of the pack."""
    order = sorted(range(len(footer.frames)), key=lambda number: footer.frames[number].offset)
    run: list[int] = []
    start = stop = 0
    for number in order:
        end = footer.frames[number].offset + footer.frames[number].stored
        if run and end - start > RUN:
            yield run, stop
            run, start = [], stop
        run.append(number)
        stop = max(stop, end)
    if footer.size - start > RUN and run:
        yield run, stop
        run = []
    yield run, footer.size


def _verdict(footer: Footer, bad: list[int], unread: str, *, whole: bool) -> str:
    if unread:
        return f"it cannot be read whole: {unread}; {len(bad)} of its {len(footer.frames)} frames are out of reach"
    if bad:
        frames = "frame " if len(bad) == 1 else "frames "
        shown = ", ".join(map(str, bad[:5])) + (", ..." if len(bad) > 5 else "")
        return f"{frames}{shown} of its {len(footer.frames)} do not open: bytes of it have changed"
    return "" if whole else "bytes outside its frames have changed; every chunk in it is intact"
