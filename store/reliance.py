"""What a session relies on without having stored it, held against what was condemned: before a commit, and after it.

Rule: packs that were condemned when the session began count as absent for it, so it never relies on them by looking a
chunk up. Before each commit it reads the condemnations published since. Packs of those that it relies on are not
removed while its lease is there, so it copies what it needs out of them, as ciphertext, and commits then; a host that
cannot read them fails, and so does a session that was given up. References that a root takes over from an earlier one
(`Inherited`) were never looked up: where that root was not seen by a condemnation, they are looked up now.

Memory: the names of packs in which chunks were found, and of those that others published meanwhile, 130 bytes each.
"""

import threading
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from .backend import Backend
from .condemned import Condemnation, newest_generation, read_condemnations, read_newer
from .errors import NoKey, ObjectMissing, SessionOvertaken, StoreError
from .fence import accepted_roots, is_fenced
from .ids import ChunkId, PackName, pack_object
from .index import Index
from .opening import OpenStore
from .pack import Footer
from .packer import Packer
from .parallel import asked_of
from .reader import PackReader
from .repack import copy_frames

_AGAIN = "run it again: it stores anew what is missing"


class Inherited(Struct, frozen=True):
    """References that a new root takes over: the earlier root, by name, and every chunk of the new one."""

    root: str
    chunks: Callable[[], Iterable[ChunkId]]
    generation: int = 0  # the newest condemnation that the session of the earlier root had read when it began


