"""Sessions that store the same at the same moment: who finds that out waits for the other, and stores only what is new.

Rule: where a new chunk follows one that another session has just published, that session most likely has this one on
its way, so it is waited for as long as it publishes. Of two that are level the one with the greater id waits: nobody
waits in a circle. Who waits is never behind: once the other is NEWEST packs further, or silent, or has ended, the chunk
is stored here. A session that follows far behind another does not wait, and looks from time to time.

Nothing is promised to others, and nothing depends on it: without any waiting the same would be stored twice. What was
found is relied on as Reliance has it.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import chain

from .backend import Backend
from .ending import pause
from .errors import ObjectMissing
from .ids import ChunkId, PackName
from .index import Index
from .lease import SESSIONS
from .pack import FrameInfo

# Packs (some 256 MiB) after which a session publishes what it stored, and looks for what others published. A segment
# more is a request or two beside those of eight packs. While others are at work it begins with each pack, and doubles
# that as long as nobody stores the same.
PUBLISH_PACKS = 8

# A session that found so many bytes in what others published meanwhile is behind one of them: before it stores the next
# new chunk, it looks for what that one has published by now. A pack's worth: a look is a few requests.
LOOK_AFTER = 32 << 20

# The last packs that another session published. It has five more on their way at most, which end in any order, and up
# to eight that are durable and not published yet.
NEWEST = 16

# Looks after which a session has seen the first pack of everybody who began when it did.
LOOKS = 3

# Seconds between two looks, longer each time, and how long a session may publish nothing before it is waited for no
# more. One that has ended is noticed at the next look.
SHORTEST, GROWTH, LONGEST = 0.1, 1.5, 5.0
PATIENCE = 120.0

# Chunks of one's own last eight packs, by which it shows that another session is level. (With those of two packs alone,
# four in lock-step stored 768 MiB 1.7 times, with these 1.2 times, one run each; `bench objects` says what it is.)
_MARKS = 24

Look = Callable[[], Mapping[str, set[PackName]]]
Tell = Callable[[str], None]


class Following:
    """What one session knows of the others at work. For any thread. `look`: Reliance.look_again; `tell` hears the ids
    of the sessions that this one waits for, each once.
    """

    def __init__(self, backend: Backend, session: str, index: Index, look: Look, tell: Tell) -> None:
        self._backend, self._session, self._index, self._look = backend, session, index, look
        self._tell, self._told = tell, set[str]()
        self._newest: dict[str, deque[PackName]] = {}  # of each other session
        self._marks: deque[ChunkId] = deque(maxlen=_MARKS)
        self._last: ChunkId | None = None  # the last chunk that another session published meanwhile
        self._near: set[PackName] | None = None  # the packs that have that chunk, or a mark; None: to be looked up
        self._met = False  # whether anybody stored the same since the last look
        self._behind = 0  # bytes that were found in what others published meanwhile, since the last look
        self._left: set[str] = set()  # sessions that are waited for no more
        self._asking = threading.Lock()
        self._alone: bool | None = None
        self._every = self._looks = 0

    @property
    def alone(self) -> bool:
        """Whether nobody else was at work when this was first asked."""
        if self._alone is None:
            own = SESSIONS + self._session
            self._alone = all(info.name == own for info in self._backend.list(SESSIONS))
        return self._alone

    def is_due(self, packs: int, *, ending: bool) -> bool:
        """Whether to publish so many packs now. At the end they are published anyway, and who is there is not asked."""
        if ending:
            return packs >= PUBLISH_PACKS
        if not self._every:
            self._every = PUBLISH_PACKS if self.alone else 1
        return packs >= min(self._every, PUBLISH_PACKS)

    @property
    def ahead_of_all(self) -> bool:
        """Whether nobody is known that should store first what this session stores, too, and others could be known."""
        return self.alone or (self._looks >= LOOKS and self._ahead() is None)

    def stored(self, frames: Sequence[FrameInfo]) -> None:
        """A pack of this session is durable."""
        for frame in (frames[0], frames[len(frames) // 2], frames[-1]):  # packs of others begin and end elsewhere
            self._marks += frame.ids[-1:]  # padding, the last frame of a pack that was copied, has no chunk
        self._near = None

    def found(self, chunk: ChunkId, length: int) -> None:
        """A chunk of so many bytes lies in a pack that another session published meanwhile."""
        self._last, self._near, self._met = chunk, None, True
        self._behind += length

    def look(self) -> None:
        """See what others published, and how soon to do so again."""
        self._take()
        self._looks += 1
        met, self._met = self._met or not self._packs_near().isdisjoint(chain(*self._newest.values())), False
        self._every = 1 if met else 2 * max(1, self._every)

    def _take(self) -> bool:
        """Look; whether anybody has published anything."""
        arrived = self._look()
        for session, packs in arrived.items():
            self._newest.setdefault(session, deque(maxlen=NEWEST)).extend(packs)
        self._near = None
        return bool(arrived)

    def _packs_near(self) -> set[PackName]:
        """All packs that hold what this session has just stored, or come by."""
        near = self._near
        if near is None:
            chunks = [*self._marks, *([self._last] if self._last else [])]
            self._near = near = {pack for chunk in chunks for pack in self._index.packs_of(chunk)}
        return near

    def _ahead(self) -> str | None:
        """The session to wait for."""
        if not self._newest:
            return None
        near = self._packs_near()
        for session, newest in tuple(self._newest.items()):
            if session < self._session and session not in self._left and not near.isdisjoint(newest):
                return session
        return None

    def look_for(self, chunk: ChunkId) -> PackName | None:
        """The pack that surely has a chunk which no known one has; None where it is to be stored. It may wait."""
        if self._behind < LOOK_AFTER and self._ahead() is None:
            return None
        with self._asking:
            self._behind = 0
            self._take()
            pack = self._index.sound_pack(chunk)
            seconds, silent = SHORTEST, 0.0
            while pack is None and (other := self._ahead()) is not None:
                if other not in self._told:
                    self._told.add(other)
                    self._tell(other)
                if silent > PATIENCE or not pause(seconds):
                    self._left.add(other)
                    break
                if not self._is_at_work(other):
                    self._left.add(other)  # before the look: it published everything before it ended
                if self._take():
                    seconds, silent = SHORTEST, 0.0
                else:
                    seconds, silent = min(GROWTH * seconds, LONGEST), silent + seconds
                pack = self._index.sound_pack(chunk)
        return pack

    def _is_at_work(self, session: str) -> bool:
        try:
            self._backend.size(SESSIONS + session)
        except ObjectMissing:
            return False
        return True
