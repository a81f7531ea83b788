"""A collector of the model, step by step as store/collection.py goes.

    survey (condemnations) -> packs -> sessions -> [fence] -> settle -> roots -> remove ... -> done-with -> condemn

Rule: a step is one request, or several that read what cannot change in between. A collector may give up on any session
at any time: what its clock says does not matter. It may stop at any step for ever; a run that is broken off is one that
is never chosen again.
"""

from collections.abc import Iterator

from .model_state import (
    Collector,
    Condemned,
    Setting,
    State,
    counting,
    done_with,
    in_force,
    newest,
    published,
    with_collector,
)


def collector_steps(state: State, setting: Setting, number: int) -> Iterator[State]:
    """What the collector may do next."""
    collector = state.collectors[number]
    yield from _STEPS[collector.at](state, setting, number, collector)


def _survey(state: State, setting: Setting, number: int, collector: Collector) -> Iterator[State]:
    yield with_collector(state, number, collector._replace(at="packs", condemned=state.condemned))


def _packs(state: State, setting: Setting, number: int, collector: Collector) -> Iterator[State]:
    yield with_collector(state, number, collector._replace(at="sessions", packs=state.packs))


def _sessions(state: State, setting: Setting, number: int, collector: Collector) -> Iterator[State]:
    """List them, and choose whom to give up."""
    early = state.roots if setting.broken == "lists-before-fence" else 0
    for given_up in _subsets(state.leases):
        following = collector._replace(at="fence", leases=state.leases, given_up=given_up, early=early)
        yield with_collector(state, number, following)


def _subsets(leases: tuple[tuple[int, int], ...]) -> Iterator[int]:
    """None, or one of the sessions: two are given up in two runs."""
    yield 0
    yield from (1 << session for session, _ in leases)


def _fence(state: State, setting: Setting, number: int, collector: Collector) -> Iterator[State]:
    raised = 0 if setting.broken == "gives-up-unfenced" else collector.given_up
    yield with_collector(state, number, collector._replace(at="settle"), fences=state.fences | raised)


def _settle(state: State, setting: Setting, number: int, collector: Collector) -> Iterator[State]:
    """List the roots, record which of those of fenced sessions count, and remove the others, and the leases."""
    listed = collector.early if setting.broken == "lists-before-fence" else state.roots
    accepted, over = dict(state.accepted), state.fences
    for session in range(1, setting.writers + 1):
        if over >> session & 1:
            accepted.setdefault(session, bool(listed >> session & 1))
    if setting.broken == "gives-up-unfenced":
        over |= collector.given_up
    # In the real code two requests; a root that is created in between is removed by the next run, or is no root.
    void = sum(1 << session for session, counts in state.accepted if not counts)
    roots = state.roots if setting.broken == "void-counts" else state.roots & ~void
    left = tuple(lease for lease in collector.leases if not over >> lease[0] & 1)
    leases = tuple(lease for lease in state.leases if not over >> lease[0] & 1)
    following = collector._replace(at="roots", leases=left, given_up=0, early=0)
    yield with_collector(state, number, following, accepted=tuple(sorted(accepted.items())), roots=roots, leases=leases)


def _roots(state: State, setting: Setting, number: int, collector: Collector) -> Iterator[State]:
    """Mark: which packs are kept, and which of the ripe ones are not."""
    condemned = ripe_packs = ripe = 0
    for generation, packs, _ in in_force(collector.condemned, setting.broken):
        condemned |= packs
        if _is_ripe(collector, generation) or setting.broken == "does-not-wait":
            ripe |= 1 << generation
            ripe_packs |= packs
    live = 0
    if counting(state):
        sound = collector.packs & ~(0 if setting.broken == "keeps-condemned-copy" else condemned)
        # Of several copies each collector may keep another one: what it keeps is not part of the protocol.
        lowest = sound & -sound if number % 2 == 0 else 1 << sound.bit_length() >> 1
        live = lowest if sound else collector.packs
    if setting.broken == "deletes-unread":
        live &= ~condemned
    doomed = ripe_packs & collector.packs & ~live
    if setting.sharded and number != 0:
        doomed = ripe = 0
    following = collector._replace(at="remove", ripe=ripe, live=live, doomed=doomed)
    if setting.broken == "condemnation-goes-first":
        following = following._replace(at="done-with")
    yield with_collector(state, number, following)


