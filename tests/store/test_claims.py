"""Chunks that are looked up many at once: whatever happens meanwhile, none is stored twice and none is left out."""

from collections.abc import Iterable

import pytest

from siltstone.store import ChunkId
from siltstone.store.index import Index

from .backends import MemoryBackend
from .stores import ROOT, grains, make, put, read_back, run_of


def test_what_becomes_durable_while_it_is_looked_up_is_not_stored_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread stores the same, all the way, after this one has found that nobody has it."""
    contents, real = grains(1, 10), Index.unknown
    store = make(MemoryBackend())
    with store.writer() as writer:

        def meanwhile(self: Index, chunks: Iterable[ChunkId]) -> set[ChunkId]:
            found = real(self, chunks)
            assert len(found) == len(contents)
            monkeypatch.setattr(Index, "unknown", real)
            put(writer, contents[:5])
            writer.flush()
            return found

        monkeypatch.setattr(Index, "unknown", meanwhile)
        ids, frames = writer.choose(*run_of(contents))
        assert [chunk for frame in frames for chunk in frame.ids] == ids[5:]
        for frame in frames:
            writer.write(frame)
        assert writer.new_chunks == 10
        writer.commit(ROOT, {"chunks": ids})
    assert read_back(store) == contents


def test_one_content_many_times_in_one_run() -> None:
    contents = grains(1, 3) * 4
    store = make(MemoryBackend())
    with store.writer() as writer:
        ids, frames = writer.choose(*run_of(contents))
        assert [chunk for frame in frames for chunk in frame.ids] == ids[:3]
        for frame in frames:
            writer.write(frame)
        writer.commit(ROOT, {"chunks": ids})
    assert read_back(store) == contents
