"""A store to damage, and what the loss of any of its chunks must concern: the oracle that verification is held against.

Rule: what needs what is read from the intact store by plain walks, entry by entry; nothing of the verification is used.
"""

import os
import random
from collections import defaultdict
from collections.abc import Callable, Collection
from pathlib import Path

import pytest
from msgspec import Struct

from siltstone.engine import Damage, Level, Stretch, VerifyResult, list_levels, verify_store
from siltstone.engine.manifest import ManifestReader
from siltstone.engine.verify_result import ALL_DATA, NO_DATA
from siltstone.store import Backend, ChunkId, PackName, Store
from tests.backed_up import back_up, delete, flip_middle, ignore, label, needs, new_store, reopened, truncate
from tests.store.backends import MemoryBackend

WAYS: dict[str, Callable[[MemoryBackend, str], None]] = {
    "flipped": flip_middle,
    "truncated": truncate,
    "deleted": delete,
}


class Sample(Struct, frozen=True):
    """A store of two levels, intact; its tree; and for each chunk what needs it: paths and stretches, by level."""

    backend: MemoryBackend
    tree: Path
    levels: list[Level]
    needs: dict[ChunkId, dict[str, set[bytes]]]
    manifests: dict[ChunkId, dict[str, list[Stretch]]]

    def chunks_of(self, pack: str) -> set[ChunkId]:
        """All chunks of a pack, by its object's name."""
        footer = reopened(self.backend).footer(PackName(pack.rpartition("/")[2]))
        return {chunk for frame in footer.frames for chunk in frame.ids}


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """The sample of all tests; they damage copies."""
    backend, tree = MemoryBackend(), tmp_path_factory.mktemp("sample") / "tree"
    make_tree(tree)
    store = new_store(backend)
    back_up(store, tree)
    (tree / "large" / "2").write_bytes(random.Random(5).randbytes(2_500_000))
    (tree / "small" / "0007").unlink()
    (tree / "small" / "new").write_bytes(b"new in level 1")
    back_up(store, tree)
    store = reopened(backend)
    return Sample(backend, tree, list_levels(store), dict(needs(store)), manifest_stretches(store))


def make_tree(root: Path) -> None:
    """Small files enough for several manifest chunks, large ones for several frames, and names of the same content."""
    rng = random.Random(4)
    (root / "small").mkdir(parents=True)
    for number in range(4000):
        (root / "small" / f"{number:04}").write_bytes(rng.randbytes(rng.randrange(200)))
    (root / "large").mkdir()
    for number in range(3):
        (root / "large" / str(number)).write_bytes(rng.randbytes(3_000_000))
    (root / "large" / "same as 0").write_bytes((root / "large" / "0").read_bytes())
    os.link(root / "large" / "1", root / "other name of 1")


def manifest_stretches(store: Store) -> dict[ChunkId, dict[str, list[Stretch]]]:
    """Of each manifest chunk, and each index of these: the stretch of entries that cannot be listed without it."""
    found: dict[ChunkId, dict[str, list[Stretch]]] = defaultdict(lambda: defaultdict(list))
    for level in list_levels(store):
        for files in level.sets:
            for index, _ in files.index:
                found[index][label(level)].append(Stretch(files.name, None, None, files.entries))
            reader = ManifestReader(store, level, files)
            paths = [path for path, _ in reader.rows()]
            chunks = list(reader.chunks())
            starts = [paths.index(first) for _, first in chunks]
            for (chunk, first), start, stop in zip(chunks, starts, [*starts[1:], len(paths)], strict=True):
                after = paths[stop] if stop < len(paths) else None
                found[chunk][label(level)].append(Stretch(files.name, first, after, stop - start))
    return {chunk: dict(stretches) for chunk, stretches in found.items()}


def verified(backend: Backend, *, data: bool = True) -> VerifyResult:
    """What a verification by another process finds."""
    return verify_store(reopened(backend), budget=ALL_DATA if data else NO_DATA, report=ignore)


def assert_concerns(damage: Damage, sample: Sample, chunks: Collection[ChunkId]) -> None:
    """The damage is the loss of these chunks and of nothing else."""
    paths, stretches = concerned(sample, chunks)
    assert {name: set(found) for name, found in damage.levels.items()} == paths
    assert all(len(found) == len(set(found)) for found in damage.levels.values())
    assert {name: sorted(found, key=_start) for name, found in damage.unlisted.items()} == stretches
    assert damage.chunks == len(chunks)


def concerned(sample: Sample, chunks: Collection[ChunkId]) -> tuple[dict[str, set[bytes]], dict[str, list[Stretch]]]:
    """The paths, and the stretches that cannot be listed, that the loss of chunks concerns; by level."""
    paths: dict[str, set[bytes]] = {}
    stretches: dict[str, list[Stretch]] = {}
    for name in map(label, sample.levels):
        lost = [stretch for chunk in chunks for stretch in sample.manifests.get(chunk, {}).get(name, [])]
        whole = [stretch for stretch in lost if stretch.first is None]
        lost = sorted(whole or lost, key=_start)
        needing = {path for chunk in chunks for path in sample.needs.get(chunk, {}).get(name, ())}
        needing = {path for path in needing if not any(_is_in(path, stretch) for stretch in lost)}
        if lost:
            stretches[name] = lost
        if lost or needing:
            paths[name] = needing
    return paths, stretches


def _start(stretch: Stretch) -> bytes:
    return stretch.first or b""


def _is_in(path: bytes, stretch: Stretch) -> bool:
    key, first, after = (p and p.replace(b"/", b"\0") for p in (path, stretch.first, stretch.after))
    return bool(key and (not first or first <= key) and (not after or key < after))
