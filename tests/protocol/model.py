"""Sessions and garbage collection as a small model: every order of every step of a few writers and collectors.

One chunk is enough: a root refers to it, and is broken when no pack holds it any more. Each step is one request to the
storage, as the real code makes it, and anything may happen between two: others go on, a process sleeps or crashes (it
is not chosen for a while, or never again), a clock says what it likes (a collector may give up on any session), the
answer to the creation of a root or of a condemnation is lost, and it is there at once, later, or never.

Rule: `explore` visits every state that can be reached, and checks in each that no root that counts refers to a chunk
that is gone, and that no writer was told of a commit that does not count. BREAKS are rules of the protocol, each of
which can be left out; then a state must be found that breaks an invariant.
It knows nothing of time, bytes, frames or the index: simulation.py runs the real code.
"""

from collections.abc import Iterator

from .model_collector import collector_steps
from .model_state import Collector, Condemned, Setting, State, Writer, counting, published, without_lease
from .model_writer import writer_steps

BREAKS = {
    "deletes-unread": "condemned packs are removed without holding them against the roots again",
    "does-not-wait": "condemned packs are removed while sessions are at work that had not read of it",
    "gives-up-unfenced": "a session whose lease is old is taken for ended, without a fence",
    "lists-before-fence": "the roots of a session that was given up are listed before its fence is raised",
    "void-counts": "readers take the void roots of fenced sessions for roots",
    "relies-on-condemned": "a session relies on packs that are condemned",
    "lease-after-look": "a session looks for chunks before its lease is there",
    "lease-ends-early": "a session removes its lease before it creates its root",
    "lease-dropped-unanswered": "a session removes its lease though nobody knows whether its root will be created",
    "goes-unsaid": "a condemnation is removed though no newer one says that it is done with: its number is free again",
    "done-with-counts": "a condemnation counts that a newer one says is done with",
    "condemnation-goes-first": "a condemnation is removed before its packs are",
    "live-is-let-go": "a condemnation is done with while its packs are there, since they are live after all",
    "inherits-unseen": "references are taken over from an earlier root without a look at where they lead",
    "keeps-condemned-copy": "of two copies one is kept that is condemned, as if it were not",
    "again-unseen": "a session relies on packs that others published meanwhile without a look whether they are there",
    "unconfirmed": "a session does not look for a fence after it has created its root",
}


class Broken(Exception):
    """A state that must not be."""


def first(setting: Setting) -> State:
    """Where everything begins."""
    packs = (1 << setting.copies) - 1
    numbers = range(1, setting.writers + 1)
    writers = tuple(Writer("publish", named=packs) if number in setting.publish else Writer() for number in numbers)
    leases = tuple((number, 0) for number in sorted(setting.publish))
    condemned = (Condemned(1, setting.condemned),) if setting.condemned else ()
    collectors = (Collector(),) * setting.collectors
    state = State(packs, packs, int(not condemned), writers, collectors, condemned=condemned, leases=leases)
    if setting.under_way:
        late = (Condemned(1, setting.under_way),)
        return state._replace(roots=0, condemned=(Condemned(1, 0), Condemned(2, 0)), late=late, lates=1)
    return state


def explore(setting: Setting) -> int:
    """Visit every state; how many there are. Raises Broken."""
    begin = first(setting)
    seen = {begin}
    waiting = [begin]
    while waiting:
        state = waiting.pop()
        _check(state, setting)
        for following in _steps(state, setting):
            if following not in seen:
                seen.add(following)
                waiting.append(following)
    return len(seen)


def _check(state: State, setting: Setting) -> None:
    roots = counting(state, setting.broken)
    if roots and not state.packs:
        raise Broken("a root that counts refers to a chunk that is gone")
    if state.told & ~(counting(state) | state.forgotten):
        raise Broken("a writer was told of a commit that does not count")


def _steps(state: State, setting: Setting) -> Iterator[State]:
    for number, writer in enumerate(state.writers, 1):
        if writer.at != "done":
            yield from writer_steps(state, setting, number)
        if state.flying >> number & 1:
            yield state._replace(flying=state.flying & ~(1 << number), roots=state.roots | 1 << number)
    for one in state.late:
        left = tuple(each for each in state.late if each is not one)
        yield state._replace(late=left, condemned=published(state.condemned, one))
    if not state.buried:
        for session, _ in state.leases:
            # A writer found the process dead: it fences the session and removes the lease, and looks at no root.
            leases = without_lease(state, session)
            yield state._replace(fences=state.fences | 1 << session, leases=leases, buried=1)
    if state.forgets < setting.forgets:
        yield from _forget(state, setting)
    for number, collector in enumerate(state.collectors):
        if collector.runs < setting.runs:
            yield from collector_steps(state, setting, number)


def _forget(state: State, setting: Setting) -> Iterator[State]:
    for session in range(setting.writers + 1):
        gone = 1 << session
        if counting(state, setting.broken) & gone:
            forgotten = state.forgotten | gone
            yield state._replace(roots=state.roots & ~gone, forgotten=forgotten, forgets=state.forgets + 1)
