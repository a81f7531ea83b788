"""Giving a store its parity, and keeping it right while packs come and go.

Rule: the parity that replaces other is durable before that is deleted, and a parity object is deleted only when every
pack that it covered is covered by whole stripes, or is meant to go. A pack that proves damaged is never made part of a
stripe. A crash leaves parity that the next run finds to be of no use. No key is needed, and no session: packs are
ciphertext under public names.

`retire` is for whoever deletes packs: it comes before the deletion, so that what is lost and what was removed are never
taken for each other.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

from msgspec import Struct, field

from .backend import Backend
from .check import Fault
from .errors import ObjectExists, ObjectMissing
from .ids import PackName, pack_object
from .pack_list import PackList, listed_packs
from .parity import PARITY, Policy, Stripe, read_stripes
from .parity_code import ParityCoder, Unreadable
from .parity_plan import Change, Plan, plan_parity
from .verified import scrubbed_damage, scrubbed_notes

Tell = Callable[[int, int], None]


class Protection(Struct):
    """What parity there is after a run, and what is not right. `policy` is None where there is no parity at all.

    `packs` are there and `covered` of them in a stripe; `written` bytes of parity were made. `damaged` are packs that
    no stripe could take; `lost` ones are in a stripe and not there. `held` were to go and a stripe still needs them.
    """

    policy: Policy | None
    packs: int = 0
    covered: int = 0
    stripes: int = 0
    parity_bytes: int = 0
    written: int = 0
    changes: int = 0
    damaged: list[Fault] = field(default_factory=list)
    lost: set[PackName] = field(default_factory=set)
    held: set[PackName] = field(default_factory=set)


def protect(
    backend: Backend,
    policy: Policy | None = None,
    *,
    gone: Collection[PackName] = (),
    dry_run: bool = False,
    tell: Tell = lambda done, total: None,
) -> Protection:
    """Cover every pack that is there, but for those that are about to go. The policy is that of the stripes there are,
    unless one is given. `tell` hears of each stripe that is done, and how many there are to do.

    Raises BackendError, StoreFull, NewerFormat.
    """
    return _Run(backend, policy, gone, tell).run(dry_run=dry_run)


def retire(backend: Backend, packs: Collection[PackName]) -> frozenset[PackName]:
    """Take packs out of the stripes that cover them, before they are deleted; those that have to stay for now, because
    another pack of their stripe is damaged. Nothing happens in a store without parity.
    """
    if not any(True for _ in backend.list(PARITY)):
        return frozenset()
    return frozenset(protect(backend, gone=packs).held)


def remove_parity(backend: Backend) -> int:
    """Delete all parity; how many objects there were."""
    names = [info.name for info in backend.list(PARITY)]
    _delete(backend, names)
    return len(names)


def sound_stripes(backend: Backend) -> tuple[list[Stripe], list[Fault]]:
    """The stripes, without the parity objects that a scrub found damaged; and what is wrong with objects."""
    stripes, faults = read_stripes(backend)
    damaged = {PARITY + name for name in scrubbed_damage(backend)}
    kept = []
    for stripe in stripes:
        objects = tuple((number, name) for number, name in stripe.objects if name not in damaged)
        faults += [Fault(name, "a scrub found it damaged") for _, name in stripe.objects if name in damaged]
        kept.append(Stripe(stripe.policy, stripe.slots, objects))
    return kept, faults


def policy_of(stripes: Iterable[Stripe]) -> Policy | None:
    """That of most stripes."""
    counted = Counter(stripe.policy for stripe in stripes)
    return max(counted, key=lambda policy: (counted[policy], str(policy)), default=None)


class _Run:
    def __init__(self, backend: Backend, policy: Policy | None, gone: Collection[PackName], tell: Tell) -> None:
        self._backend, self._gone, self._tell = backend, gone, tell
        self._stripes, self._faults = sound_stripes(backend)
        self._policy = policy or policy_of(self._stripes)
        self._sizes = dict(listed_packs(backend))
        self._covered: set[PackName] = set()
        self._written: set[str] = set()
        self._result = Protection(self._policy, packs=len(self._sizes))

    def run(self, *, dry_run: bool) -> Protection:
        """All of it; once more without the packs that prove damaged."""
        result = self._result
        while self._policy:
            packs = len(self._sizes)
            plan = plan_parity(self._sizes, self._stripes, self._policy, self._gone)
            result.changes, result.lost = len(plan.changes), plan.lost
            if dry_run:
                result.covered = len(self._sizes) - plan.uncovered
                return result
            self._carry_out(self._policy, plan)
            if len(self._sizes) == packs:
                break
            self._stripes, _ = sound_stripes(self._backend)
        self._sum_up()
        return result

    def _carry_out(self, policy: Policy, plan: Plan) -> None:
        coder = ParityCoder(self._backend)
        changed = {id(change.old) for change in plan.changes}
        kept = [stripe for stripe in self._stripes if stripe not in plan.drop and id(stripe) not in changed]
        self._covered = {member.pack for stripe in kept for member in stripe.members}
        try:
            for number, change in enumerate(plan.changes, 1):
                self._change(coder, policy, change)
                self._tell(number, len(plan.changes))
        finally:
            coder.close()
        useless = [stripe for stripe in plan.drop if self._is_useless(stripe)]
        self._delete(name for stripe in useless for _, name in stripe.objects)
        if len(useless) == len(plan.drop) and not plan.lost and self._sizes.keys() - set(self._gone) <= self._covered:
            self._delete(fault.object for fault in self._faults)
            self._faults = []

    def _is_useless(self, stripe: Stripe) -> bool:
        return all(member.pack in self._covered or member.pack in self._gone for member in stripe.members)

    def _change(self, coder: ParityCoder, policy: Policy, change: Change) -> None:
        try:
            made = coder.objects(policy, change)
        except Unreadable as error:
            self._refuse(change, error.names)
            return
        damaged = {fault.object for fault in self._faults}
        for name, pieces in made:
            self._write(PARITY + name, pieces, replace=PARITY + name in damaged)
            self._result.written += sum(map(len, pieces))
        self._covered.update(member.pack for member in change.slots if member)
        self._delete(name for _, name in (change.old.objects if change.old else ()))

    def _write(self, name: str, pieces: Sequence[bytes | memoryview], *, replace: bool) -> None:
        self._written.add(name)
        if replace:
            self._backend.replace(name, pieces)
            only = PackList([(PackName(name.removeprefix(PARITY)), 1)])
            scrubbed_notes(self._backend, only).remember(time.time_ns(), [0], [])
            return
        try:
            self._backend.put(name, pieces)
        except ObjectExists:
            pass  # of a run that was cut off

    def _delete(self, names: Iterable[str]) -> None:
        """What is of no use any more; parity that was made again, of the same packs, has the old name."""
        _delete(self._backend, [name for name in names if name not in self._written])

    def _refuse(self, change: Change, names: Collection[str]) -> None:
        """A change cannot be made: what is there stays, and damaged packs are left out when it is tried again."""
        old = {member.pack for member in change.old.members} if change.old else set()
        self._result.held |= old & set(self._gone)
        self._covered |= old
        for pack in [pack for pack in self._sizes if pack_object(pack) in names]:
            self._result.damaged.append(Fault(pack_object(pack), "it is damaged, and no stripe can take it"))
            if pack not in old:
                del self._sizes[pack]

    def _sum_up(self) -> None:
        result = self._result
        stripes, _ = sound_stripes(self._backend)
        covered = {member.pack for stripe in stripes for member in stripe.members}
        result.stripes = len(stripes)
        result.covered = sum(1 for pack, _ in listed_packs(self._backend) if pack in covered)
        result.parity_bytes = sum(info.size for info in self._backend.list(PARITY))
        result.damaged += self._faults


def _delete(backend: Backend, names: Iterable[str]) -> None:
    for name in names:
        try:
            backend.delete(name)
        except ObjectMissing:
            pass  # another run did
