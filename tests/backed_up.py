"""Stores with real backups in them, for tests that look into levels or damage what is stored.

Rule: levels are made by the program's own backup of real trees; what must be in them is told by a plain walk over all
entries, the oracle that the quick ways are held against. Stores are in memory: a test damages hundreds of copies.
"""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from siltstone.engine import Event, Level, Progress, Report, entries, extents_of, list_levels, quick_deployment
from siltstone.engine import back_up as back_up_deployment
from siltstone.store import Backend, ChunkId, KeyFile, Store
from tests.store.backends import MemoryBackend

KEY = KeyFile(bytes(range(32)))  # as safe as a passphrase for a test, and without the tenth of a second of Argon2


def new_store(backend: Backend | None = None, *, encrypted: bool = True) -> Store:
    """An empty store."""
    return Store.init(backend or MemoryBackend(), [(KEY, "test")] if encrypted else [])


def reopened(backend: Backend) -> Store:
    """The encrypted store at a backend, as another process would see it."""
    return Store.open(backend, KEY)


def copied(backend: Backend) -> MemoryBackend:
    """The objects of a store in a backend of their own, to be damaged."""
    copy = MemoryBackend()
    copy.objects = {info.name: backend.get(info.name) for info in backend.list("")}
    return copy


def ignore(_: Event) -> None:
    """A report that nobody reads."""


def back_up(
    store: Store,
    *paths: Path,
    name: str = "t",
    kind: Literal["auto", "full", "incr", "diff"] = "auto",
    report: Report = ignore,
) -> Level:
    """Back paths up as one file set; the level."""
    deployment = quick_deployment([str(path) for path in paths], name)
    level = back_up_deployment(store, deployment, kind=kind, report=report).level
    assert level is not None
    return level


def warnings_into(events: list[Event]) -> Callable[[Event], None]:
    """A report that keeps what is not progress."""
    return lambda event: None if isinstance(event, Progress) else events.append(event)


def label(level: Level) -> str:
    """A level as verification names it."""
    return f"{level.deployment}:{level.ref}"


def needs(store: Store) -> dict[ChunkId, dict[str, set[bytes]]]:
    """chunk -> level -> the paths whose content needs it."""
    found: dict[ChunkId, dict[str, set[bytes]]] = defaultdict(lambda: defaultdict(set))
    for level in list_levels(store):
        for entry in entries(store, level):
            lists = entry.extents if entry.indirect else []
            for extent in (*lists, *extents_of(store, entry)):
                if extent.id is not None:
                    found[extent.id][label(level)].add(entry.path)
    return found


def flip(backend: MemoryBackend, name: str, at: int) -> None:
    """Change one bit of an object; `at` counts from the end when it is negative."""
    data = bytearray(backend.objects[name])
    data[at] ^= 0x10
    backend.objects[name] = bytes(data)


def flip_middle(backend: MemoryBackend, name: str) -> None:
    """Change one bit in the middle of an object."""
    flip(backend, name, len(backend.objects[name]) // 2)


def truncate(backend: MemoryBackend, name: str) -> None:
    """Cut an object in the middle."""
    backend.objects[name] = backend.objects[name][: len(backend.objects[name]) // 2]


def delete(backend: MemoryBackend, name: str) -> None:
    """Remove an object."""
    del backend.objects[name]


def objects(backend: Backend, under: str) -> list[str]:
    """The names of the objects under a prefix, sorted."""
    return [info.name for info in backend.list(under)]
