"""Forgetting and undeleting: what comes back is what was there, its numbers stay its own, and pins hold."""

import time
from pathlib import Path

import pytest

from siltstone.engine import EngineError, Event, LevelNotFound, Limits, Noted, collect, list_levels, verify_store
from siltstone.engine.forgetting import carry_out, judge_by_name, judge_by_rules, undelete
from siltstone.engine.forgotten import copies, forget_level, forgotten_levels
from siltstone.engine.keep_rules import WINDOW_NS, KeepRules
from siltstone.engine.pins import pin_level, pinned_refs, read_pins, unpin_level
from siltstone.store import NoKey, Store
from siltstone.store.opening import OpenStore
from tests.backed_up import back_up, flip_middle, ignore, objects
from tests.backing_up import Picture, picture, recorded
from tests.forgetting import forget, made, ref, store, there, tree
from tests.store.backends import MemoryBackend

__all__ = ["made", "store", "tree"]  # fixtures


class TestForgetting:
    def test_a_level_and_a_group(self, store: Store) -> None:
        assert forget(store, "0/1") == ["0/1"]
        assert there(store) == ["0/0", "0/2", "1/0", "1/1"]
        assert forget(store, "t:0") == ["0/0", "0/2"]
        assert there(store) == ["1/0", "1/1"]
        assert [str(each.level.ref) for each in forgotten_levels(store)] == ["0/0", "0/1", "0/2"]

    def test_what_comes_back_is_what_was_there(
        self, store: Store, made: tuple[MemoryBackend, dict[str, Picture]]
    ) -> None:
        before = store.read_root("backups/t/0/2")
        forget(store, "0/2")
        assert undelete(store, ["0/2"]) == [(ref(0, 2), True)]
        assert store.read_root("backups/t/0/2") == before
        assert objects(store.backend, "forgotten/") == objects(store.backend, "absent/") == []
        (level,) = (level for level in list_levels(store) if level.ref == ref(0, 2))
        assert recorded(store, level) == made[1]["0/2"]

    def test_a_group_comes_back(self, store: Store) -> None:
        forget(store, "0/1", "0/2")
        assert undelete(store, ["0"]) == [(ref(0, 0), False), (ref(0, 1), True), (ref(0, 2), True)]

    def test_every_level_may_go_by_name(self, store: Store) -> None:
        forget(store, "0", "1")
        assert there(store) == []
        assert verify_store(store, report=ignore).damaged == []

    @pytest.mark.parametrize("word", ["7", "0/7", "x:0", "latest", "0/", "", "0/0/0", "-1"])
    def test_what_names_nothing(self, store: Store, word: str) -> None:
        with pytest.raises(LevelNotFound) as caught:
            forget(store, "0/0", word)
        assert caught.value.hint
        assert len(there(store)) == 5

    def test_undeleting_what_was_not_forgotten(self, store: Store) -> None:
        assert undelete(store, ["0/0"]) == [(ref(0, 0), False)]
        with pytest.raises(LevelNotFound):
            undelete(store, ["9/9"])

    def test_too_late(self, store: Store) -> None:
        forget_level(store, ref(0, 0), "test", window_ns=-1)
        with pytest.raises(LevelNotFound, match="too long ago"):
            undelete(store, ["0/0"])
        store.backend.delete(copies(store)[0].name)  # as the collection of garbage does
        with pytest.raises(LevelNotFound, match="too long ago"):
            undelete(store, ["0/0"])
        assert verify_store(store, report=ignore).damaged == []

    def test_a_name_that_another_level_took(self, store: Store) -> None:
        """No backup does that; a store that was put together by hand might."""
        forget(store, "0/1")
        store.backend.put("backups/t/0/1", [store.backend.get("backups/t/1/0")])
        with pytest.raises(EngineError, match="taken by another level"):
            undelete(store, ["0/1"])
        assert len(copies(store)) == 1

    def test_a_host_that_only_writes_forgets_nothing(self, store: Store) -> None:
        opened = store.opened
        writer = Store(OpenStore(opened.backend, opened.config, opened.ring.without_private()))
        for attempt in (
            lambda: judge_by_name(writer, ["0"]),
            lambda: judge_by_rules(writer, KeepRules(last=1)),
            lambda: undelete(writer, ["0/0"]),
        ):
            with pytest.raises(NoKey, match="is refused"):
                attempt()
        assert len(there(store)) == 5

    def test_a_damaged_level_goes_only_by_name(self, store: Store) -> None:
        backend = store.backend
        assert isinstance(backend, MemoryBackend)
        flip_middle(backend, "backups/t/1/1")
        judged = judge_by_rules(store, KeepRules(last=1))
        assert [str(each.ref) for each in judged if each.stays] == ["1/0", "1/1"]
        assert forget(store, "1/1") == ["1/1"]
        (forgotten,) = forgotten_levels(store)
        assert forgotten.level.damage


