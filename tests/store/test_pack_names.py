"""Sorted names of packs, held against a plain sorted set of texts."""

from random import Random

import pytest

from siltstone.store import PackName
from siltstone.store.pack_names import PackNames


def made_up(chance: Random, count: int) -> list[PackName]:
    """Among them such as end in zeros, and such as differ in the last digit alone."""
    names = [chance.randbytes(32) for _ in range(count)]
    names += [each[:31] + b"\0" for each in names[:5]] + [each[:16] + bytes(16) for each in names[:5]]
    return [PackName(each.hex()) for each in names]


@pytest.mark.parametrize("count", [0, 1, 2, 300])
def test_what_a_sorted_set_does(count: int) -> None:
    chance = Random(count)
    names = made_up(chance, count)
    plain, others = sorted(set(names)), made_up(chance, 20)
    chance.shuffle(names)
    raw = [bytes.fromhex("".join(names[:7])), bytes.fromhex("".join(names[5:]))]
    for made in (PackNames.of(names), PackNames.of(plain), PackNames.of(plain + names), PackNames.joined(raw)):
        assert list(made) == plain
        assert len(made) == len(plain)
        assert [made[number] for number in range(-len(plain), len(plain))] == plain + plain
        assert list(made[1:-1:2]) == plain[1:-1:2]
        assert [made.number(name) for name in plain] == list(range(len(plain)))
        assert all(name in made for name in plain)
        assert {made.number(name) for name in others} <= {None}
        assert not any(name in made for name in others)
        with pytest.raises(IndexError):
            made[len(plain)]
