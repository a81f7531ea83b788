"""Random histories of backups, forgetting, undeleting, pins and rules against a naive model; some steps are cut off, as
by a power loss or a storage that answers no more, at any of their changes.

Rule: the model knows names and contents alone. After each step the store lists what the model has; at the end every
level that is left holds what its backup saw, and verification finds nothing.
"""

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from siltstone.engine import LevelRef, entries, list_levels, verify_store
from siltstone.engine.forgetting import carry_out, judge_by_name, judge_by_rules, undelete
from siltstone.engine.forgotten import forgotten_levels
from siltstone.engine.keep_rules import WINDOW_NS, KeepRules
from siltstone.engine.pins import pin_level, pinned_refs, unpin_level
from siltstone.store import Store
from tests.backed_up import back_up, ignore, new_store, reopened
from tests.backing_up import content_of
from tests.store.backends import FaultyBackend, Killed, MemoryBackend

PICKS = st.integers(0, 1000)


class Keeping(RuleBasedStateMachine):
    """A store, and what is there, what can come back, and what is pinned according to the model."""

    def __init__(self) -> None:
        super().__init__()
        self.tree = Path(tempfile.mkdtemp(prefix="silt-keeping-"))
        store = new_store()
        assert isinstance(store.backend, MemoryBackend)
        self.backend = store.backend
        self.there: dict[LevelRef, bytes] = {}
        self.forgotten: dict[LevelRef, bytes] = {}
        self.pinned: set[LevelRef] = set()
        self.contents = itertools.count()

    def teardown(self) -> None:
        store = self.store
        assert verify_store(store, report=ignore).damaged == []
        for level in list_levels(store):
            (content,) = (content_of(store, entry) for entry in entries(store, level) if entry.path.endswith(b"/file"))
            assert content == self.there[level.ref]
        shutil.rmtree(self.tree)

    @property
    def store(self) -> Store:
        return reopened(self.backend)

    def some(self, pick: int) -> LevelRef:
        known = sorted({*self.there, *self.forgotten})
        return known[pick % len(known)]

    def attempt(self, verb: Callable[[Store], object], at: int | None) -> None:
        """Do it; with `at`, it is cut off at that change, if it comes to so many."""
        faulty = FaultyBackend(self.backend, at)
        try:
            verb(reopened(faulty))
        except Killed:
            assert at is not None

    @rule(kind=st.sampled_from(("auto", "full", "incr", "diff")))
    def back_up(self, kind: str) -> None:
        content = b"%d" % next(self.contents)
        (self.tree / "file").write_bytes(content)
        os.utime(self.tree / "file", ns=(1, int(content) + 1))
        level = back_up(self.store, self.tree, kind=kind)  # type: ignore[arg-type]  # hypothesis knows no Literal
        known = {*self.there, *self.forgotten}
        newest = max(known, default=LevelRef("t", -1, 0))
        goes_on = kind != "full" and any(ref.group == newest.group for ref in self.there)
        expected = (newest.group, newest.level + 1) if goes_on else (newest.group + 1, 0)
        assert (level.group, level.level) == expected
        self.there[level.ref] = content

    @precondition(lambda self: self.there)
    @rule(pick=PICKS, whole=st.booleans(), at=st.none() | st.integers(0, 6))
    def forget(self, pick: int, whole: bool, at: int | None) -> None:
        ref = sorted(self.there)[pick % len(self.there)]
        mine = {other for other in self.there if other == ref or (whole and other.group == ref.group)}
        word = str(ref.group) if whole else str(ref)
        if mine & self.pinned:
            return
        self.attempt(lambda store: carry_out(store, judge_by_name(store, [word]), WINDOW_NS, ignore), at)
        self.take_stock(mine)
        if at is None:
            assert not mine & self.there.keys()

    @precondition(lambda self: self.there or self.forgotten)
    @rule(pick=PICKS, whole=st.booleans(), at=st.none() | st.integers(0, 9))
    def undelete(self, pick: int, whole: bool, at: int | None) -> None:
        ref = self.some(pick)
        known = {*self.there, *self.forgotten}
        mine = {other for other in known if other == ref or (whole and other.group == ref.group)}
        self.attempt(lambda store: undelete(store, [str(ref.group) if whole else str(ref)]), at)
        self.take_stock(mine)
        if at is None:
            assert mine <= self.there.keys()

    @precondition(lambda self: self.there)
    @rule(groups=st.integers(1, 3), last=st.integers(0, 3), at=st.none() | st.integers(0, 9))
    def apply_rules(self, groups: int, last: int, at: int | None) -> None:
        rules = KeepRules(groups=groups, last=last)
        self.attempt(lambda store: carry_out(store, judge_by_rules(store, rules), WINDOW_NS, ignore), at)
        newest = sorted({ref.group for ref in self.there})[-groups:]
        kept = {ref for ref in self.there if ref.group in newest or ref in self.pinned}
        kept |= set(sorted(self.there)[max(0, len(self.there) - last) :])
        self.take_stock(self.there.keys() - kept)
        if at is None:
            assert self.there.keys() == kept

    @precondition(lambda self: self.there)
    @rule(pick=PICKS)
    def pin_or_unpin(self, pick: int) -> None:
        ref = sorted(self.there)[pick % len(self.there)]
        (unpin_level if ref in self.pinned else pin_level)(self.store, ref)
        self.pinned ^= {ref}

    def take_stock(self, concerned: set[LevelRef]) -> None:
        """Each of the levels that a step was about is there or forgotten now, whole."""
        listed = {level.ref for level in list_levels(self.store)}
        contents = {**self.there, **self.forgotten}
        for ref in concerned:
            (self.there if ref in listed else self.forgotten)[ref] = contents[ref]
            (self.forgotten if ref in listed else self.there).pop(ref, None)

    @invariant()
    def the_store_lists_what_the_model_has(self) -> None:
        store = self.store
        assert [level.ref for level in list_levels(store)] == sorted(self.there)
        assert [each.level.ref for each in forgotten_levels(store)] == sorted(self.forgotten)
        assert pinned_refs(store) == sorted(self.pinned)


def test_histories() -> None:
    run_state_machine_as_test(Keeping, settings=settings(max_examples=10, stateful_step_count=20))
