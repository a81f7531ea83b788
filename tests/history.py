"""A store with a history: six levels of a tree that changes a little each time, in two file sets, one inside the other.

Rule: the levels are real backups of a real tree. Tests take it by `from tests.history import store, tree`;
they only read it.
"""

import os
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from siltstone.engine import Deployment, Entry, FileSet, Level, back_up, entries
from siltstone.engine.manifest import ManifestReader
from siltstone.store import ChunkId, Store
from tests.backed_up import ignore, new_store, reopened


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree as it is in the last level."""
    return tmp_path_factory.mktemp("history") / "tree"


def deployment(tree: Path, name: str = "t") -> Deployment:
    """Two file sets, one below the other."""
    root = os.fsencode(tree)
    return Deployment(name, (FileSet("all", (root,)), FileSet("deep", (root + b"/deep/b", root + b"/x.txt"))))


def level_of(store: Store, tree: Path, name: str = "t") -> Level:
    """Back it up once more."""
    level = back_up(store, deployment(tree, name), report=ignore).level
    assert level is not None
    return level


@pytest.fixture(scope="session")
def store(tree: Path) -> Store:
    """Levels 0/0 to 0/5 of a tree that changes a little, and one of another deployment."""
    rng = random.Random(3)
    for folder in ("a", "deep/b/c", "many", "many/inner", "empty"):
        (tree / folder).mkdir(parents=True)
    for number in range(1500):
        (tree / "many" / f"{number:04}.txt").write_bytes(b"%d" % number)
    (tree / "many" / "inner" / "last.pem").write_bytes(b"pem")
    (tree / "x.txt").write_bytes(b"x")
    (tree / "a-").write_bytes(b"sorts between a and a/")
    (tree / "a" / "file").write_bytes(rng.randbytes(1000))
    (tree / "deep" / "b" / "c" / "x.txt").write_bytes(b"deep x")
    os.symlink("x.txt", tree / "link")
    store = new_store()
    level_of(store, tree)
    for step in range(1, 6):
        change(tree, step)
        level_of(store, tree)
    level_of(store, tree, "zz")
    return reopened(store.backend)


def change(tree: Path, step: int) -> None:
    """What happens before level 0/`step`."""
    (tree / "many" / f"{step * 200:04}.txt").write_bytes(b"changed in %d" % step)
    (tree / "many" / f"{step * 200 + 1:04}.txt").unlink()
    (tree / "many" / f"new in {step}").write_bytes(b"new")
    if step == 2:
        shutil.rmtree(tree / "a")
        (tree / "x.txt").write_bytes(b"other x")
        (tree / "link").unlink()
        os.symlink("elsewhere", tree / "link")
    if step == 3:
        (tree / "a").write_bytes(b"now a file")
        (tree / "x.txt").chmod(0o600)
        os.utime(tree / "empty", ns=(1, 1))
    if step == 4:
        (tree / "x.txt").write_bytes(b"x")


def all_of(store: Store, level: Level) -> dict[bytes, Entry]:
    """path -> entry."""
    return {entry.path: entry for entry in entries(store, level)}


def manifest_chunks(store: Store, level: Level) -> list[ChunkId]:
    """The manifest chunks of a level, file set by file set."""
    return [chunk for files in level.sets for chunk, _ in ManifestReader(store, level, files).chunks()]


@contextmanager
def reading(store: Store) -> Iterator[list[ChunkId]]:
    """The chunks that are read meanwhile, in order."""
    read: list[ChunkId] = []
    plain = store.read_chunk

    def noting(chunk: ChunkId) -> bytes:
        read.append(chunk)
        return plain(chunk)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "read_chunk", noting)
        yield read
