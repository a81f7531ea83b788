"""Every kind of object, damaged in every way, and healed from everywhere: parity, a twin, a store with other keys, the
next backup. Zero loss, or it is said what is lost.

Rule: damage is done to copies of one real store and found by a real verification or scrub; a repair then does what its
plan says, and a second one finds nothing left. The oracle is what every level held before. `tried` counts the cases;
docs/operations.md has the sum (SHOW_TRIED=1 and -s show it).
"""

import itertools
import os
import random
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from siltstone.engine import Reading, apply_remedies, list_levels, plan_repair, scrub_store, sync_stores, verify_store
from siltstone.engine.manifest import manifest_chunks
from siltstone.engine.verify_result import ALL_DATA
from siltstone.store import KeyFile, Policy, Remedy, Store, StoreError, make_twin, protect, recover
from tests.backed_up import KEY, back_up, copied, delete, flip_middle, ignore, new_store, objects, reopened, truncate
from tests.store.backends import FaultyBackend, Killed, MemoryBackend

from .test_sync import Contents, contents

OTHER = KeyFile(bytes(range(3, 35)))
WAYS = {"flip": flip_middle, "truncate": truncate, "delete": delete}
tried: Counter[str] = Counter()


class Made(Struct, frozen=True):
    """A store with parity, its twin, its contents in a store with other keys, and the tree that they hold."""

    backend: MemoryBackend
    twin: MemoryBackend
    other: MemoryBackend
    tree: Path
    contents: Contents


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    tree = tmp_path_factory.mktemp("matrix") / "tree"
    tree.mkdir()
    rng = random.Random(21)
    for number in range(40):
        (tree / f"{number:02}").write_bytes(rng.randbytes(rng.randrange(3000)))
    backend = MemoryBackend()
    new_store(backend)
    for number in range(4):
        (tree / f"more {number}").write_bytes(rng.randbytes(30_000))
        back_up(reopened(backend), tree)
    protect(backend, Policy(2, 4))
    verify_store(reopened(backend), budget=ALL_DATA, report=ignore)
    twin, other = MemoryBackend(), MemoryBackend()
    make_twin(backend, twin)
    sync_stores(reopened(backend), reopened(twin), report=ignore)
    sync_stores(reopened(backend), Store.init(other, [(OTHER, "")]), report=ignore)
    yield Made(backend, twin, other, tree, contents(reopened(backend)))
    if "SHOW_TRIED" in os.environ:
        sys.stdout.write(f"damaged objects tried: {sum(tried.values())}, {dict(tried)}\n")


def repaired(backend: MemoryBackend, partner: Store | None = None) -> list[Remedy]:
    """Do what the plan says; the plan."""
    plan = list(plan_repair(recover(backend, KEY), partner))
    assert apply_remedies(plan, ignore) == []
    return plan


def partner_of(how: str, made: Made) -> Store | None:
    return {"twin": reopened(made.twin), "other": Store.open(made.other, OTHER)}.get(how)


def find(backend: MemoryBackend) -> set[str]:
    """What a verification of everything names."""
    return {damage.object for damage in verify_store(reopened(backend), budget=ALL_DATA, report=ignore).damaged}


def assert_whole(backend: MemoryBackend, made: Made) -> None:
    """Nothing is wrong any more, by verification and by scrub, and every level is what it was."""
    assert find(backend) == set()
    assert scrub_store(backend, reading=Reading(ALL_DATA), report=ignore).damaged == []
    assert [remedy.object for remedy in plan_repair(recover(backend, KEY))] == []
    found = contents(reopened(backend))
    assert {name: found[name] for name in made.contents} == made.contents


def without_parity(backend: MemoryBackend) -> None:
    for name in objects(backend, "parity/"):
        delete(backend, name)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("how", ["parity", "twin", "other", "backup"])
def test_packs(made: Made, how: str, way: str) -> None:
    for name in objects(made.backend, "packs/"):
        backend = copied(made.backend)
        if how != "parity":
            without_parity(backend)
        WAYS[way](backend, name)
        assert find(backend) == {name}
        if how == "backup":
            back_up(reopened(backend), made.tree, kind="full")
        for _ in range(2):  # what was stored again makes the damaged pack one to remove
            repaired(backend, partner_of(how, made))
        tried[f"packs, {way}, {how}"] += 1
        if how == "backup" and find(backend):  # manifests and files of older levels that no disk has any more
            assert all(remedy.advice for remedy in plan_repair(recover(backend, KEY)))
            continue
        assert_whole(backend, made)


def test_two_packs_of_one_stripe(made: Made) -> None:
    names = objects(made.backend, "packs/")
    for first, second in itertools.pairwise(names):
        backend = copied(made.backend)
        flip_middle(backend, first)
        delete(backend, second)
        find(backend)
        plan = repaired(backend)
        assert {remedy.action for remedy in plan} == {"rebuild it from parity"}
        tried["packs, two at once, parity"] += 2
        assert_whole(backend, made)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("how", ["twin", "other"])
