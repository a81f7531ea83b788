"""Reading packs whole: every byte against the pack's name, every frame opened, every chunk id compared.

Rule: a pack is read from front to back in runs of whole frames; each frame is hashed and opened while it is in the
cache. What is wrong becomes a `PackReport`, never an exception: only the storage as a whole going away raises.
"""

from collections.abc import Iterator

from blake3 import blake3
from msgspec import Struct

from .check import fault_of, raise_if_away
from .errors import BackendError, Corrupt, ObjectMissing
from .ids import PackName, pack_object
from .opening import OpenStore
from .pack import Footer
from .packer import PACK_SIZE
from .reader import REMOTE_RUN, PackReader
from .workspace import Workspace

# A run is a whole pack where that is no more memory for all threads than this: disks give more the more they are asked
# for at once. Two cores, a disk of 0.6 to 1.6 GB/s, nothing of the store in memory: three threads verify 2 GiB of noise
# in 2.6 s by whole packs, four in 3.1 s by 8 MiB.
RUN = PACK_SIZE + (2 << 20)
MOST_MEMORY = 128 << 20


class PackReport(Struct, frozen=True):
    """What reading a pack showed. `error` is empty when every byte is as it was stored, else one clause."""

    pack: PackName
    bytes_read: int
    error: str = ""
    frames: tuple[int, ...] = ()  # those that do not open
    unreadable: bool = False  # all of it: it is gone, or its footer does not open


class PackScrubber:
    """Checks packs. Any thread may call it, at most `threads` at once."""

    def __init__(self, store: OpenStore, reader: PackReader, threads: int) -> None:
        self._store, self._reader = store, reader
        self._run = REMOTE_RUN if store.backend.remote else min(RUN, MOST_MEMORY // threads)

    def check(self, pack: PackName) -> PackReport:
        """Read the pack whole. Raises BackendError when the storage is away, NoKey when this host may not read."""
        name = pack_object(pack)
        try:
            footer = self._reader.footer(pack)
            with self._reader.workspaces.borrow() as workspace:
                return self._check(footer, workspace)
        except (Corrupt, ObjectMissing, BackendError) as error:
            return PackReport(pack, 0, fault_of(name, error, self._store.backend).error, unreadable=True)

    def _check(self, footer: Footer, workspace: Workspace) -> PackReport:
        hasher, at = blake3(), 0
        bad: list[int] = []
        unread = ""
        for run, stop in _runs(footer, self._run):
            try:
                data = workspace.read(pack_object(footer.pack), at, stop)
                hashed = 0
                for number in run:
                    end = footer.frames[number].offset + footer.frames[number].stored - at
                    hasher.update(data[hashed:end])
                    hashed = max(hashed, end)
                    if not self._opens(footer, number, data, at, workspace):
                        bad.append(number)
                hasher.update(data[hashed:])
            except BackendError as error:
                raise_if_away(self._store.backend)
                unread = unread or str(error)
                bad += [number for number in run if not self._reads(footer, number, workspace)]
            at = stop
        whole = not unread and hasher.hexdigest() == footer.pack
        return PackReport(footer.pack, footer.size, _verdict(footer, bad, unread, whole=whole), tuple(bad))

    def _opens(self, footer: Footer, number: int, data: memoryview, start: int, workspace: Workspace) -> bool:
        try:
            self._reader.open_frame(footer, number, data, start, workspace.opener)
        except Corrupt:
            return False
        return True

    def _reads(self, footer: Footer, number: int, workspace: Workspace) -> bool:
        """Whether a frame can be read by itself, where the run around it cannot."""
        frame = footer.frames[number]
        try:
            data = workspace.read(pack_object(footer.pack), frame.offset, frame.offset + frame.stored)
        except (BackendError, ObjectMissing):
            return False
        return self._opens(footer, number, data, frame.offset, workspace)


def _runs(footer: Footer, most: int) -> Iterator[tuple[list[int], int]]:
    """The frames of each run with the offset at which it ends; the runs cover every byte of the pack."""
    order = sorted(range(len(footer.frames)), key=lambda number: footer.frames[number].offset)
    run: list[int] = []
    start = stop = 0
    for number in order:
        end = footer.frames[number].offset + footer.frames[number].stored
        if run and end - start > most:
            yield run, stop
            run, start = [], stop
        run.append(number)
        stop = max(stop, end)
    if footer.size - start > most and run:
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