class Reliance:
    """That of one session. `begin` before anything is looked up, `secure` before a root is created."""

    def __init__(self, store: OpenStore, session: str, index: Index, reader: PackReader) -> None:
        self._store, self._session, self._index, self._reader = store, session, index, reader
        self.generation = newest_generation(store.backend)  # read before the lease is written, which says it
        self.packs: set[PackName] = set()  # in which this session found chunks that it did not store itself
        self.learned: set[PackName] = set()  # which others published since this session began
        # Of these, those that may be gone: each with all that came with it.
        self._unseen: dict[PackName, set[PackName]] = {}
        self._condemned: dict[int, Condemnation] = {}
        self._securing, self._seeing = threading.Lock(), threading.Lock()

    def begin(self) -> None:
        """Read what is condemned; the lease is there already."""
        self._read(read_condemnations(self._store))
        self._index.condemned = frozenset().union(*(each.packs for each in self._condemned.values()))

    def look_again(self) -> dict[str, set[PackName]]:
        """Rely from now on also on what other sessions published since: these packs, by session. The lease covers it
        like what was there before: what was condemned after it is still there, and `secure` hears of it. While that is
        at work, nothing is done.
        """
        if not self._securing.acquire(blocking=False):
            return {}  # it may be waiting for the very pack that was made durable
        try:
            self._newer()
            return self._learn()
        finally:
            self._securing.release()

    def _learn(self) -> dict[str, set[PackName]]:
        arrived: dict[str, set[PackName]] = {}

        def note(packs: dict[str, set[PackName]]) -> None:
            arrived.update(packs)
            for together in packs.values():
                self._unseen |= dict.fromkeys(together, together)
                self.learned |= together

        self._index.learn(note)
        return arrived

    def pack_of(self, chunk: ChunkId) -> PackName | None:
        """The pack that surely has the chunk, or None."""
        while (pack := self._index.sound_pack(chunk)) is not None and pack in self._unseen:
            self._see(self._unseen.get(pack, set()))
        return pack

    def _see(self, packs: set[PackName]) -> None:
        """Find out which of these are gone: a session that was given up may wake and publish what it knew before. Only
        what is relied on is looked at, for each is a request.
        """
        with self._seeing:
            if unseen := {pack for pack in packs if pack in self._unseen}:
                self._index.lost |= self._gone(unseen)
                for pack in unseen:
                    del self._unseen[pack]

    def _gone(self, packs: set[PackName]) -> set[PackName]:
        """Those that are not there. Lists, since of what was deleted a cache may know the size."""
        folders = sorted({pack_object(pack).rpartition("/")[0] + "/" for pack in packs})
        backend = self._store.backend
        listed = asked_of(backend, lambda folder: list(backend.list(folder)), folders)
        there = {info.name for infos in listed for info in infos}
        return {pack for pack in packs - self._index.condemned if pack_object(pack) not in there}

    def secure(self, inherited: Inherited | None, packer: Packer, flush: Callable[[], None]) -> None:
        """See to it that nothing the session relies on is condemned. Raises SessionOvertaken."""
        with self._securing:
            self._newer()
            if inherited is not None and self._condemned:
                self._take_over(inherited)
            while not self.packs.isdisjoint(self._index.condemned):
                self._learn()  # garbage collection may have copied the same already
                self._see(set(self._unseen))
                self._copy(packer)
                flush()
                self._newer()

    def confirm(self, root: str) -> None:
        """The root was created: raises SessionOvertaken when it is void, and takes it back then."""
        if not is_fenced(self._store.backend, self._session):
            return
        if root in (accepted_roots(self._store.backend, self._session) or ()):
            return
        try:
            self._store.backend.delete(root)
        except StoreError:
            pass  # garbage collection removes it, and no reader takes it for one
        raise _given_up()

    def _read(self, condemnations: Sequence[Condemnation]) -> None:
        self._condemned |= {each.generation: each for each in condemnations}
        self.generation = max([self.generation, *self._condemned])

    def _newer(self) -> None:
        """Read the condemnations published since."""
        found = read_newer(self._store, self.generation)
        self._read(found)
        self._index.condemned = self._index.condemned.union(*(each.packs for each in found))

    def _take_over(self, inherited: Inherited) -> None:
        """Where a condemnation did not look at the chunks of the earlier root: find out where they are."""
        if self.vouches_for(inherited.root, inherited.generation):
            return
        try:
            for chunk in inherited.chunks():
                place = self._index.find(chunk)
                if place is None or place.pack in self._index.lost:
                    raise _removed(inherited.root)
                self.packs.add(place.pack)
        except NoKey:
            what = f"garbage was collected without a look at {inherited.root}, from which this session goes on"
            raise SessionOvertaken(f"{what}, and the key of this host cannot look", hint=_AGAIN) from None

    def vouches_for(self, root: str, generation: int) -> bool:
        """Whether nothing that a root refers to is condemned, given the newest condemnation that its session had read:
        the later ones had a look at it.
        """
        return all(root in each.roots for each in self._condemned.values() if each.generation > generation)

    def _copy(self, packer: Packer) -> None:
        """Copy out of condemned packs what this session may need of them and what is nowhere else."""
        for pack in sorted(self.packs & self._index.condemned):
            try:
                footer = self._reader.footer(pack)
                copy_frames(self._store.backend, footer, self._nowhere_else(footer), packer)
            except ObjectMissing:
                raise _removed(pack) from None
            except NoKey:
                what = f"pack {pack} was condemned while this session relied on it"
                raise SessionOvertaken(f"{what}, and the key of this host cannot copy it", hint=_AGAIN) from None
            self.packs.discard(pack)

    def _nowhere_else(self, footer: Footer) -> list[int]:
        """The frames of a condemned pack that hold a chunk which no other pack has."""
        return [n for n, frame in enumerate(footer.frames) if any(chunk not in self._index for chunk in frame.ids)]


def raise_if_given_up(backend: Backend, session: str) -> None:
    """For a session that goes on to remove things: raises SessionOvertaken where it was fenced."""
    if is_fenced(backend, session):
        raise _given_up()


def _removed(what: str) -> SessionOvertaken:
    return SessionOvertaken(f"what this session took over from {what} was removed meanwhile", hint=_AGAIN)


def _given_up() -> SessionOvertaken:
    return SessionOvertaken(
        "this session was given up by garbage collection: its lease was not renewed for long; nothing was committed",
        hint="was the host suspended, or the storage away? Run it again: what was stored is used",
    )
