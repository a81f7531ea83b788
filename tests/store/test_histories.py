"""Random histories of sessions against a plain model: what was committed reads back exactly, what was flushed is found.

Rule: two sessions may be at work at once, each can be killed at any of its writes, and index segments may be lost at
any time: they can always be made anew. Packs may be lost or found damaged, too: what they held is `gone`, which means
that reading it gives the right bytes or an error, until a session that began afterwards stores it again. The model is a
dict of roots and two sets of contents.
"""

from contextlib import suppress
from random import Random
from typing import Self

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from siltstone.store import Corrupt, ObjectMissing, PackList, PackName, chunk_id, listed_packs, verified_notes
from siltstone.store import following as following_module
from siltstone.store import index as index_module
from siltstone.store import writer as writer_module
from siltstone.store.index import INDEX

from .backends import FaultyBackend, Killed, MemoryBackend
from .stores import make, names, put, reopen, small_packs

NUMBERS = st.lists(st.integers(0, 120), max_size=40)
WHO = st.integers(0, 1)


def content(number: int) -> bytes:
    """Of any size from nothing to more than a frame."""
    return Random(number).randbytes(number * number % 3001)


class Session:
    """A writer over a backend that dies when it is told to."""

    def __init__(self, backend: MemoryBackend) -> None:
        self.backend = FaultyBackend(backend)
        self.store = reopen(self.backend)
        self.writer = self.store.writer("none")
        self.contents: list[bytes] = []
        self.knows: set[bytes] = set()  # to be gone

    def begin(self) -> Self:
        self.writer.__enter__()
        return self

    def end(self, error: type[BaseException] | None = None) -> None:
        self.writer.__exit__(error, None, None)


class Histories(RuleBasedStateMachine):
    """The store, and what is known of it."""

    def __init__(self) -> None:
        super().__init__()
        self.small = small_packs(pack=6000, frame=1500)
        self.small.__enter__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(index_module, "MERGE_WHEN", 3)
        self.patch.setattr(writer_module, "SEGMENT_ENTRIES", 25)
        self.patch.setattr(following_module, "PATIENCE", -1)  # one thread: nobody can wait for another
        self.backend = MemoryBackend()
        make(self.backend)
        self.sessions: dict[int, Session] = {}
        self.committed: dict[str, list[bytes]] = {}
        self.flushed: set[bytes] = set()
        self.gone: set[bytes] = set()
        self.time = 10**18  # of the last verification

    def teardown(self) -> None:
        for session in self.sessions.values():
            session.end()
        self.small.__exit__(None, None, None)
        self.patch.undo()

    def session(self, who: int) -> Session:
        if who not in self.sessions:
            self.sessions[who] = Session(self.backend).begin()
            self.sessions[who].knows = set(self.gone)
        return self.sessions[who]

    def kept(self, session: Session) -> None:
        """All that the session stored is durable and indexed now."""
        self.flushed |= set(session.contents)
        self.gone -= set(session.contents) & session.knows

    @rule(who=WHO, numbers=NUMBERS)
    def store(self, who: int, numbers: list[int]) -> None:
        session = self.session(who)
        contents = [content(number) for number in numbers]
        ids = put(session.writer, contents)
        assert ids == [chunk_id(each, session.store.ring.id_key) for each in contents]
        session.contents += contents

    @rule(who=WHO)
    def flush(self, who: int) -> None:
        session = self.session(who)
        session.writer.flush()
        self.kept(session)

    @rule(who=WHO)
    def commit(self, who: int) -> None:
        session = self.session(who)
        name = f"backups/host/0/{len(self.committed)}"
        ids = [chunk_id(each, session.store.ring.id_key) for each in session.contents]
        session.writer.commit(name, {"chunks": ids})
        self.committed[name] = list(session.contents)
        self.kept(session)

    @precondition(lambda self: self.sessions)
    @rule(who=WHO, error=st.sampled_from([None, RuntimeError]))
    def leave(self, who: int, error: type[BaseException] | None) -> None:
        if session := self.sessions.pop(who, None):
            session.end(error)
            self.kept(session)  # without a commit, too

    @rule(who=WHO, after=st.integers(0, 12), lands=st.booleans(), numbers=NUMBERS, commits=st.booleans())
    def kill(self, who: int, after: int, lands: bool, numbers: list[int], commits: bool) -> None:
        """The session goes on, and dies at one of its next writes."""
        session, name = self.session(who), f"backups/killed/0/{len(self.committed)}"
        session.backend._at, session.backend._lands = len(session.backend.changes) + after, lands
        try:
            put(session.writer, [content(number) for number in numbers])
            session.writer.flush()
            if commits:
                session.writer.commit(name, {"chunks": []})
                self.committed[name] = []
            session.end()
        except Killed:
            with suppress(Killed):  # a root that was not answered has to keep its lease: nothing is left to be written
                session.end()
            if name in names(self.backend, "backups/"):
                self.committed[name] = []
        del self.sessions[who]

    @rule(which=st.integers(0, 10))
    def lose_a_segment(self, which: int) -> None:
        segments = names(self.backend, INDEX)
        if segments:
            self.backend.delete(segments[which % len(segments)])

    @precondition(lambda self: len(self.flushed) > 20)
    @rule(which=st.integers(0, 10), rots=st.booleans())
    def lose_a_pack(self, which: int, rots: bool) -> None:
        packs = names(self.backend, "packs/")
        name = packs[which % len(packs)]
        store = reopen(self.backend)
        try:
            held = {chunk for frame in store.footer(PackName(name[-64:])).frames for chunk in frame.ids}
        except Corrupt:
            return  # it was lost before
        self.gone |= {each for each in map(content, range(121)) if chunk_id(each, store.ring.id_key) in held}
        if rots:
            self.backend.objects[name] = bytes(len(self.backend.objects[name]))
            listed = PackList(listed_packs(self.backend))
            self.time += 1
            verified_notes(store.opened, listed).remember(self.time, [], [packs.index(name)])
        else:
            self.backend.delete(name)

    @invariant()
    def everything_promised_is_there(self) -> None:
        store = reopen(self.backend)
        assert names(self.backend, "backups/") == sorted(self.committed)
        for name, contents in self.committed.items():
            assert store.read_root(name)["chunks"] == [chunk_id(each, store.ring.id_key) for each in contents]
        for each in self.flushed:
            chunk = chunk_id(each, store.ring.id_key)
            try:
                assert store.read_chunk(chunk) == each
            except (Corrupt, ObjectMissing):
                assert each in self.gone


Histories.TestCase.settings = settings(max_examples=25, stateful_step_count=20)
TestHistories = pytest.mark.timeout(110)(Histories.TestCase)
