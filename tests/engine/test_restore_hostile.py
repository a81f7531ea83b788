"""Levels that no backup wrote: whatever they say, nothing outside of the target is written; the rest is restored."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from siltstone.engine import Entry, Extent
from siltstone.store import ChunkId, Store
from tests.backed_up import back_up, new_store
from tests.restoring import below, commit_rows, leftovers, made_entry, put_back


@pytest.fixture
def store() -> Store:
    return new_store()


def content(store: Store, data: bytes) -> list[Extent]:
    with store.writer() as writer:
        (chunk,) = writer.store_run(memoryview(data), [len(data)])
        writer.flush()
    return [Extent(chunk, 0, len(data))]


@pytest.fixture
def hostile(store: Store, tmp_path: Path) -> Iterator[list[Entry]]:
    extents = content(store, b"hostile")
    victim = os.fsencode(tmp_path / "victim")
    (tmp_path / "victim").mkdir()

    def file(path: bytes) -> Entry:
        return made_entry(path, size=7, extents=extents)

    yield [
        made_entry(b"/d", stat.S_IFDIR, mode=0o755),
        *(file(path) for path in (b"/../up", b"/d/../../up", b"/d/..", b"/d/.", b"/d/", b"//", b"/d//x", b"relative")),
        *(file(path) for path in (b"/d/nul\0", b"/d/n" + b"n" * 300, b"", b"/", b"/d/./y", b"..")),
        made_entry(b"/l", stat.S_IFLNK, target=victim),
        file(b"/l/below"),
        made_entry(b"/l/deeper", stat.S_IFDIR),
        file(b"/l/deeper/file"),
        made_entry(b"/d/odd", 0o150000),
        made_entry(b"/d/..", stat.S_IFLNK, target=victim),
        made_entry(b"/d/fifo/..", stat.S_IFIFO),
        file(b"/ok"),
        file(b"/d/ok"),
    ]
    assert not list((tmp_path / "victim").iterdir())


@pytest.mark.parametrize("kept", [True, False])
def test_nothing_escapes(tmp_path: Path, store: Store, hostile: list[Entry], kept: bool) -> None:
    level = commit_rows(store, hostile, kept=kept)
    (tmp_path / "box").mkdir()
    result = put_back(store, level, tmp_path / "box" / "out")
    assert {path.name for path in (tmp_path / "box").iterdir()} == {"out"}
    assert (tmp_path / "box" / "out" / "ok").read_bytes() == b"hostile"
    assert (tmp_path / "box" / "out" / "d" / "ok").read_bytes() == b"hostile"
    failed = {path for path, _ in result.failures}
    assert {b"/../up", b"/d/../../up", b"/l", b"/d/nul\0", b"/d/odd"} <= failed  # /l: a folder by now
    assert not failed & {b"/ok", b"/d/ok"}
    assert not leftovers(tmp_path / "box")


def test_symlinks_that_somebody_planted(tmp_path: Path, store: Store) -> None:
    tree = tmp_path / "tree"
    (tree / "folder").mkdir(parents=True)
    (tree / "folder" / "file").write_bytes(b"for nobody else")
    level = back_up(store, tree)
    victim = tmp_path / "victim"
    victim.mkdir()
    out = below(tmp_path / "out", tree)
    out.parent.mkdir(parents=True)
    out.symlink_to(victim)
    result = put_back(store, level, tmp_path / "out")
    assert result.files == 0
    assert len(result.failures) == level.sets[0].entries
    assert not list(victim.iterdir())


def test_of_a_frame_of_which_nothing_is_needed_nothing_is_read(tmp_path: Path, store: Store) -> None:
    """Of a file beside a new folder, which is right already. One in there ends in a chunk that is nowhere."""
    lost, good, there = content(store, b"begins"), content(store, b"good"), content(store, b"there")
    unknown = Extent(ChunkId(bytes(range(32))), 0, 5)
    level = commit_rows(
        store,
        [
            made_entry(b"/d", stat.S_IFDIR),
            made_entry(b"/d/file", size=4, extents=good),
            made_entry(b"/d/lost", size=11, extents=[*lost, unknown]),
            made_entry(b"/e", size=5, extents=there),
        ],
    )
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "e").write_bytes(b"there")
    result = put_back(store, level, tmp_path / "out")
    assert [path for path, _ in result.failures] == [b"/d/lost"]
    assert (tmp_path / "out" / "d" / "file").read_bytes() == b"good"
    assert os.listdir(tmp_path / "out" / "d") == ["file"]


def test_extents_beyond_their_chunks(tmp_path: Path, store: Store) -> None:
    ((chunk, _, _),) = content(store, b"seven b")
    unknown = ChunkId(bytes(range(32)))
    bad = {
        b"/beyond": [Extent(chunk, 5, 5)],
        b"/far": [Extent(chunk, 2**32 - 1, 2)],
        b"/two": [Extent(chunk, 0, 7), Extent(chunk, 0, 8)],
        b"/unknown": [Extent(unknown, 0, 1)],
        b"/unknown later": [Extent(chunk, 0, 7), Extent(None, 0, 10), Extent(unknown, 0, 1)],
    }
    good = {
        b"/parts": [Extent(chunk, 1, 3), Extent(chunk, 4, 2), Extent(None, 0, 5), Extent(chunk, 0, 1)],
        b"/part": [Extent(chunk, 2, 3)],
    }
    level = commit_rows(
        store,
        [
            made_entry(path, size=sum(extent.length for extent in extents), extents=extents)
            for path, extents in (bad | good).items()
        ],
    )
    for _ in range(2):
        result = put_back(store, level, tmp_path / "out")
        assert {path for path, _ in result.failures} == set(bad)
        assert (tmp_path / "out" / "parts").read_bytes() == b"even " + bytes(5) + b"s"
        assert (tmp_path / "out" / "part").read_bytes() == b"ven"
        assert not leftovers(tmp_path / "out")


def test_two_files_that_claim_one_inode(tmp_path: Path, store: Store) -> None:
    one, other = content(store, b"one"), content(store, b"other")
    level = commit_rows(
        store,
        [
            made_entry(b"/1", size=3, extents=one, link=(1, 1), nlink=2),
            made_entry(b"/2", size=5, extents=other, link=(1, 1), nlink=2),
            made_entry(b"/3", size=3, extents=one, link=(1, 1), nlink=2),
        ],
    )
    for _ in range(2):
        put_back(store, level, tmp_path / "out")
        assert [(tmp_path / "out" / name).read_bytes() for name in "123"] == [b"one", b"other", b"one"]
