"""Groups and levels: which level a new backup becomes, which one a user's words name, what a root says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from siltstone.engine import LevelNotFound, LevelRef, list_levels
from siltstone.engine.level_plan import plan_level
from siltstone.engine.levels import Level, SetInfo, level_refs, read_level, to_root
from siltstone.engine.resolving import named, resolve_ref
from siltstone.store import ChunkId, Corrupt, NewerFormat, ObjectMissing, Store
from tests.backing_up import KEY
from tests.store.backends import MemoryBackend

LEVEL = Level(
    LevelRef("app", 0, 10),
    kind="diff",
    parent=0,
    started_ns=1,
    finished_ns=2,
    host="host",
    product_version="4.2",
    privilege="unprivileged",
    sets=(SetInfo("files", (b"/caf\xe9", b"/x"), ((ChunkId(bytes(range(32))), 77),), 3, 2, 1),),
    stats={"files": 2, "warnings": 1},
    warnings=(("changed", "/x", "it changed"),),
    owners={0: "root", 4_000_000_000: "far"},
    groups={},
)
KINDS = st.sampled_from(("auto", "full", "incr", "diff"))
REFS = st.frozensets(st.builds(LevelRef, st.sampled_from(("a", "b")), st.integers(0, 30), st.integers(0, 30)))


@pytest.fixture
def store() -> Store:
    return Store.init(MemoryBackend(), [(KEY, "test")])


def commit(store: Store, level: Level, **changes: object) -> None:
    """Commit a root that holds nothing but itself."""
    with store.writer() as writer:
        writer.commit(level.name, to_root(level) | changes)


@given(KINDS, REFS)
def test_a_plan_takes_a_new_level_and_compares_with_one_of_its_group(kind: str, refs: frozenset[LevelRef]) -> None:
    plan = plan_level("a", kind, refs)  # type: ignore[arg-type]  # hypothesis knows no Literal
    mine = {ref for ref in refs if ref.deployment == "a"}
    assert plan.ref.deployment == "a"
    assert plan.ref not in mine
    assert all(plan.ref > ref for ref in mine)
    if not mine or kind == "full":
        assert (plan.kind, plan.base, plan.ref.level) == ("full", None, 0)
        assert plan.ref.group == (max(ref.group for ref in mine) + 1 if mine else 0)
        return
    group = [ref for ref in mine if ref.group == max(mine).group]
    assert plan.ref == LevelRef("a", group[0].group, max(ref.level for ref in group) + 1)
    assert plan.kind == ("diff" if kind == "diff" else "incr")
    assert plan.base == (min(group) if kind == "diff" else max(group))


def test_levels_are_numbers_and_not_text() -> None:
    refs = [LevelRef("a", 0, level) for level in (0, 9, 10)] + [LevelRef("a", 10, 0), LevelRef("a", 9, 99)]
    assert plan_level("a", "incr", refs).ref == LevelRef("a", 10, 1)
    assert plan_level("a", "incr", refs[:3]).ref == LevelRef("a", 0, 11)
    assert resolve_ref(refs, "latest") == LevelRef("a", 10, 0)


def test_names_of_a_level() -> None:
    ref = LevelRef("web-1", 3, 12)
    assert (str(ref), ref.name, ref.tar_name) == ("3/12", "backups/web-1/3/12", "web-1_backup_group_3_level_12.tar")


@given(REFS)
def test_what_a_level_is_called_names_it_again(refs: frozenset[LevelRef]) -> None:
    several = len({ref.deployment for ref in refs}) > 1
    for ref in refs:
        assert resolve_ref(sorted(refs), f"{ref.deployment}:{ref}") == ref
        if several:
            with pytest.raises(LevelNotFound):
                resolve_ref(sorted(refs), str(ref))
        else:
            assert resolve_ref(sorted(refs), str(ref)) == ref


@pytest.mark.parametrize(
    "spec", ["", "0", "0/", "/0", "0/9", "0/-1", "0/0/0", "c:0/0", "a:", "a:0", "last", "\u00b2/0", ":"]
)
def test_what_names_no_level(spec: str) -> None:
    with pytest.raises(LevelNotFound) as caught:
        resolve_ref([LevelRef("a", 0, 0), LevelRef("a", 0, 1)], spec)
    assert caught.value.hint


def test_latest_is_of_one_deployment() -> None:
    refs = [LevelRef("a", 0, 0), LevelRef("a", 1, 0), LevelRef("b", 0, 7)]
    assert resolve_ref(refs, "a:latest") == refs[1]
    assert resolve_ref(refs, "b:latest") == refs[2]
    with pytest.raises(LevelNotFound):
        resolve_ref(refs, "latest")
    with pytest.raises(LevelNotFound):
        resolve_ref([], "latest")


def test_a_root_says_all_of_its_level(store: Store) -> None:
    commit(store, LEVEL)
    assert read_level(store, LEVEL.ref) == LEVEL
    assert list_levels(store) == [LEVEL]


def test_levels_are_listed_in_order_and_other_objects_are_not(store: Store) -> None:
    refs = [LevelRef("app", 0, 2), LevelRef("app", 0, 10), LevelRef("app", 1, 0), LevelRef("b", 0, 0)]
    for ref in reversed(refs):
        commit(store, replace(LEVEL, ref=ref))
    for name in ("backups/app/0/x", "backups/app/0", "backups/app/0/1/2"):
        store.backend.put(name, [b"none of ours"])
    assert level_refs(store) == refs
    assert [level.ref for level in list_levels(store)] == refs


def test_a_damaged_root_is_listed_as_such_and_hides_no_other(store: Store) -> None:
    for number in (0, 1):
        commit(store, replace(LEVEL, ref=LevelRef("app", 0, number)))
    backend = store.backend
    assert isinstance(backend, MemoryBackend)
    root = backend.objects["backups/app/0/0"]
    backend.objects["backups/app/0/0"] = root[:-1] + bytes([root[-1] ^ 1])
    damaged, sound = list_levels(store)
    assert damaged.ref == LevelRef("app", 0, 0)
    assert "backups/app/0/0" in damaged.damage
    assert not sound.damage
    with pytest.raises(Corrupt):
        read_level(store, damaged.ref)


def test_a_root_under_another_name_is_damage(store: Store) -> None:
    commit(store, LEVEL)
    other = LevelRef("app", 5, 5)
    store.backend.put(other.name, [store.backend.get(LEVEL.name)])
    with pytest.raises(Corrupt):
        read_level(store, other)


def test_a_root_of_a_newer_format_and_one_that_is_gone(store: Store) -> None:
    commit(store, LEVEL, format=2)
    with pytest.raises(NewerFormat) as caught:
        read_level(store, LEVEL.ref)
    assert "upgrade" in caught.value.hint
    with pytest.raises(ObjectMissing):
        read_level(store, LevelRef("app", 9, 9))


def test_a_root_that_lacks_something_is_damage(store: Store) -> None:
    with store.writer() as writer:
        writer.commit(LEVEL.name, {key: value for key, value in to_root(LEVEL).items() if key != "stats"})
    with pytest.raises(Corrupt):
        read_level(store, LEVEL.ref)


def test_configuration_only_levels_count_where_they_are_named() -> None:
    whole, config = LevelRef("a", 0, 1), LevelRef("a.config", 0, 1)
    assert resolve_ref([whole, config], "latest") == resolve_ref([whole, config], "0/1") == whole
    assert resolve_ref([whole, config], "a.config:latest") == config
    assert named([whole, config], "0") == {whole}
    assert named([whole, config], "a.config:0/1") == {config}
    assert resolve_ref([config], "latest") == config
    with pytest.raises(LevelNotFound, match="ambiguous"):
        resolve_ref([whole, config, LevelRef("b", 0, 0)], "latest")
