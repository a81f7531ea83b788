"""What a restore reads: no more of the store than it needs."""

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from siltstone.store import PackName
from tests.backed_up import back_up, new_store
from tests.restoring import put_back
from tests.trees import difference


def test_of_frames_only_the_chunks_that_are_needed_are_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files that share a frame, and a large one of which half came with an earlier level."""
    store, tree, opened = new_store(), tmp_path / "tree", []
    tree.mkdir()
    for number in range(300):
        (tree / f"{number:03}").write_bytes(b"%d" % number * 3000)
    (tree / "large").write_bytes(os.urandom(3_000_000))
    back_up(store, tree)
    with (tree / "large").open("r+b") as large:
        large.write(os.urandom(1_500_000))
    level, read = back_up(store, tree), store.read_frames

    def spied(pack: PackName, frames: Sequence[int], wanted: Mapping[int, Collection[int]]) -> Iterator[Any]:
        for number in frames:
            info = store.footer(pack).frames[number]
            opened.append([info.lengths[slot] for slot in wanted.get(number, range(len(info.ids)))])
        return read(pack, frames, wanted)

    monkeypatch.setattr(store, "read_frames", spied)
    assert not put_back(store, level, tmp_path / "one", tree / "007", tree / "100", base=tree).failures
    assert [sorted(lengths) for lengths in opened] == [[3000, 9000]]
    opened.clear()
    assert not put_back(store, level, tmp_path / "large", tree / "large", base=tree).failures
    assert sum(map(sum, opened)) == 3_000_000
    opened.clear()
    assert not put_back(store, level, tmp_path / "all", base=tree, verify=True).failures
    assert not difference(tree, tmp_path / "all")