class TestNumbers:
    def test_numbers_are_given_once(self, store: Store, tree: Path) -> None:
        forget(store, "1/1")
        assert str(back_up(store, tree).ref) == "1/2"
        forget(store, "1")
        level = back_up(store, tree, kind="incr")
        assert (str(level.ref), level.kind) == ("2/0", "full")

    def test_not_even_after_the_copy_is_gone(self, store: Store, tree: Path) -> None:
        forget(store, "0", "1")
        for copy in copies(store):
            store.backend.delete(copy.name)
        assert str(back_up(store, tree).ref) == "2/0"

    def test_an_incremental_without_its_parent(self, store: Store, tree: Path) -> None:
        forget(store, "1/1")
        level = back_up(store, tree, kind="incr")
        assert (str(level.ref), level.parent) == ("1/2", 0)
        assert recorded(store, level) == picture(tree)


class TestPins:
    def test_what_is_pinned_stays(self, store: Store) -> None:
        pin_level(store, ref(0, 1), "before the move")
        with pytest.raises(EngineError, match="0/1 is pinned: nothing was forgotten"):
            forget(store, "0")
        assert len(there(store)) == 5
        judged = judge_by_rules(store, KeepRules(groups=1))
        assert [str(each.ref) for each in carry_out(store, judged, WINDOW_NS, ignore)] == ["0/0", "0/2"]
        unpin_level(store, ref(0, 1))
        assert forget(store, "0") == ["0/1"]

    def test_pinned_at_the_last_moment(self, store: Store) -> None:
        judged = judge_by_name(store, ["0"])
        pin_level(store, ref(0, 1))
        assert [str(each.ref) for each in carry_out(store, judged, WINDOW_NS, ignore)] == ["0/0", "0/2"]

    def test_what_a_pin_says(self, store: Store) -> None:
        pin_level(store, ref(0, 1), "before the move")
        with pytest.raises(EngineError, match="pinned already"):
            pin_level(store, ref(0, 1))
        with pytest.raises(EngineError, match="not pinned"):
            unpin_level(store, ref(0, 0))
        assert read_pins(store)[ref(0, 1)].note == "before the move"
        assert b"before the move" not in store.backend.get("pins/t/0/1")

    def test_a_damaged_pin_pins(self, store: Store) -> None:
        pin_level(store, ref(0, 1), "before the move")
        backend = store.backend
        assert isinstance(backend, MemoryBackend)
        flip_middle(backend, "pins/t/0/1")
        assert pinned_refs(store) == [ref(0, 1)]
        assert "cannot be read" in read_pins(store)[ref(0, 1)].note
        with pytest.raises(EngineError, match="pinned"):
            forget(store, "0/1")


def test_what_was_forgotten_is_told_and_why(store: Store) -> None:
    events: list[Event] = []
    before = time.time_ns()
    judged = judge_by_rules(store, KeepRules(groups=1))
    carry_out(store, judged, WINDOW_NS, events.append)
    assert events[0] == Noted("forgot t:0/0: beyond the newest group")
    first = forgotten_levels(store)[0]
    assert (first.absence.reason, first.absence.ref) == ("beyond the newest group", ref(0, 0))
    assert before + WINDOW_NS <= first.absence.until_ns <= time.time_ns() + WINDOW_NS


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("absent/t/0/0", "t:0/0 was forgotten or is lost"),
        ("forgotten/t/0/0/", "cannot be undeleted"),
        ("pins/t/1/0", "pinned all the same"),
    ],
)
def test_damaged_notes_and_copies_are_named(store: Store, folder: str, said: str) -> None:
    """A note that somebody made without the keys hides no lost level, either."""
    forget(store, "0/0")
    pin_level(store, ref(1, 0))
    backend = store.backend
    assert isinstance(backend, MemoryBackend)
    (name,) = (name for name in backend.objects if name.startswith(folder))
    flip_middle(backend, name)
    (damage,) = verify_store(store, report=ignore).damaged
    assert damage.object == name
    assert said in damage.error
    assert damage.levels == {}


@pytest.mark.parametrize("damaged", [False, True], ids=["whole", "damaged"])
def test_the_store_knows_how_long_it_can_be_undeleted(
    store: Store, damaged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever collects garbage, on whichever host: also when nobody can read how long any more."""
    forget_level(store, ref(0, 1), "a test", 30 * WINDOW_NS)
    if damaged:
        assert isinstance(store.backend, MemoryBackend)
        flip_middle(store.backend, "absent/t/0/1")
    later = time.time_ns() + 8 * WINDOW_NS
    monkeypatch.setattr(time, "time_ns", lambda: later)
    for _ in range(2):
        assert collect(store, limits=Limits(share=1.0), report=ignore).expired == 0
    assert undelete(store, ["0/1"]) == [(ref(0, 1), True)]


def test_a_lost_root_is_damage_all_the_same(store: Store) -> None:
    forget(store, "0/0")
    store.backend.delete("backups/t/0/1")
    (damage,) = verify_store(store, report=ignore).damaged
    assert damage.object == "backups/t/0/1"