def _remove(state: State, setting: Setting, number: int, collector: Collector) -> Iterator[State]:
    """Remove one pack, or go on."""
    after = "condemn" if setting.broken == "condemnation-goes-first" else "done-with"
    if not collector.doomed:
        yield with_collector(state, number, collector._replace(at=after))
        return
    one = collector.doomed & -collector.doomed
    following = collector._replace(doomed=collector.doomed & ~one)
    yield with_collector(state, number, following, packs=state.packs & ~one, named=state.named & ~one)


def _is_ripe(collector: Collector, generation: int) -> bool:
    return not any(read < generation for _, read in collector.leases)


def _done_with(state: State, setting: Setting, number: int, collector: Collector) -> Iterator[State]:
    """Remove the condemnations that a newer one said are done with, and that no session at work has not read."""
    first = setting.broken == "condemnation-goes-first"
    done = done_with(collector.condemned)
    if setting.broken == "goes-unsaid" and collector.condemned:  # but for the newest, since numbers go on from it
        done = min(_done(setting, collector), collector.condemned[-1].generation - 1)

    def goes(generation: int) -> bool:
        if first:
            return bool(collector.ripe >> generation & 1)
        return generation <= done and _is_ripe(collector, generation)

    left = tuple(each for each in state.condemned if not goes(each.generation))
    yield with_collector(state, number, collector._replace(at="remove" if first else "condemn"), condemned=left)


def _done(setting: Setting, collector: Collector) -> int:
    """Up to which generation nothing is left to do: all packs were gone before this run."""
    done = done_with(collector.condemned)
    for generation, packs, _ in in_force(collector.condemned, setting.broken):
        there = packs & collector.packs
        if setting.broken == "live-is-let-go":
            there &= ~collector.live
        if there or not collector.ripe >> generation & 1:
            break
        done = generation
    return done


def _condemn(state: State, setting: Setting, number: int, collector: Collector) -> Iterator[State]:
    """Publish a generation, exclusively, with what is dead and of no session at work; and end the run."""
    ended = Collector(runs=collector.runs + 1)
    condemned = 0
    for each in in_force(collector.condemned, setting.broken):
        condemned |= each.packs
    busy = sum(1 << (setting.copies + session - 1) for session, _ in collector.leases)
    dead = collector.packs & ~collector.live & ~condemned & ~busy & _shard(setting, number)
    done = _done(setting, collector)
    generation = (collector.condemned[-1].generation if collector.condemned else 0) + 1
    if setting.sharded:
        generation = max(generation, newest(state) + 1)  # tried one after the other, until one is free
    lets_go = setting.broken == "live-is-let-go" and done > done_with(collector.condemned)
    if not dead and not lets_go:
        yield with_collector(state, number, ended)  # nothing to condemn
        return
    one = Condemned(generation, dead, 0 if setting.broken == "goes-unsaid" else done)
    yield with_collector(state, number, ended, condemned=published(state.condemned, one))
    if state.lates < setting.late:
        # There is no answer: the run fails, and the condemnation lands some time, if its number is free then, or never.
        yield with_collector(state, number, ended, late=(*state.late, one), lates=state.lates + 1)


def _shard(setting: Setting, number: int) -> int:
    """The packs that a collector judges: all, or every second one."""
    if not setting.sharded:
        return ~0
    return sum(1 << pack for pack in range(setting.copies + setting.writers) if pack % 2 == number % 2)


_STEPS = {
    "survey": _survey,
    "packs": _packs,
    "sessions": _sessions,
    "fence": _fence,
    "settle": _settle,
    "roots": _roots,
    "remove": _remove,
    "done-with": _done_with,
    "condemn": _condemn,
}
