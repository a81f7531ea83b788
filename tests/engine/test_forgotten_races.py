"""Forgetting and undeleting, cut off at each step or crossed by another host: the level is there or can come back, and
nothing is damage.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from siltstone.engine import LevelNotFound, verify_store
from siltstone.engine.forgotten import forget_level, forgotten_levels, undelete_level
from siltstone.store import Store, StoreError
from tests.backed_up import copied, ignore, objects, reopened
from tests.forgetting import made, ref, store, there, tree
from tests.store.backends import FaultyBackend, Killed, MemoryBackend, lost_mount

__all__ = ["made", "store", "tree"]  # fixtures


def forget_one(store: Store) -> None:
    forget_level(store, ref(0, 1), "test")


def undelete_one(store: Store) -> None:
    undelete_level(store, ref(0, 1))


@pytest.mark.parametrize("error", [Killed, lost_mount])
@pytest.mark.parametrize("lands", [False, True])
@pytest.mark.parametrize(("verb", "steps"), [(forget_one, 3), (undelete_one, 5)])
def test_a_crash_at_each_step(
    store: Store, verb: Callable[[Store], None], steps: int, lands: bool, error: Callable[[], BaseException]
) -> None:
    """The level is there, or can be had again; nothing is damage; and the same once more, and back, works."""
    if verb is undelete_one:
        forget_one(store)
    backend = store.backend
    content = store.read_root("backups/t/0/2")
    for at in range(steps):
        one = copied(backend)
        faulty = FaultyBackend(one, at, error=error, lands=lands)
        try:
            verb(reopened(faulty))
        except (Killed, StoreError):
            pass
        else:
            assert faulty.changes[at][1].startswith("sessions/")  # a lease that stays is cleared away later
        assert len(faulty.changes) > at
        after = reopened(one)
        recoverable = {*there(after), *(str(each.level.ref) for each in forgotten_levels(after))}
        assert recoverable == {"0/0", "0/1", "0/2", "1/0", "1/1"}
        assert verify_store(after, report=ignore).damaged == []
        assert after.read_root("backups/t/0/2") == content
        forget_again(after)
        undelete_one(after)
        assert len(there(after)) == 5
        assert objects(one, "forgotten/") == objects(one, "absent/") == []


def forget_again(store: Store) -> None:
    if "0/1" in there(store):
        forget_one(store)
    assert "0/1" not in there(store)


class Interrupting:
    """Passes everything on; before change number `at` (from 0) somebody else does something, once."""

    def __init__(self, inner: MemoryBackend, at: int, other: Callable[[], None]) -> None:
        self._inner, self._left, self._other = inner, at, other

    def __getattr__(self, name: str) -> Any:
        if name in ("put", "delete"):
            self._left -= 1
            if self._left == -1:
                self._other()
        return getattr(self._inner, name)


@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize("other", [forget_one, undelete_one])
@pytest.mark.parametrize("verb", [forget_one, undelete_one])
def test_two_hosts_at_the_same_level(
    store: Store, verb: Callable[[Store], None], other: Callable[[Store], None], at: int
) -> None:
    """Whoever comes first: the level is there or can be had again, and what was done can be done again."""
    backend = store.backend
    assert isinstance(backend, MemoryBackend)
    if verb is undelete_one:
        forget_one(store)
    with suppress(LevelNotFound):
        verb(reopened(Interrupting(backend, at, lambda: _try(other, backend))))
    after = reopened(backend)
    recoverable = {*there(after), *(str(each.level.ref) for each in forgotten_levels(after))}
    assert recoverable == {"0/0", "0/1", "0/2", "1/0", "1/1"}
    assert verify_store(after, report=ignore).damaged == []
    _try(undelete_one, backend)
    assert len(there(reopened(backend))) == 5


def _try(verb: Callable[[Store], None], backend: MemoryBackend) -> None:
    with suppress(LevelNotFound):
        verb(reopened(backend))
