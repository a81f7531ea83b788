"""Levels for tests of garbage collection, runs of it, and whether all levels still read back.

Rule: runs wait for nobody, and take any share of the store for dead, unless a test says otherwise.
"""

from pathlib import Path
from random import Random

from siltstone.engine import Collected, LevelRef, Limits, collect, list_levels, verify_store
from tests.backed_up import back_up, ignore, new_store, reopened
from tests.backing_up import Picture, picture, recorded
from tests.store.backends import MemoryBackend
from tests.store.stores import small_packs

ANY = Limits(share=1.0, patience=0.0)
Made = tuple[MemoryBackend, dict[str, Picture]]


def ref(level: int) -> LevelRef:
    return LevelRef("t", 0, level)


def make_levels(tree: Path) -> Made:
    """Four levels, each with a large file of its own beside one that stays; and what each holds."""
    backend, then = MemoryBackend(), {}
    store = new_store(backend)
    (tree / "stays").write_bytes(Random(99).randbytes(150_000))
    with small_packs(pack=600 << 10, frame=32 << 10):
        for number in range(4):
            (tree / "changes").write_bytes(Random(number).randbytes(200_000))
            then[str(back_up(store, tree, kind="auto").ref)] = picture(tree)
    return backend, then


def run(backend: MemoryBackend, limits: Limits = ANY, *, dry_run: bool = False) -> Collected:
    return collect(reopened(backend), limits=limits, dry_run=dry_run, report=ignore)


def restores(backend: MemoryBackend, made: Made) -> list[str]:
    """The levels that are there, each of which reads back exactly, in a store in which nothing is damaged."""
    store = reopened(backend)
    levels = list_levels(store)
    for level in levels:
        assert recorded(store, level) == made[1][str(level.ref)]
    assert verify_store(store, report=ignore).damaged == []
    return [str(level.ref) for level in levels]
