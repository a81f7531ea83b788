"""Parity: whatever is lost within its limits comes back, byte for byte; and packs that come and go keep it right.

Rule: packs are random bytes under their names, so that a rebuilt one is right or has another name. Slices are small, so
that a stripe takes several; random histories are held against a plain set of packs.
"""

import random

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from siltstone.store import (
    Corrupt,
    PackName,
    ParityCoder,
    Policy,
    pack_object,
    protect,
    read_stripes,
    retire,
    stripe_of,
)
from siltstone.store import parity_code as parity_code_module
from siltstone.store.parity import PARITY, Head, Member, Stripe, decode_head, encode_head
from siltstone.store.parity_plan import plan_parity

from .backends import FaultyBackend, Killed, MemoryBackend
from .stores import names

POLICY = Policy(2, 5)


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity_code_module, "SLICE", 1024)  # a head fits


def add(backend: MemoryBackend, rng: random.Random, size: int | None = None) -> PackName:
    content = rng.randbytes(size or rng.randrange(1, 3000))
    pack = PackName(blake3(content).hexdigest())
    backend.objects[pack_object(pack)] = content
    return pack


def packs_of(backend: MemoryBackend) -> list[PackName]:
    return [PackName(name[-64:]) for name in names(backend, "packs/")]


def filled(count: int, policy: Policy = POLICY, seed: int = 1) -> MemoryBackend:
    backend, rng = MemoryBackend(), random.Random(seed)
    for _ in range(count):
        add(backend, rng)
    result = protect(backend, policy)
    assert (result.covered, result.damaged, result.lost) == (count, [], set())
    return backend


def rebuilt(backend: MemoryBackend, lost: set[PackName]) -> dict[PackName, bytes]:
    """What comes back of the packs that are gone."""
    covered = stripe_of(read_stripes(backend)[0])
    coder = ParityCoder(backend)
    found: dict[PackName, bytes] = {}
    for pack in lost & covered.keys():
        stripe = covered[pack]
        found |= {name: bytes(data) for name, data in coder.rebuild(stripe, lost & set(members(stripe))).items()}
    coder.close()
    return found


def members(stripe: Stripe) -> list[PackName]:
    return [member.pack for member in stripe.members]


def assert_protected(backend: MemoryBackend, policy: Policy = POLICY) -> None:
    """Every pack in one stripe, every stripe whole, and as many lost packs as promised come back from each."""
    stripes, faults = read_stripes(backend)
    assert faults == []
    covered = sorted(pack for stripe in stripes for pack in members(stripe))
    assert covered == packs_of(backend)
    assert all(stripe.whole and stripe.policy == policy for stripe in stripes)
    for stripe in stripes:
        lost = set(random.Random(3).sample(members(stripe), min(policy.shards, len(members(stripe)))))
        assert_comes_back(backend, lost)


def assert_comes_back(backend: MemoryBackend, lost: set[PackName]) -> None:
    part = MemoryBackend()
    part.objects = {name: data for name, data in backend.objects.items() if name[-64:] not in lost}
    assert rebuilt(part, lost) == {pack: backend.objects[pack_object(pack)] for pack in lost}


@pytest.mark.parametrize("policy", [Policy(1, 1), Policy(2, 16), Policy(3, 4), Policy(6, 2)])
def test_every_policy(policy: Policy) -> None:
    assert_protected(filled(2 * policy.slots + 1, policy), policy)


