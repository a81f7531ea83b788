"""The model's state: what lies in the store, and where each writer and collector stands.

Rule: everything is a tuple or a number, so that a state is its own hash. Sets of packs, roots and sessions are masks of
bits: root and session n are those of writer n, and 0 is the level that was there at the beginning.
"""

from typing import NamedTuple

from msgspec import Struct


class Setting(Struct, frozen=True):
    """What is explored. `inherit`: writers that take over the chunk of an earlier root; `publish`: writers that are at
    work at the beginning, and do nothing more than publish what they know of the index; `again`: writers that look for
    what others published before they upload; `runs` of each collector; `copies`: packs that hold the chunk at the
    beginning; `forgets`: at most so many roots; `sharded`: each collector condemns its half of the packs, and the first
    removes; `condemned`: packs that were condemned at the beginning, when no root was there; `late`: condemnations that
    may land late; `under_way`: packs of one that was under way at the beginning, as number 1, while another collector
    took that number, and the next one, and removed what these condemned; `broken`: see model.BREAKS.
    """

    writers: int = 2
    inherit: frozenset[int] = frozenset()
    publish: frozenset[int] = frozenset()
    again: frozenset[int] = frozenset()
    collectors: int = 1
    runs: int = 2
    forgets: int = 1
    copies: int = 1
    sharded: bool = False
    condemned: int = 0
    late: int = 0
    under_way: int = 0
    broken: str = ""


class Condemned(NamedTuple):
    """A condemnation. `done`: up to which generation nothing is left to do."""

    generation: int
    packs: int
    done: int = 0


class Writer(NamedTuple):
    """`at` names its next step."""

    at: str = "start"
    generation: int = 0  # in its lease
    known: int = 0  # packs condemned, as far as it has read
    read: int = 0  # the newest condemnation it has read
    relies: int = 0  # packs that hold what its root will refer to
    named: int = 0  # packs that segments name, as far as it has read, of one that will publish them


class Collector(NamedTuple):
    """`at` names its next step; the rest is what it has read in this run."""

    at: str = "survey"
    runs: int = 0
    condemned: tuple[Condemned, ...] = ()
    packs: int = 0
    leases: tuple[tuple[int, int], ...] = ()
    early: int = 0  # roots, where they are listed too early
    given_up: int = 0
    ripe: int = 0  # generations
    live: int = 0  # packs
    doomed: int = 0


class State(NamedTuple):
    """Everything. `flying`: roots that may yet be created; `late`: condemnations likewise, and `lates` how many there
    were; `told`: writers that were told that they committed.
    """

    packs: int
    named: int  # packs that segments name
    roots: int
    writers: tuple[Writer, ...]
    collectors: tuple[Collector, ...]
    condemned: tuple[Condemned, ...] = ()  # ascending
    leases: tuple[tuple[int, int], ...] = ()  # (session, generation)
    fences: int = 0
    accepted: tuple[tuple[int, bool], ...] = ()  # (session, whether its root counts)
    flying: int = 0
    late: tuple[Condemned, ...] = ()
    lates: int = 0
    told: int = 0
    forgotten: int = 0
    forgets: int = 0
    buried: int = 0


def with_writer(state: State, number: int, writer: Writer, **changes: object) -> State:
    """The state after a step of writer `number` (from 1)."""
    writers = (*state.writers[: number - 1], writer, *state.writers[number:])
    return state._replace(writers=writers, **changes)  # type: ignore[arg-type]  # fields by name


def with_collector(state: State, number: int, collector: Collector, **changes: object) -> State:
    """The state after a step of collector `number` (from 0)."""
    collectors = (*state.collectors[:number], collector, *state.collectors[number + 1 :])
    return state._replace(collectors=collectors, **changes)  # type: ignore[arg-type]  # fields by name


def counting(state: State, broken: str = "") -> int:
    """The roots that are not void."""
    roots = state.roots
    if broken != "void-counts":
        for session, counts in state.accepted:
            if not counts:
                roots &= ~(1 << session)
    return roots


def without_lease(state: State, session: int) -> tuple[tuple[int, int], ...]:
    return tuple(lease for lease in state.leases if lease[0] != session)


def newest(state: State) -> int:
    """The number of the newest condemnation."""
    return state.condemned[-1].generation if state.condemned else 0


def done_with(condemned: tuple[Condemned, ...]) -> int:
    """Up to which generation nothing is left to do, as they say."""
    return max((each.done for each in condemned), default=0)


def in_force(condemned: tuple[Condemned, ...], broken: str = "") -> tuple[Condemned, ...]:
    """Those that count: the others came late, or are about to be removed."""
    done = 0 if broken == "done-with-counts" else done_with(condemned)
    return tuple(each for each in condemned if each.generation > done)


def published(condemned: tuple[Condemned, ...], one: Condemned) -> tuple[Condemned, ...]:
    """With one that is created exclusively: as they were where its number is taken."""
    if one.generation in (each.generation for each in condemned):
        return condemned
    return tuple(sorted((*condemned, one)))
