"""A store to forget in: two groups of a small tree, what each level holds, and short words for what tests do with it.

Rule: levels are real backups. Tests take it by `from tests.forgetting import made, store, tree`; each gets a copy.
"""

from pathlib import Path

import pytest

from siltstone.engine import LevelRef, list_levels
from siltstone.engine.forgetting import carry_out, judge_by_name
from siltstone.engine.keep_rules import WINDOW_NS
from siltstone.store import Store
from tests.backed_up import back_up, copied, ignore, new_store, reopened
from tests.backing_up import Picture, picture
from tests.store.backends import MemoryBackend


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("forgotten")


@pytest.fixture(scope="module")
def made(tree: Path) -> tuple[MemoryBackend, dict[str, Picture]]:
    """Groups 0 and 1, of three and two levels; what each holds."""
    backend, then = MemoryBackend(), {}
    store = new_store(backend)
    for number, kind in enumerate(("full", "incr", "incr", "full", "incr")):
        (tree / "file").write_bytes(b"%d" % number * 1000)
        (tree / f"only in {number}").write_bytes(b"%d" % number)
        level = back_up(store, tree, kind=kind)  # type: ignore[arg-type]  # a literal out of a tuple
        then[str(level.ref)] = picture(tree)
        (tree / f"only in {number}").unlink()
    return backend, then


@pytest.fixture
def store(made: tuple[MemoryBackend, dict[str, Picture]]) -> Store:
    return reopened(copied(made[0]))


def there(store: Store) -> list[str]:
    return [str(level.ref) for level in list_levels(store)]


def forget(store: Store, *words: str) -> list[str]:
    done = carry_out(store, judge_by_name(store, words), WINDOW_NS, ignore)
    return [str(each.ref) for each in done]


def ref(group: int, level: int) -> LevelRef:
    return LevelRef("t", group, level)
