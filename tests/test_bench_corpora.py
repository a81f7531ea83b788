"""The corpora of the benchmarks are seeded, take any scale, hold what they say, and are put back after a change."""

import os
from pathlib import Path

import pytest

from bench.corpora import corpus_names, make_corpus
from bench.picture import take_picture

TINY = 0.002


def contents(tree: Path) -> dict[bytes, bytes]:
    """Path -> what is there, without times."""
    return {path: seen.content for path, seen in take_picture(os.fsencode(tree)).items()}


@pytest.mark.parametrize("name", corpus_names())
def test_the_same_bytes_every_time(tmp_path: Path, name: str) -> None:
    one, other = (make_corpus(name, tmp_path / folder, TINY, versions=2) for folder in ("one", "other"))
    assert [contents(tree) for tree in one.versions] == [contents(tree) for tree in other.versions]


@pytest.mark.parametrize("name", ["big-text", "small", "vault"])
def test_a_change_is_undone(tmp_path: Path, name: str) -> None:
    corpus = make_corpus(name, tmp_path, TINY)
    assert corpus.change
    before = contents(corpus.versions[0])
    undo = corpus.change()
    changed = contents(corpus.versions[0])
    undo()
    assert changed.keys() == before.keys()
    assert changed != before
    assert contents(corpus.versions[0]) == before


def test_a_change_that_was_never_undone_is_noticed(tmp_path: Path) -> None:
    corpus = make_corpus("small", tmp_path, TINY)
    before = contents(corpus.versions[0])
    assert corpus.change
    corpus.change()
    assert contents(make_corpus("small", tmp_path, TINY).versions[0]) == before


def test_versions_differ_and_resemble(tmp_path: Path) -> None:
    one, two = (contents(tree) for tree in make_corpus("src", tmp_path, 0.02, versions=2).versions)
    same = sum(two.get(path) == content for path, content in one.items())
    assert len(one) // 2 < same < len(one)


def test_a_vault_holds_every_kind(tmp_path: Path) -> None:
    tree = make_corpus("vault", tmp_path, TINY).versions[0]
    seen = take_picture(os.fsencode(tree))
    image = next(tree.glob("images/*")).stat()
    assert image.st_blocks * 512 < image.st_size // 4
    assert any(each.twins for each in seen.values())
    assert len({each.mode >> 12 for each in seen.values()}) == 4  # files, folders, symbolic links, a FIFO
