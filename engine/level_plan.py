"""Which level a new backup becomes, and which one it is compared with.

Rule: pure. A number is given once: that of a level which was forgotten, or is not whole yet, is not used again.
"""

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

from .levels import Kind, LevelRef


class Plan(Struct, frozen=True):
    """What a new backup becomes, and which level it is compared with (None: every file is read)."""

    ref: LevelRef
    kind: Kind
    base: LevelRef | None


def plan_level(
    deployment: str,
    kind: Literal["auto", "full", "incr", "diff"],
    refs: Iterable[LevelRef],
    forgotten: Iterable[LevelRef] = (),
) -> Plan:
    """The level that a backup of this kind becomes, given the levels there are and those that were forgotten, whose
    numbers stay taken. Full where nothing is there to go on from: no level yet, or none of the newest group any more.
    """
    there = [ref for ref in refs if ref.deployment == deployment]
    taken = [*there, *(ref for ref in forgotten if ref.deployment == deployment)]
    newest = max(taken, default=LevelRef(deployment, -1, 0))
    group = [ref for ref in there if ref.group == newest.group]
    if kind == "full" or not group:
        return Plan(LevelRef(deployment, newest.group + 1, 0), "full", None)
    base = min(group) if kind == "diff" else max(group)
    return Plan(LevelRef(deployment, newest.group, newest.level + 1), "diff" if kind == "diff" else "incr", base)


def next_ref(ref: LevelRef, kind: Kind, taken: Iterable[LevelRef]) -> LevelRef:
    """The name of a level whose own was taken meanwhile. An incremental one stays in its group: one that was opened
    since is not what it was compared with.
    """
    mine = [ref, *(each for each in taken if each.deployment == ref.deployment)]
    if kind == "full":
        return LevelRef(ref.deployment, max(mine).group + 1, 0)
    return LevelRef(ref.deployment, ref.group, max(each.level for each in mine if each.group == ref.group) + 1)
