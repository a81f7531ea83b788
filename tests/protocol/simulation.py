"""The real code under a schedule: writers, collectors, and somebody who forgets and undeletes, over one storage.

    python -m tests.protocol.simulation FIRST COUNT [BREAK]     so many schedules, from that seed on

It ends with 1 at the first that fails. BREAK leaves out a rule of the protocol (see BREAKS), and then one must fail.

What runs is Store, Writer, `collect` and `forget_level` as they are; stand_ins.py has what they run over.

Rule: after each run of a collector, and at the end, every root that counts reads back exactly, and every commit that a
writer was told of is there, unless it was forgotten. A seed gives the same history in every process (PYTHONHASHSEED is
set): whatever fails can be replayed.
"""

import json
import sys
from functools import partial
from random import Random

import pytest
from msgspec import Struct, field

from siltstone.engine import garbage
from siltstone.engine.errors import EngineError
from siltstone.engine.forgotten import copies, forget_level, undelete_level
from siltstone.engine.levels import level_refs
from siltstone.store import (
    EVERYTHING,
    ChunkId,
    Corrupt,
    Inherited,
    ObjectMissing,
    Shard,
    Store,
    StoreError,
    VoidRoot,
    chunk_id,
    lease,
)
from siltstone.store.fence import fenced_sessions
from tests.protocol.schedule import Actor, Schedule
from tests.protocol.stand_ins import stood_in
from tests.store.backends import MemoryBackend
from tests.store.stores import make, put

CONTENTS = [Random(number).randbytes(300 + 40 * number) for number in range(24)]
RUNS = 8  # of each collector
LEVELS = 5  # that each writer tries to commit


class History(Struct):
    """What is known to have been promised."""

    committed: dict[str, list[int]] = field(default_factory=dict)
    meant: dict[str, list[int]] = field(default_factory=dict)  # by roots that may have been created
    forgotten: set[str] = field(default_factory=set)
    figures: dict[str, int] = field(default_factory=dict)
    contents: int = 8  # how many different chunks there are: the fewer, the more are relied on that others stored

    def count(self, what: str, number: int = 1) -> None:
        self.figures[what] = self.figures.get(what, 0) + number


class Broken(Exception):
    """A promise was broken."""


def simulate(seed: int) -> History:
    """One schedule. Raises Broken, and whatever the real code raises that it must not."""
    schedule = Schedule(seed)
    history = History(contents=schedule.chance.choice([6, 24]))
    with stood_in(schedule):
        make(schedule.storage, encrypted=False)
        for number in range(schedule.chance.randint(2, 4)):
            schedule.add(f"writer{number}", lambda actor: _write(actor, history))
        collectors = schedule.chance.randint(1, 2)
        shards = collectors if schedule.chance.random() < 0.5 else 1
        for number in range(collectors):
            shard = Shard(number + 1, shards) if shards > 1 else EVERYTHING
            schedule.add(f"collector{number}", partial(_collect, history=history, shard=shard))
        schedule.add("forgetter", lambda actor: _forget(actor, history))
        schedule.run()
        check(schedule.storage, history)
        _clean(schedule.storage)
        check(schedule.storage, history)
        history.count("requests", schedule.requests)
        history.count("fences", len(list(fenced_sessions(schedule.storage))))
    return history


def _clean(storage: MemoryBackend) -> None:
    """Left alone, a few runs remove all garbage, whatever happened before, and none refuses."""
    limits = garbage.Limits(share=1.0, waste=0.3, patience=0.0)
    for _ in range(8):
        garbage.collect(Store.open(storage, None), limits=limits, report=lambda event: None)
    result = garbage.collect(Store.open(storage, None), limits=limits, report=lambda event: None)
    if result.pending or result.dead or result.waiting_for:
        raise Broken(f"garbage is left after many runs: {result}")


def check(storage: MemoryBackend, history: History) -> None:
    """Everything that was promised, held against what is stored."""
    store = Store.open(storage, None)
    there = {ref.name for ref in level_refs(store)}
    lost = history.committed.keys() - there - history.forgotten
    if lost:
        raise Broken(f"committed and gone: {sorted(lost)}")
    for name in sorted(there):
        try:
            root = store.read_root(name)
        except VoidRoot:
            if name in history.committed.keys() - history.forgotten:  # else an undeletion that was cut off
                raise Broken(f"{name} was told to be committed and is void") from None
            continue
        try:
            read = [store.read_chunk(ChunkId(chunk)) for chunk in root["chunks"]]
        except (ObjectMissing, Corrupt) as error:
            raise Broken(f"{name}: {error}") from error
        if read != [CONTENTS[number] for number in history.meant[name]]:
            raise Broken(f"{name} does not read back")


