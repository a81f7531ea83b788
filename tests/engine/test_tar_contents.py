"""Contents of imported archives: what workers cut and hash, and what is hashed where it is read, in one archive.

Rule: the archive comes out as the same bytes, the tree as it was, and contents that the store holds are stored once.
"""

import os
import random
from pathlib import Path

from siltstone.engine import export_level, import_archive, restore_level, sources_of
from siltstone.engine.selection import Selection
from tests.backed_up import back_up, ignore, new_store
from tests.trees import difference

# Of one chunk, of several, of none; then many small ones, which are a batch of another kind.
SIZES = (400_000, 3, 131_073, 131_072, 0, 900_000, 70_000, 1_500_000, 12, *[900] * 200)


def test_contents_of_several_chunks_beside_small_ones(tmp_path: Path) -> None:
    tree, rng = tmp_path / "tree", random.Random(9)
    for number, size in enumerate(SIZES):
        folder = tree / f"{number // 10:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:03d}").write_bytes(rng.randbytes(size))
    store = new_store()
    level = back_up(store, tree)
    path, again = tmp_path / level.tar_name, tmp_path / "again.tar"
    export_level(store, level, path, report=ignore)
    (source,) = sources_of(store, [path], deployment="imported", whole=False)
    imported = import_archive(store, source, report=ignore)
    assert imported.stats["new_bytes"] < sum(SIZES) / 5  # 1.5 KiB of headers a member, manifests
    export_level(store, imported, again, report=ignore)
    assert again.read_bytes() == path.read_bytes()
    out = tmp_path / "out"
    restore_level(store, imported, target=os.fsencode(out), selection=Selection(), report=ignore)
    assert difference(tree, out / str(tree)[1:], but=("flags", "holes", "ctime")) == []
