"""How often a command waits for a remote store: what that costs grows with the way there, and no machine makes it less.

Rule: rounds are counted (tests/rounds.py), not seconds. A bound here may go down, and up only with a reason: each round
is a fifth of a second to the other end of the world.
"""

from pathlib import Path

import pytest

from siltstone.engine import list_levels
from siltstone.store import CachePlace, Store, in_parallel
from tests.backed_up import KEY, back_up, new_store
from tests.restoring import below, put_back
from tests.rounds import COUNTS, FarBackend, far_away
from tests.store.backends import MemoryBackend
from tests.tree_difference import difference

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(not COUNTS, reason="nothing tells whether threads sleep"),
]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for number in range(30):
        (tmp_path / "tree" / f"{number % 3}").mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / f"{number % 3}" / f"{number}").write_text(f"{number}\n" * 100)
    return tmp_path / "tree"


@pytest.fixture
def stored(tree: Path) -> MemoryBackend:
    """A store with a level of the tree."""
    backend = MemoryBackend()
    back_up(new_store(backend), tree)
    return backend


def opened(backend: FarBackend, folder: Path) -> Store:
    """With a cache, as `silt` opens it."""
    return Store.open(backend, KEY, CachePlace(str(folder / "cache"), 1 << 24))


def test_rounds_are_counted() -> None:
    with far_away(MemoryBackend()) as backend:
        backend.put("a/b", [b"content"])
        assert list(in_parallel(backend.get, ["a/b"] * 5, 5)) == [b"content"] * 5
        assert backend.size("a/b") == 7
    assert backend.rounds == [["put a/b"], ["get a/b"] * 5, ["size a/b"]]
    assert backend.requests == 7


def test_a_backup_of_what_did_not_change(stored: MemoryBackend, tree: Path, tmp_path: Path) -> None:
    with far_away(stored) as backend:
        back_up(opened(backend, tmp_path), tree)  # it fills the cache
    with far_away(stored) as backend:
        level = back_up(opened(backend, tmp_path), tree)
    assert level.stats["new_bytes"] == 0
    assert len(backend.rounds) <= 16, backend.rounds
    assert backend.requests <= 22, backend.rounds


@pytest.mark.parametrize(("levels", "rounds"), [(1, 14), (12, 17)])
def test_a_restore(stored: MemoryBackend, tree: Path, tmp_path: Path, levels: int, rounds: int) -> None:
    for number in range(1, levels):
        (tree / "0" / "0").write_text(f"{number}\n")
        back_up(Store.open(stored, KEY), tree)
    with far_away(stored) as backend:
        store = opened(backend, tmp_path)
        with store.reading():
            put_back(store, list_levels(store)[-1], tmp_path / "back")
    assert not difference(tree, below(tmp_path / "back", tree))
    assert len(backend.rounds) <= rounds, backend.rounds


def test_listing_many_levels(stored: MemoryBackend, tree: Path, tmp_path: Path) -> None:
    for _ in range(15):
        back_up(Store.open(stored, KEY), tree)
    with far_away(stored) as backend:
        assert len(list_levels(opened(backend, tmp_path))) == 16
    assert len(backend.rounds) <= 9, backend.rounds
