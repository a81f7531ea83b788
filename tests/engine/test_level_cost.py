"""What levels cost, held against the plain answer: for every chunk the set of levels that lead to it."""

import random
from collections import defaultdict

import pytest

from siltstone.engine import Event, Level, LevelRef, Warned, list_levels
from siltstone.engine.level_cost import Costs, costs
from siltstone.engine.manifest import manifest_chunks
from siltstone.store import Store, list_packs
from tests.backed_up import back_up, copied, ignore, new_store, reopened, truncate
from tests.store.backends import MemoryBackend


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two deployments that share files, groups that share most; files small, large, the same twice, and none."""
    tree = tmp_path_factory.mktemp("cost")
    rng = random.Random(7)
    store = new_store()
    for number, kind in enumerate(("full", "incr", "incr", "full", "incr", "full")):
        (tree / f"{number} a").write_bytes(rng.randbytes(300_000))
        (tree / f"{number} b").write_bytes(rng.randbytes(3_000))
        (tree / "text").write_bytes(b"the same line\n" * 10_000 * number)
        if number > 1:
            (tree / f"{number - 2} a").unlink()
        back_up(store, tree, kind=kind)  # type: ignore[arg-type]  # a literal out of a tuple
    back_up(store, tree, name="other")
    (tree / "only theirs").write_bytes(rng.randbytes(50_000))
    back_up(store, tree, name="other")
    return reopened(store.backend)


def plain_costs(store: Store, levels: list[Level], going: set[LevelRef]) -> Costs:
    users: dict[bytes, set[LevelRef]] = defaultdict(set)
    for level in levels:
        for chunk in manifest_chunks(store, level):
            users[chunk].add(level.ref)
    of_levels = {level.ref: 0.0 for level in levels}
    of_groups = {(level.deployment, level.group): 0.0 for level in levels}
    free = 0.0
    for pack in list_packs(store.opened):
        for frame in store.footer(pack).frames:
            for chunk, length in zip(frame.ids, frame.lengths, strict=True):
                mine, share = users[chunk], length * frame.stored // frame.plain
                groups = {(ref.deployment, ref.group) for ref in mine}
                if len(mine) == 1:
                    of_levels[min(mine)] += share
                if len(groups) == 1:
                    of_groups[min(groups)] += share
                free += share if mine and mine <= going else 0
    return Costs(
        {ref: int(cost) for ref, cost in of_levels.items()},
        {group: int(cost) for group, cost in of_groups.items()},
        int(free),
    )


@pytest.mark.parametrize("batch", [1, 50, 2_000_000])
def test_the_plain_answer(store: Store, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siltstone.engine.level_cost.BATCH", batch)
    levels = list_levels(store)
    rng = random.Random(batch)
    for count in (0, 1, 3, 5, len(levels)):
        going = {level.ref for level in rng.sample(levels, count)}
        assert costs(store, levels, going, ignore) == plain_costs(store, levels, going)


def test_a_group_costs_more_than_its_levels(store: Store) -> None:
    """What two levels of a group share and no other level has is the group's alone, and neither level's."""
    found = costs(store, list_levels(store), [], ignore)
    of_levels = sum(cost for ref, cost in found.levels.items() if (ref.deployment, ref.group) == ("t", 0))
    assert found.groups["t", 0] > of_levels + 250_000


def test_an_empty_store() -> None:
    assert costs(new_store(), [], [], ignore) == Costs({}, {}, 0)


def test_what_cannot_be_read_is_told(store: Store) -> None:
    backend = copied(store.backend)
    for info in list(backend.list("packs/")):
        truncate(backend, info.name)
    events: list[Event] = []
    damaged = reopened(backend)
    costs(damaged, list_levels(damaged), [], events.append)
    assert any(isinstance(event, Warned) for event in events)


def test_packs_that_no_segment_names(store: Store) -> None:
    """What a lost index no longer tells is looked up in the footers."""
    backend = copied(store.backend)
    assert isinstance(backend, MemoryBackend)
    levels = list_levels(store)
    told = costs(store, levels, [], ignore)
    for name in [name for name in backend.objects if name.startswith("index/")]:
        del backend.objects[name]
    assert costs(reopened(backend), levels, [], ignore) == told
