"""Sessions that store the same at the same moment: who finds that out waits for the other, and stores only what is new.

Rule: where a new chunk follows one that another session has just published, that session most likely has this one on
its way, so it is waited for as long as it publishes. Of two that are level, both having stored the same, the one that
began later waits, as their leases tell. Whom a session waits for stands in its lease before it waits, and it reads that
of the other each time that it looks: where sessions wait in a circle, the one that began first goes on. Who waits is
never behind: once the other is NEWEST packs further, or silent, or has ended, the chunk is stored here. A session that
follows far behind another does not wait, and looks from time to time.

Nothing is promised to others, and nothing depends on it: without any waiting the same would be stored twice. What was
found is relied on as Reliance has it.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from itertools import chain

from .backend import Backend
from .ending import pause
from .errors import ObjectMissing
from .ids import ChunkId, PackName
from .index import Index
from .lease import SESSIONS, HeldLease, standing
from .pack import FrameInfo
from .reliance import Reliance

# Packs after which a session publishes what it stored, and looks for what others published: 256 MiB, or half of that
# beside others. A segment more is a request or two beside those of eight packs. Once others are at work it begins with
# each pack, and doubles that as long as nobody stores the same. Whether they are, one that is alone asks after 1, 2, 4
# and 8 packs: of those that begin at one moment the first sees none of the others.
PUBLISH_PACKS = 8

# While others are at work it publishes after so many seconds, too: they may be waiting for it, over a slow line.
PUBLISH_SECONDS = 30.0

# A session that found so many bytes in what others published meanwhile is behind one of them: before it stores the next
# new chunk, it looks for what that one has published by now. A pack's worth: a look is a few requests.
LOOK_AFTER = 32 << 20

# A session that stored so many bytes of new chunks since it found one of others goes on by itself. Two of the buffers
# that are read and cut side by side (engine/workers.py).
AHEAD_AFTER = 8 << 20

# The last packs that another session published. It has five more on their way at most, which end in any order, and up
# to eight that are durable and not published yet.
NEWEST = 16

# Looks after which a session has seen the first pack of everybody who began when it did.
LOOKS = 3

# Seconds between two looks, longer each time, and how long a session may publish nothing before it is waited for no
# more. One that has ended is noticed at the next look.
SHORTEST, GROWTH, LONGEST = 0.1, 1.5, 5.0
PATIENCE = 300.0

# Chunks of one's own last eight packs, by which it shows that another session is level. (With those of two packs alone,
# four in lock-step stored 768 MiB 1.7 times, with these 1.2 times, one run each; `bench objects` says what it is.)
_MARKS = 24

Tell = Callable[[str], None]


class Following:
    """What one session knows of the others at work. For any thread. `tell` hears the ids of the sessions that this one
    waits for, each once.
    """

    def __init__(self, backend: Backend, lease: HeldLease, index: Index, reliance: Reliance, tell: Tell) -> None:
        self._backend, self._lease, self._index, self._reliance = backend, lease, index, reliance
        self._order = {lease.session: (lease.started_ns, lease.session)}  # of sessions; clocks decide nothing else
        self._tell, self._told = tell, set[str]()
        self._newest: dict[str, deque[PackName]] = {}  # of each other session
        self._marks: deque[ChunkId] = deque(maxlen=_MARKS)
        self._level: set[PackName] | None = None  # the packs that hold a mark; None: to be looked up
        self._last: ChunkId | None = None  # the last chunk that another session published meanwhile
        self._behind_in: set[PackName] | None = None  # the packs that hold that chunk
        self._since = 0  # bytes of new chunks since then
        self._met = False  # whether anybody stored the same since the last look
        self._behind = 0  # bytes that were found in what others published meanwhile, since the last look
        self._left: set[str] = set()  # sessions that are waited for no more
        self._led: set[str] = set()  # sessions that wait for this one, until they publish something
        self._asking = threading.Lock()
        self._seen: dict[str, int] = {}  # of each other session, how many looks there had been when it published
        self._alone: bool | None = None
        self._every, self._looks = PUBLISH_PACKS, 0  # how many packs are published together, at most PUBLISH_PACKS
        self._published = time.monotonic()

    @property
    def alone(self) -> bool:
        """Whether nobody else was at work when it was last looked."""
        if self._alone is None:
            self._look_around()
        return bool(self._alone)

    def _look_around(self) -> None:
        own = SESSIONS + self._lease.session
        self._alone = all(info.name == own for info in self._backend.list(SESSIONS))
        if not self._alone:
            self._every = 1

    def is_due(self, packs: int, *, ending: bool) -> bool:
        """Whether to publish so many packs now. At the end they are published anyway, and who is there is not asked."""
        if ending:
            return packs >= PUBLISH_PACKS
        if self.alone and packs & (packs - 1) == 0:  # whoever comes does not wait long for what this one has stored
            self._look_around()
        late = not self.alone and time.monotonic() - self._published > PUBLISH_SECONDS
        return packs >= (1 if late else min(self._every, PUBLISH_PACKS))

    @property
    def at_work(self) -> int:
        """How many sessions store things: this one, and those that published since its last look but one. 0 as long as
        another may be the one that should store first what this one stores, too.
        """
        if not self.alone and (self._looks < LOOKS or self.behind):
            return 0
        return 1 + sum(looks >= self._looks - 2 for looks in tuple(self._seen.values()))

    @property
    def is_alone_here(self) -> bool:
        """Whether nobody is known to store what this session stores: then `look_for` has nothing to look for."""
        return self._behind < LOOK_AFTER and not self.behind

    @property
    def behind(self) -> bool:
        """Whether somebody is known that most likely stores first what this session is about to store."""
        return self._ahead() is not None

    def chose(self, length: int) -> None:
        """This session is going to store a new chunk of so many bytes."""
        self._since += length
        if self._since > AHEAD_AFTER:
            self._last = self._behind_in = None

    def stored(self, frames: Sequence[FrameInfo]) -> None:
        """A pack of this session is durable."""
        for frame in (frames[0], frames[len(frames) // 2], frames[-1]):  # packs of others begin and end elsewhere
            self._marks += frame.ids[-1:]  # padding, the last frame of a pack that was copied, has no chunk
        self._level = None

    def found(self, chunk: ChunkId, length: int) -> None:
        """A chunk of so many bytes lies in a pack that another session published meanwhile."""
        self._last, self._behind_in, self._since, self._met = chunk, None, 0, True
        self._behind += length

    def look(self) -> None:
        """See what others published, and how soon to do so again."""
        self._take()
        self._looks += 1
        met, self._met = self._met or not self._packs_level().isdisjoint(chain(*self._newest.values())), False
        self._every = 1 if met else 2 * self._every
        self._published = time.monotonic()
        if self._lease.follows and self._asking.acquire(blocking=False):
            try:
                self._lease.follow("")  # it stores by itself
            finally:
                self._asking.release()

    def _take(self) -> Collection[str]:
        """Look; the sessions that have published anything."""
        arrived = self._reliance.look_again()
        for session, packs in arrived.items():
            self._newest.setdefault(session, deque(maxlen=NEWEST)).extend(packs)
            self._seen[session] = self._looks
            if session not in self._order:
                with suppress(ObjectMissing):  # it has ended
                    self._ask(session)
        self._led.difference_update(arrived)
        self._level = self._behind_in = None
        return arrived

    def _packs_level(self) -> set[PackName]:
        """All packs that hold what this session has stored lately."""
        level = self._level
        if level is None:
            self._level = level = {pack for chunk in tuple(self._marks) for pack in self._index.packs_of(chunk)}
        return level

    def _packs_ahead(self) -> set[PackName]:
        """All packs that hold what this session has just come by."""
        last, ahead = self._last, self._behind_in
        if ahead is None:
            self._behind_in = ahead = self._index.packs_of(last) if last else set()
        return ahead

    def _ahead(self) -> str | None:
        """The session to wait for."""
        if not self._newest:
            return None
        level, ahead, own = self._packs_level(), self._packs_ahead(), self._order[self._lease.session]
        for session, newest in tuple(self._newest.items()):
            if session in self._left or session in self._led:
                continue
            if not ahead.isdisjoint(newest) or (self._order.get(session, own) < own and not level.isdisjoint(newest)):
                return session
        return None

    def look_for(self, chunk: ChunkId) -> PackName | None:
        """The pack that surely has a chunk which no known one has; None where it is to be stored. It may wait."""
        if self.is_alone_here:
            return None
        with self._asking:
            self._behind = 0
            self._take()
            seconds, silent = SHORTEST, 0.0
            while (pack := self._reliance.pack_of(chunk)) is None and (other := self._ahead()) is not None:
                if self._goes_before(other):
                    continue
                if other not in self._told:
                    self._told.add(other)
                    self._tell(other)
                if silent > PATIENCE or not pause(seconds):
                    self._left.add(other)
                    break
                if other in self._take():
                    seconds, silent = SHORTEST, 0.0
                else:
                    seconds, silent = min(GROWTH * seconds, LONGEST), silent + seconds
        return pack

    def _goes_before(self, other: str) -> bool:
        """Whether not to wait for the other: it has ended, or waits for this one, and of that circle this is the first.
        That it would wait is said before the other is asked: so of two that mean each other one hears of it.
        """
        self._lease.follow(other)
        waiting, each = [self._lease.session], other
        while each and each not in waiting:
            waiting.append(each)
            try:
                each = self._ask(each)
            except ObjectMissing:
                if each != other:
                    return False
                self._left.add(other)
                self._take()  # it published everything before it ended
                return True
        if each != self._lease.session or each != min(waiting, key=self._order.__getitem__):
            return False
        self._led.add(other)
        self._lease.follow("")
        return True

    def _ask(self, session: str) -> str:
        """Whom a session waits for, or ''. Raises ObjectMissing where it has ended."""
        started_ns, follows = standing(self._backend, session)
        self._order[session] = started_ns, session
        return follows
