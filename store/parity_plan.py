"""Which stripes of parity there have to be: from packs, stripes and a policy to changes. Pure.

Rule: every pack that is there is in one stripe, and every stripe has all its parity. Packs that are to be deleted leave
their slots empty; packs that are new fill empty slots first, the largest first, then stripes of their own. Parity is
linear, so a change costs reading what comes and what goes, and the parity, never the other packs.

A stripe of which a pack is gone that nobody meant to delete is left as it is: that pack can be rebuilt from it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct, field

from .ids import PackName
from .parity import Member, Policy, Slots, Stripe


class Change(Struct, frozen=True):
    """A stripe that is to be written: anew, or from the parity of `old`, which it then replaces."""

    old: Stripe | None
    slots: Slots


class Plan(Struct):
    """`drop` are stripes whose parity goes after all changes are durable; `lost` packs can perhaps be rebuilt."""

    changes: list[Change] = field(default_factory=list)
    drop: list[Stripe] = field(default_factory=list)
    lost: set[PackName] = field(default_factory=set)
    uncovered: int = 0  # packs that are in no stripe now


class _Open(Struct):
    """A stripe under consideration."""

    old: Stripe
    slots: list[Member | None]

    @property
    def room(self) -> int:
        return self.slots.count(None)


def plan_parity(
    sizes: Mapping[PackName, int], stripes: Sequence[Stripe], policy: Policy, gone: Collection[PackName] = ()
) -> Plan:
    """What is to be done, given the sizes of the packs that are there; `gone` are those about to be deleted."""
    plan, covered = Plan(), set[PackName]()
    opened: list[_Open] = []
    for stripe in sorted(stripes, key=_order):
        lost = {m.pack for m in stripe.members if m.pack not in sizes and m.pack not in gone}
        if lost - covered:
            plan.lost |= lost - covered
            covered.update(m.pack for m in stripe.members)
        elif stripe.policy == policy and stripe.whole:
            slots = [m if m and m.pack in sizes and m.pack not in gone and m.pack not in covered else None
                     for m in stripe.slots]  # fmt: skip
            covered.update(m.pack for m in slots if m)
            opened.append(_Open(stripe, slots))
        else:
            plan.drop.append(stripe)
    pool = sorted(_uncovered(sizes, gone, covered), key=lambda member: (-member.size, member.pack))
    plan.uncovered = len(pool)
    _fill(opened, pool)
    _conclude(plan, opened)
    for at in range(0, len(pool), policy.slots):
        part = pool[at : at + policy.slots]
        plan.changes.append(Change(None, (*part, *[None] * (policy.slots - len(part)))))
    return plan


def _order(stripe: Stripe) -> tuple[bool, int, list[str]]:
    """Those that can stay come first, the fuller the sooner: one that another replaced is then seen to be of no use."""
    return not stripe.whole, -len(stripe.members), [name for _, name in stripe.objects]


def _uncovered(
    sizes: Mapping[PackName, int], gone: Collection[PackName], covered: Collection[PackName]
) -> Iterator[Member]:
    return (Member(pack, size) for pack, size in sizes.items() if pack not in covered and pack not in gone)


def _fill(opened: Iterable[_Open], pool: list[Member]) -> None:
    """Move packs from the pool into empty slots; first of stripes that change anyway, and of those with most room."""
    for each in sorted(opened, key=lambda one: (tuple(one.slots) == one.old.slots, -one.room)):
        if each.room < len(each.slots):  # what is empty is dropped, and a stripe of new packs is made for them
            for at, member in enumerate(each.slots):
                if member is None and pool:
                    each.slots[at] = pool.pop(0)


def _conclude(plan: Plan, opened: Iterable[_Open]) -> None:
    for each in opened:
        if not any(each.slots):
            plan.drop.append(each.old)
        elif tuple(each.slots) != each.old.slots:
            plan.changes.append(Change(each.old, tuple(each.slots)))