def test_roots(made: Made, how: str, way: str) -> None:
    for name in objects(made.backend, "backups/"):
        backend = copied(made.backend)
        WAYS[way](backend, name)
        partner = partner_of(how, made)
        assert partner is not None
        repaired(backend, partner)
        if way == "delete":
            sync_stores(partner, reopened(backend), report=ignore)
        tried[f"roots, {way}, {how}"] += 1
        assert_whole(backend, made)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["index/", "parity/", "verified/", "config"])
def test_what_is_made_again(made: Made, kind: str, way: str) -> None:
    """Without any other store."""
    for name in objects(made.backend, kind) if kind.endswith("/") else [kind]:
        backend = copied(made.backend)
        WAYS[way](backend, name)
        scrub_store(backend, reading=Reading(ALL_DATA), report=ignore)
        repaired(backend)
        protect(backend)
        tried[f"{kind.strip('/')}, {way}, alone"] += 1
        assert_whole(backend, made)
        assert protect(backend).covered == len(objects(backend, "packs/"))


def test_all_packs_are_lost_and_a_twin_has_them(made: Made) -> None:
    for how in ("twin", "other"):
        backend = copied(made.backend)
        without_parity(backend)
        for name in objects(backend, "packs/"):
            delete(backend, name)
        for _ in range(2):
            repaired(backend, partner_of(how, made))
        found = contents(reopened(backend))
        assert found == made.contents


def test_a_plan_names_its_sources(made: Made) -> None:
    backend = copied(made.backend)
    name = objects(backend, "packs/")[0]
    delete(backend, name)
    (remedy,) = plan_repair(recover(backend, KEY), reopened(made.twin))
    assert (remedy.object, remedy.wrong, remedy.action) == (name, "it is missing", "rebuild it from parity")
    without_parity(backend)
    (remedy,) = plan_repair(recover(backend, KEY), reopened(made.twin))
    assert remedy.action == "take it from memory"
    (remedy,) = plan_repair(recover(backend, KEY))
    assert (remedy.action, remedy.apply) == ("", None)
    assert "a backup that still has" in remedy.advice


@pytest.mark.parametrize("how", ["parity", "twin", "other", "backup"])
def test_a_repair_that_is_cut_off_is_done_again(made: Made, how: str) -> None:
    """Nothing that could be read before it cannot be read after it, wherever it was cut off."""

    def ruined() -> MemoryBackend:
        backend = copied(made.backend)
        if how != "parity":
            without_parity(backend)
        for name in objects(backend, "packs/")[:2]:
            flip_middle(backend, name)
        find(backend)
        if how == "backup":
            back_up(reopened(backend), made.tree, kind="full")
        return backend

    partner = partner_of(how, made)
    start = ruined()
    counting = FaultyBackend(copied(start))
    apply_remedies(plan_repair(recover(counting, KEY), partner), ignore)
    before = readable(start)
    for at in range(len(counting.changes)):
        backend = copied(start)
        with pytest.raises(Killed):
            apply_remedies(plan_repair(recover(FaultyBackend(backend, at), KEY), partner), ignore)
        assert before <= readable(backend)
        for _ in range(2):
            repaired(backend, partner)
        if how != "backup":
            assert_whole(backend, made)


def readable(backend: MemoryBackend) -> set[str]:
    """The levels that can be read whole."""
    store, found = reopened(backend), set()
    for level in list_levels(store):
        try:
            for chunk in set(manifest_chunks(store, level)):
                store.read_chunk(chunk)
            found.add(level.name)
        except StoreError:
            continue
    return found


def test_an_incremental_backup_heals_what_was_found_damaged(made: Made) -> None:
    """It reads every file while a damaged pack is not healed, and trusts times again once it is."""
    backend = copied(made.backend)
    without_parity(backend)
    newest = max(objects(backend, "packs/"), key=backend.size)
    flip_middle(backend, newest)
    assert find(backend) == {newest}
    healing = back_up(reopened(backend), made.tree, kind="incr")
    assert [kind for kind, _, _ in healing.warnings] == ["damaged"]
    assert healing.stats["read_bytes"] > 0
    (damage,) = verify_store(reopened(backend), budget=ALL_DATA, report=ignore).damaged
    assert (damage.chunks, damage.levels) == (0, {}), "healed"
    assert "'silt repair' removes this one" in damage.error
    again = back_up(reopened(backend), made.tree, kind="incr")
    assert (again.warnings, again.stats["read_bytes"]) == ((), 0)
    (remedy,) = repaired(backend)
    assert remedy.action == "store again what is intact in it, and remove it: the rest lies in other packs too"
    assert find(backend) == set()
    last = back_up(reopened(backend), made.tree, kind="incr")
    assert (last.warnings, last.stats["read_bytes"]) == ((), 0)
    found = contents(reopened(backend))
    assert {name: found[name] for name in made.contents} == made.contents
