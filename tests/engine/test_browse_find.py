"""Finding paths over all levels, held against plain walks over all entries.

Rule: levels are real backups of real trees that change; what must come out is computed entry by entry.
"""

import os
from pathlib import Path

import pytest

from siltstone.engine import Entry, Event, Found, Level, Warned, find, list_levels
from siltstone.engine.browse_diff import changes
from siltstone.engine.entry import order_key
from siltstone.store import Store, pack_object
from tests.backed_up import copied, flip, ignore, reopened
from tests.history import all_of, manifest_chunks, reading, store, tree

__all__ = ["store", "tree"]  # fixtures


def find_all(store: Store, *patterns: bytes, levels: list[Level] | None = None) -> dict[tuple[str, bytes], Found]:
    listed = list(find(store, patterns, levels=levels, report=ignore))
    assert [found.path for found in listed] == sorted((found.path for found in listed), key=order_key)
    table = {(found.deployment, found.path): found for found in listed}
    assert len(table) == len(listed)
    return table


def test_against_a_walk(store: Store) -> None:
    every = list(find(store, [b"*"], report=ignore))
    versions: dict[tuple[str, bytes], list[tuple[str, Entry]]] = {}
    for level in list_levels(store):
        for path, entry in all_of(store, level).items():
            versions.setdefault((level.deployment, path), []).append((str(level.ref), entry))
    assert {(found.deployment, found.path) for found in every} == versions.keys()
    for found in every:
        known = versions[found.deployment, found.path]
        assert [str(ref) for version in found.versions for ref in version.levels] == [ref for ref, _ in known]
        by_ref = dict(known)
        for version in found.versions:
            assert all(not changes(version.entry, by_ref[str(ref)]) for ref in version.levels)
        assert all(changes(a.entry, b.entry) for a, b in zip(found.versions, found.versions[1:], strict=False))
        first = known[0][1]
        differs = any({"content", "type", "target"} & changes(first, entry) for _, entry in known)
        assert found.differs == differs


def test_versions(store: Store, tree: Path) -> None:
    table = find_all(store, os.fsencode(tree / "x.txt"))
    found = table["t", os.fsencode(tree / "x.txt")]
    assert [[str(ref) for ref in version.levels] for version in found.versions] == [
        ["0/0", "0/1"], ["0/2"], ["0/3"], ["0/4", "0/5"],
    ]  # fmt: skip
    assert found.differs
    assert [version.entry.size for version in found.versions] == [1, 7, 7, 1]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        (b"*.pem", ["many/inner/last.pem"]),
        (b"x.txt", ["x.txt", "deep/b/c/x.txt"]),
        (b"inner", ["many/inner"]),
        (b"c/x.txt", ["deep/b/c/x.txt"]),
        (b"deep/**/x.txt", ["deep/b/c/x.txt"]),
        (b"deep/**", ["deep/b", "deep/b/c", "deep/b/c/x.txt"]),
        (b"deep/b/*", ["deep/b/c"]),
        (b"070?.txt", [f"many/070{digit}.txt" for digit in range(10)]),
        (b"nowhere", []),
    ],
)
def test_patterns(store: Store, tree: Path, pattern: bytes, names: list[str]) -> None:
    levels = list_levels(store)[:1]
    wanted = {("t", os.fsencode(tree / name)) for name in names}
    assert find_all(store, pattern, levels=levels).keys() == wanted
    rooted = os.fsencode(tree) + b"/" + pattern
    inside = {(name, path) for name, path in wanted if path.count(b"/") == rooted.count(b"/") or b"**" in pattern}
    assert find_all(store, rooted, levels=levels).keys() == inside


def test_shared_chunks_are_looked_through_once(store: Store) -> None:
    distinct = {chunk for level in list_levels(store) for chunk in manifest_chunks(store, level)}
    with reading(store) as read:
        assert list(find(store, [b"*.pem", b"x.txt"], report=ignore))
    assert len([chunk for chunk in read if chunk in distinct]) == len(distinct)


def test_damage_is_a_warning_and_the_rest_is_found(store: Store) -> None:
    backend = copied(store.backend)
    levels = list_levels(store)
    flip(backend, levels[0].name, -1)
    chunk = manifest_chunks(store, levels[5])[-1]
    place = store.find(chunk)
    assert place is not None
    flip(backend, pack_object(place.pack), store.footer(place.pack).frames[place.frame].offset)
    events: list[Event] = []
    table = {found.path for found in find(reopened(backend), [b"*"], report=events.append)}
    warned = {event.path for event in events if isinstance(event, Warned)}
    assert levels[0].name in warned
    assert len(warned) > 1
    assert table