@settings(max_examples=60)
@given(count=st.integers(1, 14), data=st.data())
def test_up_to_two_blocks_of_a_stripe_may_be_lost_or_damaged(count: int, data: st.DataObject) -> None:
    backend = filled(count)
    whole = dict(backend.objects)
    stripe = data.draw(st.sampled_from(read_stripes(backend)[0]))
    blocks = [*map(pack_object, members(stripe)), *(name for _, name in stripe.objects)]
    hit = data.draw(st.lists(st.sampled_from(blocks), min_size=1, max_size=2, unique=True))
    for name in hit:
        how = data.draw(st.sampled_from(["flip", "cut", "delete"]))
        content = bytearray(backend.objects[name])
        if how == "delete":
            del backend.objects[name]
        elif how == "cut":
            backend.objects[name] = bytes(content[: data.draw(st.integers(0, len(content) - 1))])
        else:
            at = data.draw(st.integers(0, len(content) - 1)) if name.startswith("packs/") else -1  # not its head
            content[at] ^= 4
            backend.objects[name] = bytes(content)
    lost = {PackName(name[-64:]) for name in hit if name.startswith("packs/")}
    # That the parity is damaged is found out on the way; that packs are, too: only what is wanted is told.
    assert rebuilt(backend, lost) == {pack: whole[pack_object(pack)] for pack in lost}


def test_too_much_is_too_much_and_nothing_wrong_comes_back() -> None:
    backend = filled(5)
    lost = set(packs_of(backend)[:3])
    for pack in lost:
        del backend.objects[pack_object(pack)]
    assert rebuilt(backend, lost) == {}
    result = protect(backend)
    assert result.lost == lost
    assert len(names(backend, PARITY)) == 2, "the parity stays: a pack may be found again"


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=12), st.integers(0, 1 << 30))
def test_packs_come_and_go(steps: list[tuple[int, int]], seed: int) -> None:
    """New ones are covered by the next run, and those that are retired may be deleted."""
    rng = random.Random(seed)
    backend = filled(rng.randrange(1, 8), seed=seed)
    for new, old in steps:
        for _ in range(new):
            add(backend, rng)
        gone = rng.sample(packs_of(backend), min(old, len(packs_of(backend))))
        assert retire(backend, gone) == frozenset()
        for pack in gone:
            backend.delete(pack_object(pack))
        protect(backend, POLICY)
        assert_protected(backend)


def test_a_change_reads_what_comes_and_goes_and_the_parity() -> None:
    backend = filled(10)
    read: set[str] = set()

    class Watching(MemoryBackend):
        def read(self, name: str, offset: int, room: memoryview) -> memoryview:
            read.add(name)
            return super().read(name, offset, room)

    watching = Watching()
    watching.objects = backend.objects
    gone = packs_of(backend)[0]
    before = set(names(backend, PARITY))
    retire(watching, [gone])
    assert {name for name in read if name.startswith("packs/")} == {pack_object(gone)}
    backend.delete(pack_object(gone))
    read.clear()
    new = add(backend, random.Random(9))
    protect(watching)
    assert {name for name in read if name.startswith("packs/")} == {pack_object(new)}
    assert len(before & set(names(backend, PARITY))) == 2, "the other stripe is as it was"
    assert_protected(backend)


def test_another_policy_covers_everything_anew() -> None:
    backend = filled(12)
    protect(backend, Policy(3, 4))
    assert_protected(backend, Policy(3, 4))
    before = dict(backend.objects)
    assert protect(backend).written == 0
    assert backend.objects == before


def test_a_damaged_pack_becomes_part_of_no_stripe() -> None:
    backend = filled(7)
    bad = add(backend, random.Random(5), 4000)
    backend.objects[pack_object(bad)] = bytes(4000)
    new = add(backend, random.Random(6))
    result = protect(backend)
    assert [fault.object for fault in result.damaged] == [pack_object(bad)]
    assert (result.packs, result.covered) == (9, 8)
    backend.delete(pack_object(bad))
    assert_protected(backend)
    assert new in stripe_of(read_stripes(backend)[0])


def test_damaged_parity_is_made_again() -> None:
    for at in (0, 20, -1):
        for kind in ("flip", "delete"):
            backend = filled(9)
            name = names(backend, PARITY)[0]
            content = bytearray(backend.objects[name])
            content[at] ^= 1
            backend.objects[name] = bytes(content)
            if kind == "delete":
                backend.delete(name)
            elif at == -1:  # a scrub finds it
                from siltstone.store import PackList, scrubbed_notes

                packs = PackList([(PackName(name[-64:]), 1)])
                scrubbed_notes(backend, packs).remember(1, [], [0])
            protect(backend)
            assert_protected(backend)


