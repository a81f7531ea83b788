"""One run of garbage collection over a store: what was condemned is removed, and what is dead is condemned.

    survey   condemnations, then packs, then the sessions of others
             ... the caller lists the roots, and says what they refer to ...
    mark     what is live
    remove   packs of ripe condemnations that are not live: out of the index first, then themselves
    condemn  copy what is live out of wasteful packs, then publish them and the dead ones as a new generation

Rule: the order above. A pack that was listed had its session's lease in the store, so that a session is either seen at
work or had created its root before the roots were listed. A condemnation is ripe when no session is at work that had
not read it; then nobody can come to rely on its packs any more, and roots that were created since it was published are
among those that were marked. So nothing is removed on the word of an earlier run. Condemnations are removed after
their packs, when a newer one says that they are done with: see condemned.py. Every step can be interrupted, and
repeated by whoever runs next; two collectors may run at once.

Of a shard: it marks everything, judges, copies and condemns its packs, and publishes under whatever number is free,
since no other shard judges these packs. The first shard removes, for all: two who write the same segments anew, each
without its own packs, would leave both.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct

from .check import raise_if_away
from .condemned import Condemnation, done_with, publish, read_condemnations, read_newer, remove_done
from .errors import BackendError, Corrupt, ObjectExists, ObjectMissing, StoreError
from .ids import PackName, pack_object
from .mark import RANGE, Marks, References
from .pack_list import MISSING, PackList, listed_packs
from .pack_names import PackNames
from .parallel import in_parallel
from .protection import retire
from .reliance import raise_if_given_up
from .segment_scan import SegmentScan
from .sessions import OtherSessions
from .shard import EVERYTHING, Shard
from .store import Store
from .verdict import Verdict
from .writer import Writer

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

RETRIES = 5  # of marking, when chunks have moved meanwhile
THREADS = 8  # requests to remove packs under way at once: each waits for the storage far longer than it works


class Removed(Struct, frozen=True):
    """What was removed of ripe condemnations. `kept` packs were brought back; `locked` ones the storage kept; `held`
    ones the parity of a damaged pack still needs.
    """

    packs: int = 0
    bytes: int = 0
    kept: int = 0
    locked: int = 0
    left: int = 0
    held: int = 0


class Collection:
    """A run. Its methods are called in the order of the module's first lines. Without a `session` it only looks."""

    def __init__(
        self, store: Store, session: Writer | None, stop_at: float | None = None, shard: Shard = EVERYTHING
    ) -> None:
        """Survey. `stop_at` is a time of the monotonic clock behind which nothing more is begun; `shard`: see above."""
        self._store, self._session, self._stop_at, self._shard = store, session, stop_at, shard
        self.condemnations = read_condemnations(store.opened)
        self._newest = self.condemnations[-1].generation if self.condemnations else 0
        self._listed = PackNames.of(name for name, _ in listed_packs(store.backend))
        self.sessions = OtherSessions(store.opened, session.name if session else "")
        self.condemned = frozenset[PackName]().union(*(each.packs for each in self.condemnations))
        self._segments = SegmentScan(store.backend, store.ring.index_key if store.config.encrypted else b"")
        self.packs = PackList([])

    @property
    def spared(self) -> frozenset[PackName]:
        """Packs that are not judged: condemned already, known to be damaged, or newer than the survey."""
        newer = {name for name in self.packs.names if name not in self._listed}
        return self.condemned | self._store.index.suspect | newer

    @property
    def pending(self) -> list[Condemnation]:
        """The condemnations of which packs are left."""
        return [each for each in self.condemnations if any(name in self._listed for name in each.packs)]

    def seen_before(self) -> dict[str, bytes]:
        """Digests of leases as earlier runs saw them."""
        return {session: digest for each in self.condemnations for session, digest in each.sessions.items()}

    def ripe(self) -> list[Condemnation]:
        """Those that no session at work is in the way of."""
        return [each for each in self.condemnations if not self.sessions.in_the_way_of(each.generation)]

    def mark(self, references: Iterable["NDArray[numpy.uint64]"], tell: Callable[[int, int], None]) -> Marks:
        """Mark what the references lead to. The roots were listed since the survey. Raises Corrupt where the index is
        damaged.
        """
        index = self._take_stock()
        with References(max(1, self._segments.entries // RANGE)) as spooled:
            for keys in references:
                spooled.add(keys)
            spooled.spool()
            self._store.index.drop_filters()  # roots and manifests were read; what follows looks few chunks up
            marks = self._marks(spooled, tell)
            for _ in range(RETRIES):
                before = index
                if not marks.unknown or (index := self._take_stock()) == before:
                    break
                marks = self._marks(spooled, tell)  # what is unknown may be in packs that came since
        return marks

    def _take_stock(self) -> list[str] | None:
        """Check the index and list the packs, both anew; the names of the segments. Raises Corrupt."""
        # Sessions that know of a condemnation leave its packs out of the index, also of one since the survey.
        newer = read_newer(self._store.opened, self._newest)
        self.condemned = self.condemned.union(*(each.packs for each in newer))
        if self._session is not None:
            self._name_condemned(self._session)
        self._segments.check()
        for fault in self._segments.faults:
            raise Corrupt(fault.object, fault.error, hint="the next 'silt backup' writes the index anew; collect then")
        # Listed once more, after the index: roots that were created since the survey may need newer packs.
        self.packs = PackList(listed_packs(self._store.backend), self._segments.named)
        return self._segments.listed

    def _marks(self, references: References, tell: Callable[[int, int], None]) -> Marks:
        marks = Marks(self.packs, self.condemned | self._store.index.suspect)
        marks.take(self._segments, references, tell)
        return marks

    def _name_condemned(self, session: Writer) -> None:
        """Have the index name the condemned packs that are there: sessions that merge segments leave them out, and a
        root may need one after all.
        """
        self._store.index.condemned = frozenset()  # or what is written on the way would leave others out again
        there = [name for name in self.condemned if name in self._listed]
        if there:
            self._store.index.load()
        for name in sorted(set(there) - self._store.index.packs()):
            session.name_pack(name)
        session.flush()

    def remove(self, marks: Marks) -> Removed:
        """Remove the packs of ripe condemnations that are not live, and the condemnations that are done with; the first
        shard alone does.
        """
        assert self._session is not None
        self._store.index.load()
        # What is written anew leaves condemned packs out, but for those that are needed after all.
        needed = {self.packs.names[number] for number in self._needed_after_all(marks)}
        self._store.index.condemned = self.condemned - needed
        if self._shard.number != 1:
            return Removed()
        doomed, kept = self._doomed(marks)
        raise_if_given_up(self._store.backend, self._session.name)
        held = retire(self._store.backend, [self.packs.names[number] for number in doomed])
        doomed = [number for number in doomed if self.packs.names[number] not in held]
        self._session.forget_packs([self.packs.names[number] for number in doomed])
        removed = freed = locked = 0
        for number, gone in in_parallel(self._remove_pack, self._in_time(doomed), THREADS):
            removed += gone
            locked += not gone
            freed += self.packs.sizes[number] * gone
        # None that a session has yet to read: it reads one number after the other.
        remove_done(self._store.backend, done_with(self.condemnations), self.sessions.in_the_way_of)
        return Removed(removed, freed, kept, locked, len(doomed) - removed - locked, len(held))

    def _doomed(self, marks: Marks) -> tuple[list[int], int]:
        doomed: list[int] = []
        kept = 0
        for name in sorted(frozenset[PackName]().union(*(each.packs for each in self.ripe()))):
            number = self.packs.number(name)
            if number is None or self.packs.sizes[number] == MISSING:
                continue
            if marks.live[number]:
                kept += 1
            else:
                doomed.append(number)
        return doomed, kept

    def _is_there(self, name: PackName) -> bool:
        number = self.packs.number(name)
        return number is not None and self.packs.sizes[number] != MISSING

    def _remove_pack(self, number: int) -> tuple[int, bool]:
        name = pack_object(self.packs.names[number])
        try:
            with suppress(ObjectMissing):  # another collector was quicker
                self._store.backend.delete(name)
        except BackendError:
            raise_if_away(self._store.backend)
            return number, False
        return number, True

    def _done(self) -> int:
        """Up to which generation every condemnation was ripe, and its packs gone before this run. None of a pack that
        is live after all: somebody who is slow may still be about to remove it, so nobody may rely on it again.
        """
        done, ripe = done_with(self.condemnations), {each.generation for each in self.ripe()}
        for each in self.condemnations:
            if each.generation not in ripe or any(self._is_there(name) for name in each.packs):
                break
            done = each.generation
        return done

    def is_busy(self, number: int) -> bool:
        """Whether a session that wrote into the pack is at work. Where none is, no pack is asked."""
        if not self.sessions.alive:
            return False
        keys = self._store.footer(self.packs.names[number]).keys
        return any(key.session_id.hex() in self.sessions.alive for key in keys)

    def condemn(self, verdict: Verdict, marks: Marks, roots: Sequence[str]) -> int | None:
        """Copy what is live out of the packs that are to be repacked, and publish all as a new generation: its number.
        None when there was nothing to publish, or when another collector of the same packs published meanwhile.
        """
        assert self._session is not None
        # Where nobody is at work, the footers of dead packs are not read: the index says that nothing in them is live.
        dead = list(self._readable(verdict.dead)) if self.sessions.alive else list(verdict.dead)
        packs = [number for number in dead if not self.is_busy(number)]
        # What was condemned and is needed after all: the live part moves into new packs, and then the rest can go.
        needed = (each for each in self._needed_after_all(marks) if self._shard.holds(self.packs.names[each]))
        copied = self._copy_live(self._session, [*verdict.repacked, *needed], marks)
        packs += [number for number in copied if self.packs.names[number] not in self.condemned]
        if not packs and not dead and not self._is_worth_noting():
            return None
        raise_if_given_up(self._store.backend, self._session.name)
        return self._publish([self.packs.names[number] for number in packs], roots)

    def _needed_after_all(self, marks: Marks) -> list[int]:
        """Condemned packs that are live."""
        numbers = map(self.packs.number, sorted(self.condemned))
        return [number for number in numbers if number is not None and marks.live[number]]

    def _publish(self, packs: Sequence[PackName], roots: Sequence[str]) -> int | None:
        generation = self._newest + 1
        alive = {session: lease.digest for session, lease in self.sessions.alive.items()}
        done = self._done()
        while True:
            try:
                publish(self._store.opened, generation, packs, alive, roots, done=done)
            except ObjectExists:
                if self._shard.of == 1:
                    return None
                generation += 1  # that of another shard, and of other packs: nothing that was judged here is in it
            else:
                return generation

    def _is_worth_noting(self) -> bool:
        """Whether a generation that condemns nothing is of use: it tells the next run how leases looked that stand in
        the way.
        """
        if not self.condemnations:
            return False
        newest = self.condemnations[-1]
        pending = self.pending
        watched = self.sessions.in_the_way_of(pending[-1].generation) if pending else []
        return any(newest.sessions.get(lease.session) != lease.digest for lease in watched)

    def _copy_live(self, session: Writer, numbers: Iterable[int], marks: Marks) -> list[int]:
        copied = []
        for number in self._in_time(self._readable(numbers)):
            if self.is_busy(number):
                continue
            try:
                session.copy(self.packs.names[number], marks.frames(number).nonzero()[0].tolist())
            except (Corrupt, ObjectMissing):
                continue  # verification names it; what is in it stays where it is
            copied.append(number)
        # The index leads to the copies from here on, and still names the old packs: others may come to rely on them.
        self._store.index.suspect |= {self.packs.names[number] for number in copied}
        session.flush()
        self._store.index.merge(session.name)
        return copied

    def _readable(self, numbers: Iterable[int]) -> Iterator[int]:
        """Those whose footers can be read: of the others nobody knows what is in them."""
        for number in numbers:
            try:
                self._store.footer(self.packs.names[number])
            except StoreError as error:
                if isinstance(error, BackendError):
                    raise_if_away(self._store.backend)
                continue
            yield number

    def _in_time(self, numbers: Iterable[int]) -> Iterator[int]:
        for number in numbers:
            if self._stop_at is not None and time.monotonic() >= self._stop_at:
                return
            yield number
