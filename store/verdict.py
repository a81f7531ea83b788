"""Which packs are condemned, given what is live in each: pure, and with a reason for each.

    dead      nothing in it is live
    wasteful  as large a share of its frames as WASTE is dead: what is live is copied into a new pack first
    small     many packs that together fill a few are copied into these

Rule: the packs of sessions at work are left alone (`busy`), and so are condemned ones, damaged ones (what is copied out
of them would be damaged too), and those that no segment names: they are of sessions at work. Copying ends at the
budget, the most wasteful first. A pack's waste is taken as its share of dead frames, since frames are alike in size.
"""

from collections.abc import Collection

from msgspec import Struct

from .ids import PackName
from .mark import Marks
from .pack_list import MISSING
from .packer import PACK_SIZE
from .shard import EVERYTHING, Shard

# A pack is copied when this share of its frames is dead: copying a live byte then frees at least as much.
WASTE = 0.5
# Below this a pack is small; they are copied together once they would fill half a pack, and not before: a store that
# takes a little WAL every minute would otherwise copy the same bytes again and again.
SMALL = PACK_SIZE // 4


class Verdict(Struct, frozen=True):
    """Numbers of packs. `bytes` are freed by all of it; `copied` are read and written again; `left` found no budget."""

    dead: tuple[int, ...]
    wasteful: tuple[int, ...]
    small: tuple[int, ...]
    bytes: int
    copied: int
    left: int

    @property
    def repacked(self) -> tuple[int, ...]:
        return self.wasteful + self.small


def judge(
    marks: Marks,
    spared: Collection[PackName],
    *,
    waste: float = WASTE,
    budget: int | None = None,
    shard: Shard = EVERYTHING,
) -> Verdict:
    """Of the packs of a shard. `spared` are condemned or damaged; `budget` is how many bytes may be copied (None: any
    number).
    """
    dead: list[int] = []
    wasteful: list[tuple[float, int]] = []
    small: list[int] = []
    shares = _dead_shares(marks)
    for number, (name, size) in enumerate(zip(marks.packs.names, marks.packs.sizes, strict=True)):
        if size == MISSING or not marks.chunks[number] or name in spared or not shard.holds(name):
            continue
        if not marks.live[number]:
            dead.append(number)
        elif shares[number] >= waste:
            wasteful.append((-shares[number], number))
        elif size < SMALL:
            small.append(number)
    if sum(marks.packs.sizes[number] for number in small) < PACK_SIZE // 2 or len(small) < 2:
        small = []
    chosen: list[int] = []
    copied = left = 0
    freed = sum(marks.packs.sizes[number] for number in dead)
    ordered = [number for _, number in sorted(wasteful)] + small
    for number in ordered:
        live = round(marks.packs.sizes[number] * (1 - shares[number]))
        if budget is not None and copied + live > budget:
            left += 1
            continue
        chosen.append(number)
        copied += live
        freed += marks.packs.sizes[number] - live
    those = set(small)
    return Verdict(
        tuple(dead),
        tuple(number for number in chosen if number not in those),
        tuple(number for number in chosen if number in those),
        freed,
        copied,
        left,
    )


def _dead_shares(marks: Marks) -> list[float]:
    return [1.0 - share for share in marks.live_shares().tolist()]