def test_a_pack_is_held_while_its_stripe_is_in_need() -> None:
    """The parity is damaged and so is another pack: what is to go may be all that brings that one back."""
    backend = filled(5)
    first, second, *_ = packs_of(backend)
    (name, _) = names(backend, PARITY)
    for broken in (name, pack_object(second)):
        content = bytearray(backend.objects[broken])
        content[-1] ^= 1
        backend.objects[broken] = bytes(content)
    before = dict(backend.objects)
    assert retire(backend, [first]) == {first}
    assert backend.objects == before
    assert rebuilt(backend, {second}).keys() == {second}


@pytest.mark.parametrize("lands", [False, True])
def test_cut_off_anywhere(lands: bool) -> None:
    """Whatever was covered stays covered, and the next run makes it right."""
    base = filled(8)
    rng = random.Random(8)
    gone = packs_of(base)[:2]
    for _ in range(4):
        add(base, rng)
    policies = (POLICY, Policy(1, 3))
    for policy in policies:
        counting = MemoryBackend()
        counting.objects = dict(base.objects)
        faulty = FaultyBackend(counting)
        protect(faulty, policy, gone=gone)
        for at in range(len(faulty.changes)):
            part = MemoryBackend()
            part.objects = dict(base.objects)
            with pytest.raises(Killed):
                protect(FaultyBackend(part, at, lands=lands), policy, gone=gone)
            covered = stripe_of([stripe for stripe in read_stripes(part)[0] if stripe.whole])
            old = set(stripe_of(read_stripes(base)[0])) - set(gone)
            assert old <= covered.keys()
            assert_comes_back(part, {min(old)})
            assert retire(part, gone) == frozenset()
            for pack in gone:
                part.delete(pack_object(pack))
            protect(part, policy)
            assert_protected(part, policy)


@given(sizes=st.lists(st.integers(1, 100), max_size=30), slots=st.integers(1, 6), gone=st.integers(0, 5))
def test_the_plan_is_stable(sizes: list[int], slots: int, gone: int) -> None:
    """What it asks for, done, leaves nothing to ask for."""
    there = {PackName(f"{number:064x}"): size for number, size in enumerate(sizes)}
    policy = Policy(1, slots)
    plan = plan_parity(there, [], policy)
    stripes = [Stripe(policy, change.slots, ((0, str(at)),)) for at, change in enumerate(plan.changes)]
    assert len(stripes) == -(-len(sizes) // slots)
    leaving = list(there)[:gone]
    second = plan_parity(there, stripes, policy, leaving)
    assert not second.lost
    replaced = [change.old for change in second.changes] + second.drop
    stripes = [stripe for stripe in stripes if stripe not in replaced]
    stripes += [Stripe(policy, change.slots, ((0, f"n{at}"),)) for at, change in enumerate(second.changes)]
    for pack in leaving:
        del there[pack]
    third = plan_parity(there, stripes, policy)
    assert (third.changes, third.drop, third.lost, third.uncovered) == ([], [], set(), 0)


@given(st.integers(0, 3), st.lists(st.none() | st.integers(1, 1 << 40), min_size=1, max_size=20), st.data())
def test_damaged_heads_say_so(number: int, sizes: list[int | None], data: st.DataObject) -> None:
    slots = tuple(None if size is None else Member(PackName(f"{at + 1:064x}"), size) for at, size in enumerate(sizes))
    head = Head(Policy(4, len(slots)), slots, number)
    encoded = encode_head(head)
    assert decode_head("parity/x", encoded + b"body") == head
    broken = bytearray(encoded)
    broken[data.draw(st.integers(8, len(broken) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Corrupt):
        decode_head("parity/x", bytes(broken))
    with pytest.raises(Corrupt):
        decode_head("parity/x", encoded[: data.draw(st.integers(0, len(encoded) - 1))])


@pytest.mark.parametrize("text", ["", "2", "0/16", "2/0", "200/100", "2-16", "-1/3"])
def test_what_is_no_policy(text: str) -> None:
    with pytest.raises(ValueError, match="no parity"):
        Policy.parse(text)