def _write(actor: Actor, history: History) -> None:
    chance = actor.schedule.chance
    numbers_of = range(history.contents)
    for level in range(LEVELS):
        name = f"backups/{actor.name}/0/{level}"
        try:
            store = Store.open(actor.backend, None)
            with store.writer("none") as session:
                _renew_now_and_then(actor, session._lease)
                base, numbers = _base(store, history, chance)
                ids = [chunk_id(CONTENTS[number], store.ring.id_key) for number in numbers]
                for _ in range(chance.randint(1, 3)):
                    new = chance.sample(numbers_of, chance.randint(1, 4))
                    ids += put(session, [CONTENTS[number] for number in new])
                    numbers = numbers + new
                history.meant[name] = numbers
                inherited = Inherited(base, partial(list, ids)) if base else None
                session.commit(name, {"chunks": list(ids)}, inherited)
                history.committed[name] = numbers
                history.count("commits")
        except StoreError as error:
            history.count(type(error).__name__)


def _base(store: Store, history: History, chance: Random) -> tuple[str, list[int]]:
    """An earlier root, whose chunks are taken over without looking at them; or none."""
    refs = level_refs(store)
    if not refs or chance.random() < 0.3:
        return "", []
    name = chance.choice(refs).name
    store.read_root(name)
    return name, list(history.meant[name])


def _renew_now_and_then(actor: Actor, held: lease.HeldLease) -> None:
    steps = [0]

    def renew() -> None:
        steps[0] += 1
        if steps[0] % 40 == 0:
            actor.on_step = None
            held.renew()
            actor.on_step = renew

    actor.on_step = renew


def _collect(actor: Actor, history: History, shard: Shard) -> None:
    for _ in range(RUNS):
        try:
            store = Store.open(actor.backend, None)
            limits = garbage.Limits(share=1.0, waste=0.3, patience=0.0, shard=shard)
            result = garbage.collect(store, limits=limits, report=lambda event: None)
            history.count("runs" if shard.of == 1 else "runs of shards")
            history.count("packs condemned", (result.dead + result.repacked) * (result.generation is not None))
            history.count("packs removed", result.removed.packs)
            history.count("packs brought back", result.removed.kept)
            history.count("given up", len(result.given_up))
            history.count("void roots", len(result.void))
        except (StoreError, EngineError) as error:
            history.count(f"collector: {'refused' if isinstance(error, EngineError) else type(error).__name__}")
        check(actor.schedule.storage, history)


def _forget(actor: Actor, history: History) -> None:
    chance = actor.schedule.chance
    for _ in range(15):
        try:
            store = Store.open(actor.backend, None)
            gone = sorted({copy.ref for copy in copies(store)})
            refs = level_refs(store)
            if gone and chance.random() < 0.3:
                ref = chance.choice(gone)
                history.forgotten.add(ref.name)
                undelete_level(store, ref)
                history.count("undeleted")
            elif refs:
                ref = chance.choice(refs)
                history.forgotten.add(ref.name)
                forget_level(store, ref, "test", window_ns=chance.choice([0, 0, 10**17]))
                history.count("forgotten")
        except (StoreError, EngineError) as error:
            history.count(f"forgetter: {type(error).__name__}")


# Rules of the protocol, and what leaves them out of the real code.
BREAKS: dict[str, tuple[str, object]] = {
    "does-not-wait": ("siltstone.store.sessions.OtherSessions.in_the_way_of", lambda *_: []),
    "void-counts": ("siltstone.store.root.is_void", lambda *_: False),
    "unconfirmed": ("siltstone.store.reliance.Reliance.confirm", lambda *_: None),
    "inherits-unseen": ("siltstone.store.reliance.Reliance._take_over", lambda *_: None),
    "gives-up-unfenced": ("siltstone.store.sessions.raise_fence", lambda *_: None),
    "lease-dropped-unanswered": ("siltstone.store.writer.set", lambda *_: _Forgetful()),
}


class _Forgetful(set[str]):
    def add(self, element: str) -> None:
        pass


def main(arguments: list[str]) -> int:
    """Run schedules; tell the figures."""
    first, count = int(arguments[0]), int(arguments[1])
    for broken in arguments[2:]:
        where, instead = BREAKS[broken]
        pytest.MonkeyPatch().setattr(where, instead, raising=False)
    figures: dict[str, int] = {}
    for seed in range(first, first + count):
        try:
            history = simulate(seed)
        except BaseException as error:
            sys.stderr.write(f"seed {seed}: {type(error).__name__}: {error}\n")
            raise
        for what, number in history.figures.items():
            figures[what] = figures.get(what, 0) + number
    sys.stdout.write(json.dumps({"schedules": count, **dict(sorted(figures.items()))}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
