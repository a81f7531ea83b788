"""Reading packs: footers, session keys, frames.

Rule: what leaves here was authenticated, decompressed, and compared with its chunk ids; anything else is Corrupt, with
the pack and the frame. Frames of one call are read in ascending order, neighbours in one request, through a workspace.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress

from blake3 import blake3

from .check import raise_if_away
from .errors import BackendError, Corrupt, NewerFormat, StoreError, WrongKey
from .frame import FrameOpener
from .ids import PackName, pack_object
from .index import Index
from .opening import OpenStore
from .pack import TAIL_READ, Footer, KeySlot, decode_end, decode_footer, end_length
from .parallel import REMOTE_THREADS, in_parallel
from .seal import Sealer, Tampered, sealer_for
from .workspace import workspaces

# Frames that lie side by side are read together up to this many bytes, and across gaps of up to GAP. Disks give more
# the more they are asked for at once: a restore from one that gives 0.6 to 2 GB/s, nothing of the store in memory, is a
# sixteenth quicker than with 16 MiB. Of an object store less: SeaweedFS, which keeps blocks of 4 MiB, spent 1.9 CPU s
# on 768 MiB in requests of 4 MB, 1.2 in those of 8 MB, and 1.1 on whole packs.
RUN, REMOTE_RUN = 32 << 20, 8 << 20
GAP = 64 << 10

# Footers are kept while they hold no more chunks together than this: some 110 bytes each.
FOOTER_CHUNKS = 1 << 18


class PackReader:
    """Footers and frames of a store's packs. Safe to share between threads."""

    def __init__(self, store: OpenStore) -> None:
        self._store = store
        self._run = REMOTE_RUN if store.backend.remote else RUN
        self.workspaces = workspaces(store.backend, store.ring.id_key)
        self._sealers: dict[bytes, Sealer] = {}
        self._footers: OrderedDict[PackName, Footer] = OrderedDict()
        self._footer_chunks = 0
        self._lock = threading.Lock()

    def footer(self, pack: PackName) -> Footer:
        """The footer of a pack, from a cache of the last ones. Raises ObjectMissing, Corrupt, NoKey."""
        footer = self._footers.get(pack)
        if footer is None:
            footer = self._read_footer(pack)
            with self._lock:
                if pack not in self._footers:
                    self._footers[pack] = footer
                    self._footer_chunks += _chunks(footer)
                while self._footer_chunks > FOOTER_CHUNKS and len(self._footers) > 1:
                    self._footer_chunks -= _chunks(self._footers.popitem(last=False)[1])
        return footer

    def bring_footers(self, packs: Collection[PackName]) -> None:
        """Have the footers of packs at hand, all of a network's time at once. What cannot be read is passed over."""
        missing = [pack for pack in packs if pack not in self._footers]
        deque(in_parallel(self._brought, missing, REMOTE_THREADS), maxlen=0)

    def _brought(self, pack: PackName) -> None:
        with suppress(StoreError):  # whoever needs it hears of it
            self.footer(pack)

    def _read_footer(self, pack: PackName) -> Footer:
        name = pack_object(pack)
        end, size = self._store.backend.end(name, TAIL_READ)
        try:
            needed = end_length(pack, end)
        except NewerFormat:
            if blake3(self._store.backend.get(name)).hexdigest() != pack:
                raise Corrupt(name, "its end is damaged") from None
            raise
        if needed > size:
            raise Corrupt(name, "it is truncated")
        if needed > len(end):
            end = self._store.backend.get(name, size - needed)
        parts = decode_end(pack, end)
        return decode_footer(pack, size, parts, self.sealer(name, parts.keys[0]))

    def sealer(self, name: str, slot: KeySlot) -> Sealer:
        """The sealer of a session; `name` is the object whose key slot it is. Raises Corrupt, NoKey."""
        sealer = self._sealers.get(slot.session_id)
        if sealer is None:
            try:
                sealer = sealer_for(self._store.ring.open_session(slot.session_id, slot.sealed))
            except WrongKey:
                raise Corrupt(name, "its key slot is damaged, or it is of another store") from None
            self._sealers[slot.session_id] = sealer
        return sealer

    def read_frames(
        self, pack: PackName, frames: Sequence[int], wanted: Mapping[int, Collection[int]] | None = None
    ) -> Iterator[tuple[int, memoryview]]:
        """(number, plaintext) of the given frames, ascending. A plaintext is valid until the next step. `wanted` of a
        frame: see FrameOpener.open; without an entry there all of it is.

        Raises ObjectMissing when the pack is gone and Corrupt at the first damaged frame.
        """
        footer, name = self.footer(pack), pack_object(pack)
        with self.workspaces.borrow() as workspace:
            for run in _runs(footer, sorted(frames), self._run):
                start = footer.frames[run[0]].offset
                stop = footer.frames[run[-1]].offset + footer.frames[run[-1]].stored
                data = workspace.read(name, start, stop)
                for number in run:
                    asked = None if wanted is None else wanted.get(number)
                    yield number, self.open_frame(footer, number, data, start, workspace.opener, asked)

    def read_frame(self, pack: PackName, number: int) -> bytes:
        """The plaintext of one frame, read by `get`: a cache before a remote store keeps it. Raises as read_frames."""
        footer, name = self.footer(pack), pack_object(pack)
        frame = footer.frames[number]
        data = self._store.backend.get(name, frame.offset, frame.stored)
        with self.workspaces.borrow() as workspace:
            return bytes(self.open_frame(footer, number, memoryview(data), frame.offset, workspace.opener))

    def open_frame(
        self,
        footer: Footer,
        number: int,
        data: memoryview,
        start: int,
        opener: FrameOpener,
        wanted: Collection[int] | None = None,
    ) -> memoryview:
        """The plaintext of a frame, valid while `opener` opens no other; `data`: the pack's bytes from `start`.

        Raises Corrupt.
        """
        frame, name = footer.frames[number], pack_object(footer.pack)
        sealed = data[frame.offset - start : frame.offset - start + frame.stored]
        try:
            sealer = self.sealer(name, footer.keys[frame.key_slot])
            return opener.open(sealer, frame.codec, sealed, frame.plain, frame.ids, frame.lengths, wanted)
        except Tampered:
            raise Corrupt(name, f"damaged, {len(frame.ids)} chunks in it are concerned", frame=number) from None

    def adopt_unindexed(self, index: Index) -> Iterator[PackName]:
        """Make the chunks of packs that no sound index segment names findable again; each pack as it is done, so that
        the caller can bound what the index holds. Raises BackendError when the storage is away.

        A pack whose footer cannot be read is left alone (`verify` names it), and so are damaged segments then: they may
        be all that is known of it. Packs that are named and not there any more become `index.lost`.
        """
        named, unreadable = index.packs(), False
        gone = index.packs(by_damaged=True) if index.damaged else set(named)
        for pack in list_packs(self._store):
            gone.discard(pack)
            if pack in named or pack in index.condemned:
                continue
            try:
                footer = self.footer(pack)
            except StoreError as error:
                if isinstance(error, BackendError):
                    raise_if_away(self._store.backend)
                unreadable = True
                continue
            index.add_pack(pack, [frame.ids for frame in footer.frames])
            yield pack
        index.lost = frozenset(gone - index.condemned)  # those were meant to go
        index.all_named = not unreadable


def list_packs(store: OpenStore) -> Iterator[PackName]:
    """Names of all packs, sorted."""
    return (PackName(info.name.rpartition("/")[2]) for info in store.backend.list("packs/"))


def _chunks(footer: Footer) -> int:
    return sum(len(frame.ids) for frame in footer.frames)


def _runs(footer: Footer, frames: Sequence[int], most: int) -> Iterator[list[int]]:
    """Group ascending frame numbers into stretches that one request reads, of at most so many bytes."""
    run: list[int] = []
    for number in frames:
        frame = footer.frames[number]
        if run:
            first, last = footer.frames[run[0]], footer.frames[run[-1]]
            if frame.offset - last.offset - last.stored > GAP or frame.offset + frame.stored - first.offset > most:
                yield run
                run = []
        run.append(number)
    if run:
        yield run
