"""The protocol of sessions and garbage collection, explored exhaustively; and each of its rules left out, and missed.

Rule: a setting that passes is explored to its end. A rule that could be left out without any invariant breaking would
be a rule that nobody needs, so each break has a setting here in which it is found.
"""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from .model import BREAKS, Broken, explore, first
from .model_collector import collector_steps
from .model_state import Setting, State
from .model_writer import writer_steps

pytestmark = pytest.mark.timeout(900)

FIRST, TWO = frozenset({1}), frozenset({2})
AGAIN = Setting(writers=2, runs=3, copies=2, publish=FIRST, again=TWO)

UNDER_WAY = Setting(writers=1, runs=2, under_way=1)

ONE = Setting(writers=1, runs=2)
# In which setting each break is found; where nothing is said, in that of one writer and two runs.
FOUND_IN = {
    "lease-after-look": Setting(writers=1, runs=4, copies=2),
    "again-unseen": replace(AGAIN, runs=4),
    "goes-unsaid": UNDER_WAY,
    "done-with-counts": replace(UNDER_WAY, runs=3),
    "keeps-condemned-copy": Setting(writers=0, collectors=2, copies=2, forgets=0),
}


@pytest.mark.parametrize(
    ("setting", "at_least"),
    [
        (Setting(writers=1, runs=3, forgets=2, late=1), 20_000),
        (Setting(writers=1, runs=2, copies=2, late=1), 6_000),
        (replace(UNDER_WAY, runs=3), 10_000),
        (Setting(writers=2, runs=2, publish=FIRST, again=TWO), 30_000),
        (Setting(writers=0, collectors=2, runs=2, copies=2, forgets=0, late=1), 1_000),
        (Setting(writers=0, collectors=2, runs=2, copies=2, sharded=True, late=1), 1_000),
    ],
    ids=str,
)
def test_nothing_that_counts_is_ever_broken(setting: Setting, at_least: int) -> None:
    assert explore(setting) > at_least


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting",
    [
        Setting(writers=2, runs=2),
        Setting(writers=2, runs=2, inherit=TWO),
        AGAIN,
        Setting(writers=1, runs=4, copies=2, late=1),
        Setting(writers=1, collectors=2, runs=2, late=1),
        Setting(writers=1, collectors=2, runs=2, copies=2, forgets=0),
        Setting(writers=1, collectors=2, runs=2, sharded=True),
        Setting(writers=1, collectors=2, runs=2, copies=2, sharded=True),
    ],
    ids=str,
)
def test_nor_where_more_are_at_work(setting: Setting) -> None:
    assert explore(setting) > 100_000


@pytest.mark.parametrize("broken", [name for name in BREAKS if name not in ("inherits-unseen", "live-is-let-go")])
def test_each_rule_is_needed(broken: str) -> None:
    with pytest.raises(Broken):
        explore(replace(FOUND_IN.get(broken, ONE), broken=broken))


@pytest.mark.slow
def test_so_is_the_look_at_what_is_taken_over() -> None:
    """It takes a writer that sleeps between its last look and its root, and another that goes on from there."""
    with pytest.raises(Broken):
        explore(Setting(writers=2, runs=2, inherit=TWO, forgets=2, broken="inherits-unseen"))


COLLECTORS = "cz"
RUN = "packs sessions fence settle roots remove"
# Who makes a step, and where it leads (?: wherever): of the sessions 1 and 2, and of the collectors c and z.
SLOW = f"""
1 lease read look secure
c {RUN} done-with condemn
1 create confirm end done
2 end done
z {RUN}
c survey {RUN} done-with condemn survey {RUN} done-with condemn survey {RUN} ?
z remove
"""


@pytest.mark.parametrize("broken", ["", "live-is-let-go"])
def test_a_collector_that_is_slow_finds_nothing_of_what_it_removes_relied_on(broken: str) -> None:
    """One history, since all that are as long are too many. Session 2 keeps c from removing the first of two packs; c
    condemns the second one as well, while session 1 commits what it found there; z means to remove the first, and
    sleeps. Had c let go of the first, which is live after all, it would remove the second: z wakes.
    """
    setting = Setting(writers=2, collectors=2, copies=2, publish=TWO, condemned=1, broken=broken)
    state = first(setting)
    for who, at in [(who, at) for who, *leads in map(str.split, SLOW.strip().splitlines()) for at in leads]:
        state = next(state for state in _steps(state, setting, who) if at in ("?", _at(state, who)))
    assert state.roots
    assert bool(state.packs) == (broken == "")


def _steps(state: State, setting: Setting, who: str) -> Iterator[State]:
    if who in COLLECTORS:
        return collector_steps(state, setting, COLLECTORS.index(who))
    return writer_steps(state, setting, int(who))


def _at(state: State, who: str) -> str:
    return state.collectors[COLLECTORS.index(who)].at if who in COLLECTORS else state.writers[int(who) - 1].at
